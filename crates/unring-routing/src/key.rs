//! What content is looked up by.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The code of sha2-256 and the length of its digest: what a multihash of it begins with.
/// <https://github.com/multiformats/multicodec>
const SHA2_256: [u8; 2] = [0x12, 0x20];

/// The multihash of a key string: a digest in its text form (`sha256:26c6...`, which is hashed once more) or a name
/// (`docker.io/library/nginx:1.27`).
///
/// Spegel makes a CID (version 1, raw, sha2-256) of the string, of which only the multihash travels, so the keys of both
/// are the same. The string itself cannot be had back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 34]);

impl Key {
    /// The key of `text`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut bytes = [0; 34];
        let (prefix, digest) = bytes.split_at_mut(SHA2_256.len());
        prefix.copy_from_slice(&SHA2_256);
        digest.copy_from_slice(&Sha256::digest(text.as_bytes()));
        Self(bytes)
    }

    /// The key with these bytes, if they are a sha2-256 multihash.
    #[must_use]
    pub fn from_multihash(bytes: &[u8]) -> Option<Self> {
        let bytes = <[u8; 34]>::try_from(bytes).ok()?;
        bytes.starts_with(&SHA2_256).then_some(Self(bytes))
    }

    /// The bytes that travel: `0x12 0x20` and the digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 34] {
        &self.0
    }

    /// Where the key lies in the key space of Kademlia: the SHA-256 of the multihash.
    #[must_use]
    pub fn position(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }
}

/// The multihash in hexadecimal.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_spegel() {
        let check = |text: &str, multihash: &str, position: &str| {
            let key = Key::new(text);
            assert_eq!(key.to_string(), multihash);
            let hex: String = key.position().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, position);
            assert_eq!(Key::from_multihash(key.as_bytes()), Some(key));
        };
        check(
            "foobar",
            "1220c3ab8ff13720e8ad9047dd39466b3c8974e592c2fa383d4a3960714caef0c4f2",
            "bd8506b070010a16a922a8f14536e7390f5f265c7515c00783bb98b58c2e444f",
        );
        check(
            "docker.io/library/nginx:1.27",
            "12206965a10c15290ad0b29ca7fd1866de1850408b3cb15fb11a3bbbbc2fddb158bd",
            "d290156439fdd3b454b7ced82cd3edf4a68ac867c4cec8ff0b14ed88d38ea790",
        );
        // The published CID of this one, of which the multihash is the part after four bytes of base32.
        let digest =
            Key::new("sha256:26c60b05e08ac738e8442bc389c5780bff0e1d8153956e45d810a2f1008cf56f");
        assert_eq!(cid(&digest), "bafkreidol6sh2lk6leq5y5dmvaxq2cpeexevg6e6r6gszyzdhv3jbdtsmi");
        let mut other = *digest.as_bytes();
        other[0] = 0x11;
        assert_eq!(Key::from_multihash(&other), None);
        assert_eq!(Key::from_multihash(&digest.as_bytes()[1..]), None);
    }

    /// CID version 1, raw, in base32 without padding.
    fn cid(key: &Key) -> String {
        let bytes: Vec<u8> = [1, 0x55].iter().chain(key.as_bytes()).copied().collect();
        let bits: Vec<u8> =
            bytes.iter().flat_map(|byte| (0..8).rev().map(move |i| byte >> i & 1)).collect();
        let digit = |five: &[u8]| {
            let value = five.iter().chain([0; 4].iter()).take(5).fold(0, |sum, bit| sum * 2 + bit);
            char::from(b"abcdefghijklmnopqrstuvwxyz234567"[usize::from(value)])
        };
        std::iter::once('b').chain(bits.chunks(5).map(digit)).collect()
    }
}
