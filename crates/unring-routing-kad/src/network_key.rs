//! The key of a private network.

use thiserror::Error;

/// The key of a private network: nobody without it can so much as begin a handshake
/// (<https://github.com/libp2p/specs/blob/master/pnet/Private-Networks-PSK-V1.md>).
#[derive(Clone, PartialEq, Eq)]
pub struct NetworkKey([u8; 32]);

/// Why a text is no [`NetworkKey`]. Says nothing of the text.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum BadNetworkKey {
    /// Something other than hexadecimal digits, or an odd number of them.
    #[error("not hexadecimal")]
    NotHex,
    /// Too few digits.
    #[error("{got} bytes, at least 32 are needed")]
    TooShort {
        /// Bytes that there are.
        got: usize,
    },
}

impl NetworkKey {
    /// The first 32 bytes of a text of hexadecimal digits, as K3s makes it of its IPsec key. White space around it is ignored.
    ///
    /// # Errors
    /// See [`BadNetworkKey`].
    pub fn from_hex(text: &str) -> Result<Self, BadNetworkKey> {
        let digits: Option<Vec<u32>> = text.trim().chars().map(|char| char.to_digit(16)).collect();
        let digits = digits.filter(|digits| digits.len() % 2 == 0).ok_or(BadNetworkKey::NotHex)?;
        let bytes =
            digits.chunks_exact(2).filter_map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok());
        let bytes: Vec<u8> = bytes.collect();
        let first = bytes.first_chunk::<32>();
        first.map(|key| Self(*key)).ok_or(BadNetworkKey::TooShort { got: bytes.len() })
    }

    pub(crate) fn bytes(&self) -> [u8; 32] {
        self.0
    }
}

/// Without the key.
impl std::fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NetworkKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_key_is_the_first_32_bytes() {
        let text = "00ff".repeat(24);
        let key = NetworkKey::from_hex(&format!(" {text}\n")).unwrap();
        assert_eq!(key.bytes()[..4], [0, 0xff, 0, 0xff]);
        assert_eq!(NetworkKey::from_hex(&text[..64]), Ok(key.clone()));
        assert_eq!(NetworkKey::from_hex(&text[..62]), Err(BadNetworkKey::TooShort { got: 31 }));
        assert_eq!(NetworkKey::from_hex(&text[..63]), Err(BadNetworkKey::NotHex));
        assert_eq!(NetworkKey::from_hex(&"zz".repeat(32)), Err(BadNetworkKey::NotHex));
        assert_eq!(format!("{key:?}"), "NetworkKey(..)");
    }
}
