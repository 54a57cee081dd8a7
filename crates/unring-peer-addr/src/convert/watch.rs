//! The messages of the stream of records.

use unring_exchange::{Batch, Position};
use unring_peer::{PeerId, SignedRecord};

use super::{InvalidMessage, records, responder};
use crate::handler::{WatchBatch, WatchOpen, WatchUpdate};
use crate::limits::BATCH_BYTES;
use crate::pb;
use crate::{OutboundOpen, OutboundUpdate, RemoteBatch};

/// The first message: how the stream is opened, and the records that came with it.
pub(crate) fn open_from_wire(
    wire: pb::WatchPeersRequest,
) -> Result<(WatchOpen, Option<WatchUpdate>), InvalidMessage> {
    let (records, refused) = records::batch("records", wire.records)?;
    let open = WatchOpen {
        caller_record: records::callers(wire.caller_record)?,
        resume: position(wire.epoch, wire.resume_version),
        decode: wire.decode,
    };
    let version = wire.version;
    let empty = records.is_empty() && refused == 0 && version == 0;
    let update = (!empty).then_some(WatchUpdate { caller_record: None, records, version, refused });
    Ok((open, update))
}

pub(crate) fn update_from_wire(wire: pb::WatchPeersRequest) -> Result<WatchUpdate, InvalidMessage> {
    let (records, refused) = records::batch("records", wire.records)?;
    let (caller_record, version) = (records::callers(wire.caller_record)?, wire.version);
    Ok(WatchUpdate { caller_record, records, version, refused })
}

pub(crate) fn open_to_wire(open: &OutboundOpen) -> pb::WatchPeersRequest {
    let resume = open.resume.unwrap_or_default();
    pb::WatchPeersRequest {
        caller_record: open.caller_record.as_ref().map(records::to_wire),
        resume_version: resume.version,
        epoch: resume.epoch,
        ..Default::default()
    }
}

/// An update as messages of at most [`BATCH_BYTES`] of records; the caller's record goes first, and the last says which
/// version the caller's book then has.
pub(crate) fn update_to_wire(update: &OutboundUpdate) -> Vec<pb::WatchPeersRequest> {
    let mut messages: Vec<_> = chunks(&update.records, false)
        .map(|records| pb::WatchPeersRequest {
            records: records.iter().map(records::to_wire).collect(),
            ..Default::default()
        })
        .collect();
    if let Some(first) = messages.first_mut() {
        first.caller_record = update.caller_record.as_ref().map(records::to_wire);
    }
    if let Some(last) = messages.last_mut() {
        last.version = update.version;
    }
    messages
}

/// A batch as messages of at most [`BATCH_BYTES`] of records. Only the last one says which version the book then has
/// and that the snapshot is complete: a reader that stops before it has to ask for the batch again.
pub(crate) fn batch_to_wire(batch: &WatchBatch, decode: bool) -> Vec<pb::WatchPeersResponse> {
    let WatchBatch { batch, responder } = batch;
    let mut messages: Vec<_> = chunks(&batch.records, decode)
        .map(|records| pb::WatchPeersResponse {
            records: records.iter().map(records::to_wire).collect(),
            decoded: records::decoded(records, decode),
            epoch: batch.position.epoch,
            responder: responder.to_base58(),
            resumed: batch.resumed,
            ..Default::default()
        })
        .collect();
    if let Some(last) = messages.last_mut() {
        last.snapshot_complete = batch.snapshot_complete;
        last.version = batch.position.version;
        last.received_version = batch.received;
    }
    messages
}

pub(crate) fn batch_from_wire(
    wire: pb::WatchPeersResponse,
    peer: Option<PeerId>,
) -> Result<RemoteBatch, InvalidMessage> {
    let (records, refused) = records::batch("records", wire.records)?;
    Ok(RemoteBatch {
        responder: responder(&wire.responder, peer)?,
        batch: Batch {
            records,
            snapshot_complete: wire.snapshot_complete,
            resumed: wire.resumed,
            received: wire.received_version,
            position: Position { epoch: wire.epoch, version: wire.version },
        },
        refused,
    })
}

/// Where to resume, if anywhere.
fn position(epoch: u64, version: u64) -> Option<Position> {
    (version > 0).then_some(Position { epoch, version })
}

/// `records` in pieces that fit; one empty piece when there are none.
fn chunks(records: &[SignedRecord], decode: bool) -> impl Iterator<Item = &[SignedRecord]> {
    let mut rest = Some(records);
    std::iter::from_fn(move || {
        let records = rest?;
        // One record is always smaller than a batch.
        let fitting = records::that_fit(records, decode, BATCH_BYTES).max(1).min(records.len());
        let (piece, left) = records.split_at(fitting);
        rest = (!left.is_empty()).then_some(left);
        Some(piece)
    })
}
