//! Where peers and keys lie, and how far from one another (Maymounkov and Mazières, "Kademlia", 2002, section 2.1).

use libp2p_identity::PeerId;
use sha2::{Digest as _, Sha256};

/// A place in the key space: the SHA-256 of a peer's id or of a key's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position(pub(crate) [u8; 32]);

/// The exclusive or of two positions, read as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Distance([u8; 32]);

impl Position {
    pub(crate) fn of_key(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    pub(crate) fn of_peer(peer: &PeerId) -> Self {
        Self(Sha256::digest(peer.to_bytes()).into())
    }

    pub(crate) fn distance(&self, other: &Self) -> Distance {
        let mut distance = self.0;
        distance.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine ^= theirs);
        Distance(distance)
    }

    /// How many leading bits two positions have in common.
    pub(crate) fn common_bits(&self, other: &Self) -> u32 {
        let Distance(distance) = self.distance(other);
        let bytes = distance.iter().take_while(|byte| **byte == 0).count();
        let bits = distance.get(bytes).map_or(0, |byte| byte.leading_zeros());
        u32::try_from(bytes).unwrap_or(32) * 8 + bits
    }
}

#[cfg(test)]
mod tests {
    use libp2p::kad::KBucketKey;

    use super::*;

    #[test]
    fn positions_are_those_of_libp2p() {
        let (a, b) = (PeerId::random(), PeerId::random());
        let theirs = KBucketKey::from(a);
        assert_eq!(Position::of_peer(&a).0, theirs.hashed_bytes());
        let key = unring_routing::Key::new("foobar");
        let theirs = KBucketKey::new(key.as_bytes().to_vec());
        assert_eq!(Position::of_key(key.as_bytes()).0, theirs.hashed_bytes());
        assert_eq!(key.position(), theirs.hashed_bytes());
        let (x, y) = (Position::of_peer(&a), Position::of_peer(&b));
        assert_eq!(x.distance(&y), y.distance(&x));
        assert_eq!(x.common_bits(&x), 256);
        let mut near = x;
        near.0[1] ^= 0b0000_1000;
        assert_eq!(x.common_bits(&near), 12);
    }
}
