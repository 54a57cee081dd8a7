//! The key of a node and what it signs.

use std::fmt;

use libp2p_identity::{Keypair, PeerId, PublicKey};
use thiserror::Error;

use crate::envelope::signed_bytes;

/// The key pair that makes a node who it is. Its peer id is derived from the public key (libp2p peer id spec).
#[derive(Clone)]
pub struct Identity {
    keypair: Keypair,
    peer_id: PeerId,
}

/// Why bytes are not a key.
#[derive(Debug, Error)]
#[error("not a libp2p private key in protobuf encoding")]
pub struct InvalidIdentity(#[source] libp2p_identity::DecodingError);

impl Identity {
    /// A new Ed25519 key from the operating system's random source.
    #[must_use]
    pub fn generate() -> Self {
        Self::from_keypair(Keypair::generate_ed25519())
    }

    /// The identity of a libp2p key pair.
    #[must_use]
    pub fn from_keypair(keypair: Keypair) -> Self {
        let peer_id = keypair.public().to_peer_id();
        Self { keypair, peer_id }
    }

    /// Reads the libp2p protobuf encoding of a private key, as [`encode`](Self::encode) writes it.
    ///
    /// # Errors
    /// When the bytes are no such key, for example because a file was cut short.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidIdentity> {
        Keypair::from_protobuf_encoding(bytes).map(Self::from_keypair).map_err(InvalidIdentity)
    }

    /// The libp2p protobuf encoding of the private key: a secret.
    ///
    /// # Errors
    /// When the key type cannot be encoded; Ed25519 always can.
    pub fn encode(&self) -> Result<Vec<u8>, InvalidIdentity> {
        self.keypair.to_protobuf_encoding().map_err(InvalidIdentity)
    }

    /// The peer id of the key.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.keypair.public()
    }

    /// The key pair itself, for transports that need it.
    #[must_use]
    pub fn keypair(&self) -> &Keypair {
        &self.keypair
    }

    /// Signs `parts` under `domain`: each is preceded by its length as an unsigned varint, so that no two different
    /// lists give the same bytes (libp2p RFC 0002).
    ///
    /// An Ed25519 signature is 64 bytes and cannot fail; of other key types a failure gives an empty signature, which
    /// nobody accepts.
    #[must_use]
    pub fn sign(&self, domain: &str, parts: &[&[u8]]) -> Vec<u8> {
        self.keypair.sign(&signed_bytes(domain, parts)).unwrap_or_default()
    }
}

impl fmt::Debug for Identity {
    /// Shows the peer id alone: the key is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("peer_id", &self.peer_id).finish_non_exhaustive()
    }
}

/// Whether `signature` is `key`'s over `parts` under `domain`, as [`Identity::sign`] makes it.
#[must_use]
pub fn verify_signature(key: &PublicKey, domain: &str, parts: &[&[u8]], signature: &[u8]) -> bool {
    key.verify(&signed_bytes(domain, parts), signature)
}
