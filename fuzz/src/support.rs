//! What several targets need.

use std::error::Error;

use libp2p_identity::Keypair;
use unring_peer::{Identity, UnverifiedRecord, limits};

/// A node whose key everybody knows.
///
/// # Panics
/// Never: any 32 bytes are an Ed25519 key.
pub(crate) fn identity(byte: u8) -> Identity {
    let keypair = Keypair::ed25519_from_bytes([byte; 32]).expect("32 bytes are a key");
    Identity::from_keypair(keypair)
}

/// Writes an error and its causes, as a log does.
pub(crate) fn show(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What holds of every record that was read, whether its signature is good or not.
pub(crate) fn within_bounds(unverified: &UnverifiedRecord) {
    let record = unverified.claimed();
    assert!(unverified.envelope().len() <= limits::MAX_ENVELOPE_BYTES);
    assert!(unverified.wire_bytes() <= limits::MAX_ENVELOPE_BYTES + limits::MAX_TAG_BYTES);
    assert!(!record.ttl.is_zero() && record.ttl <= limits::MAX_TTL);
    assert!(record.addresses.len() + record.skipped_addresses.len() <= limits::MAX_ADDRESSES);
    assert!(record.joins.len() <= limits::MAX_JOINS);
    assert!(record.joins.iter().all(|join| join.targets.len() <= limits::MAX_TARGETS));
    assert!(record.joins.iter().all(|join| join.address.len() <= limits::MAX_JOIN_ADDRESS_BYTES));
    for text in [&record.name, &record.zone, &record.version] {
        assert!(text.len() <= limits::MAX_NAME_BYTES && !text.chars().any(char::is_control));
    }
    assert!(record.expires_at() >= record.issued_at);
}
