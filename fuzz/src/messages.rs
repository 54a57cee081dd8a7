//! The messages of the peer address protocol, and who says they sent them.

use std::time::Duration;

use prost::Message;
use unring_peer::{UnixMillis, UnverifiedRecord};
use unring_peer_addr::limits::{MAX_PEERS, MAX_RECORDS, MAX_RETRY_AFTER, MAX_TOPOLOGY_ENTRIES};
use unring_peer_addr::{OutboundOpen, WatchUpdate, fuzzing, pb};

use crate::support::{identity, show, within_bounds};

/// When the certificates among the seeds are valid, in seconds since 1970.
const NOW: Duration = Duration::from_secs(1_790_000_000);

/// The first byte says which message the others are.
pub fn check(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    match kind % 8 {
        0 => request(data),
        1 => open(data),
        2 => update(data),
        3 => answer(data),
        4 => batch(data),
        5 => topology(data),
        6 => proof(data),
        _ => certificate(data),
    }
}

fn request(data: &[u8]) {
    let Some(wire) = decode::<pb::ListPeersRequest>(data) else { return };
    match fuzzing::request(wire) {
        Ok((request, _)) => {
            assert!(request.max_peers <= MAX_PEERS);
            request.caller_record.iter().for_each(within_bounds);
        }
        Err(error) => refused(&error),
    }
}

fn open(data: &[u8]) {
    let Some(wire) = decode::<pb::WatchPeersRequest>(data) else { return };
    match fuzzing::open(wire) {
        Ok((open, update)) => {
            open.caller_record.iter().for_each(within_bounds);
            update.iter().for_each(update_is_bounded);
            let ours = OutboundOpen { caller_record: None, resume: open.resume };
            let (again, none) = fuzzing::open(fuzzing::open_to_wire(&ours)).expect("readable");
            assert_eq!(again.resume, open.resume);
            assert!(none.is_none());
        }
        Err(error) => refused(&error),
    }
}

fn update(data: &[u8]) {
    let Some(wire) = decode::<pb::WatchPeersRequest>(data) else { return };
    match fuzzing::update(wire) {
        Ok(update) => update_is_bounded(&update),
        Err(error) => refused(&error),
    }
}

fn update_is_bounded(update: &WatchUpdate) {
    update.caller_record.iter().for_each(within_bounds);
    records(&update.records, update.refused);
}

fn answer(data: &[u8]) {
    let Some(wire) = decode::<pb::ListPeersResponse>(data) else { return };
    let me = identity(1).peer_id();
    match fuzzing::answer(wire, Some(me)) {
        Ok(answer) => {
            assert_eq!(answer.responder, me, "the transport knows better than the message");
            assert!(answer.retry_after.is_none_or(|delay| delay <= MAX_RETRY_AFTER));
            records(&answer.records, answer.refused);
        }
        Err(error) => refused(&error),
    }
}

fn batch(data: &[u8]) {
    let Some(wire) = decode::<pb::WatchPeersResponse>(data) else { return };
    match fuzzing::batch(wire, None) {
        Ok(batch) => records(&batch.batch.records, batch.refused),
        Err(error) => refused(&error),
    }
}

fn topology(data: &[u8]) {
    let Some(wire) = decode::<pb::GetTopologyResponse>(data) else { return };
    match fuzzing::topology(wire, None) {
        Ok(topology) => {
            assert!(topology.nodes.len() <= MAX_TOPOLOGY_ENTRIES);
            assert!(topology.rings.len() <= MAX_TOPOLOGY_ENTRIES);
        }
        Err(error) => refused(&error),
    }
}

fn proof(data: &[u8]) {
    if let Err(error) = fuzzing::proof(data, "127.0.0.1:1", UnixMillis::new(1_790_000_000_000)) {
        drop(show(&error));
    }
}

fn certificate(data: &[u8]) {
    if let Err(error) = fuzzing::certificate(data, NOW) {
        drop(show(&error));
    }
}

fn decode<M: Message + Default>(data: &[u8]) -> Option<M> {
    M::decode(data).ok()
}

fn records(records: &[UnverifiedRecord], refused: usize) {
    assert!(records.len() + refused <= MAX_RECORDS);
    records.iter().for_each(within_bounds);
}

/// A refusal names the field, and does not repeat all of what it refuses.
fn refused(error: &unring_peer_addr::InvalidMessage) {
    assert!(!error.field().is_empty());
    assert!(error.to_string().len() < 1024);
    drop(show(error));
}
