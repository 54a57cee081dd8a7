//! Signed envelopes, and the records in them.

use bytes::Bytes;
use prost::Message as _;
use unring_peer::{InvalidRecord, NodeRecord, SignRecordError, SignedRecord, UnverifiedRecord, pb};

use crate::support::{identity, show, within_bounds};

/// The bytes as an envelope of somebody else, then as a record that we sign ourselves.
pub fn check(data: &[u8]) {
    match UnverifiedRecord::decode(Bytes::copy_from_slice(data), Bytes::new()) {
        Ok(unverified) => {
            within_bounds(&unverified);
            assert_eq!(unverified.envelope(), data, "the envelope is kept verbatim");
            let claimed = unverified.claimed().clone();
            match unverified.verify() {
                Ok(signed) => assert_eq!(*signed.record(), claimed),
                Err(error) => assert!(matches!(error, InvalidRecord::Signature { .. }), "{error}"),
            }
        }
        Err(error) => drop(show(&error)),
    }
    if let Ok(wire) = pb::NodeRecord::decode(data) {
        own(wire);
    }
}

/// What can be read can be signed, and others read the same.
fn own(wire: pb::NodeRecord) {
    let me = identity(1);
    let peer_id = me.peer_id().to_base58();
    let record = match NodeRecord::from_wire(pb::NodeRecord { peer_id, ..wire }) {
        Ok(record) => record,
        Err(error) => return drop(show(&error)),
    };
    let kept = NodeRecord { skipped_addresses: Vec::new(), ..record.clone() };
    let again = NodeRecord::from_wire(record.to_wire()).expect("what we write can be read");
    assert_eq!(again, kept);
    match SignedRecord::sign(&me, record) {
        Ok(signed) => {
            let read = UnverifiedRecord::decode(signed.envelope().clone(), Bytes::new());
            let read = read.expect("what we sign can be read");
            within_bounds(&read);
            let verified = read.verify().expect("our signature verifies");
            assert_eq!(verified, signed);
            assert_eq!(*verified.record(), kept);
        }
        Err(error) => assert!(matches!(error, SignRecordError::TooLarge { .. }), "{error}"),
    }
}
