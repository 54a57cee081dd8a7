//! The way of a request.

use prost::Message as _;
use unring_exchange::{MAX_PATH, OutboundRequest, Scope, StampKey, Trace};
use unring_peer_addr::{fuzzing, pb};

use crate::support::{identity, show};

/// The bytes as a trace: what is read is written the same, and forwarding it ends.
pub fn check(data: &[u8]) {
    let Ok(wire) = pb::Trace::decode(data) else { return };
    let Some(trace) = read(wire) else { return };
    let request = OutboundRequest {
        scope: Scope::Recursive,
        max_peers: 0,
        trace: Some(trace.clone()),
        caller_record: None,
    };
    let again = fuzzing::request(fuzzing::request_to_wire(&request)).expect("it can be read");
    assert_eq!(again.0.trace.as_ref(), Some(&trace));
    forwarded(&trace);
}

fn read(wire: pb::Trace) -> Option<Trace> {
    let wire = pb::ListPeersRequest { trace: Some(wire), ..Default::default() };
    match fuzzing::request(wire) {
        Ok((request, _)) => request.trace,
        Err(error) => {
            assert!(error.field().starts_with("trace"), "{} is not of the trace", error.field());
            drop(show(&error));
            None
        }
    }
}

fn forwarded(trace: &Trace) {
    let (me, other) = (StampKey::new([1; 32]), StampKey::new([2; 32]));
    let peer = identity(1).peer_id();
    assert!(trace.path.len() <= MAX_PATH);
    let last = trace.path.last().map_or(trace.origin, |hop| hop.peer);
    if let Err(error) = trace.check(Some(last)) {
        drop(show(&error));
    }
    if last != peer {
        assert!(trace.check(Some(peer)).is_err(), "the last hop is another one");
    }
    assert!(trace.check(None).is_err(), "a trace of nobody");
    // Nobody who has not our key writes a stamp of ours.
    assert_eq!(trace.position_of(&me, &peer), None);
    let forged = trace.forged_mentions(&me, &peer);
    assert!(forged <= trace.path.len());
    let signed = trace.verify();
    let Some(next) = trace.forwarded(&me, peer) else {
        assert!(trace.hop_limit == 0 || trace.path.len() == MAX_PATH);
        return;
    };
    assert_eq!((next.hop_limit + 1, next.path.len()), (trace.hop_limit, trace.path.len() + 1));
    assert_eq!(next.path[..trace.path.len()], trace.path[..]);
    assert_eq!(next.position_of(&me, &peer), Some(trace.path.len()));
    assert_eq!(next.position_of(&other, &peer), None);
    assert_eq!(next.forged_mentions(&me, &peer), forged);
    assert_eq!(next.verify(), signed, "the signature is not of the path");
}
