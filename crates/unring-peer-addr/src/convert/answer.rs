//! Answers.

use std::sync::OnceLock;

use bytes::Bytes;
use prost::Message as _;
use unring_exchange::{Answer, Incomplete, RemoteAnswer, UpstreamOutcome, Written};
use unring_peer::{PeerId, SignedRecord};

use super::{
    InvalidMessage, cut, records, responder, retry_after, retry_after_ms, topology, wire_u32,
};
use crate::handler::Reply;
use crate::limits::{
    ANSWER_RECORD_BYTES, ANSWER_RING_BYTES, MAX_ERROR_BYTES, MAX_OUTCOMES, SHARED_RECORD_BYTES,
};
use crate::pb;

/// Before each gRPC message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// A peer id as messages have it. To write it takes longer than the rest of a small answer, and whoever answers is
/// always the same.
#[derive(Debug, Default)]
pub(crate) struct Responder(OnceLock<(PeerId, String)>);

impl Responder {
    fn text(&self, peer: PeerId) -> String {
        let (known, text) = self.0.get_or_init(|| (peer, peer.to_base58()));
        if *known == peer { text.clone() } else { peer.to_base58() }
    }
}

/// An answer as it is sent: a gRPC message with its prefix, in parts that follow one another.
#[derive(Clone, Debug)]
pub(crate) struct WrittenAnswer(pub(crate) [Bytes; 3]);

/// Writes an answer. What it shares with other answers is written with the first of them, and shared again.
pub(crate) fn write_answer(reply: &Reply, responder: &Responder) -> WrittenAnswer {
    let records = &reply.answer.records;
    let shared = records.shared().written(|records| write_sample(records, reply, responder));
    if adds_nothing(reply) {
        return WrittenAnswer([shared.message.clone(), Bytes::new(), Bytes::new()]);
    }
    let askers_own = records.askers_own().map(records::to_wire).into_iter().collect();
    let askers_own = pb::ListPeersResponse { records: askers_own, ..Default::default() };
    let shared = shared.message.slice(shared.records.clone());
    let rest = all_but_records(reply, responder).encode_to_vec();
    let length = askers_own.encoded_len() + shared.len() + rest.len();
    let head = prefixed(length, &askers_own.encode_to_vec());
    WrittenAnswer([head.into(), shared, rest.into()])
}

/// Whether an answer is the message that [`write_sample`] made.
fn adds_nothing(Reply { answer, rings, names: _ }: &Reply) -> bool {
    let Answer { responder: _, records, incomplete, upstreams, request_id, retry_after } = answer;
    records.askers_own().is_none()
        && incomplete.is_empty()
        && upstreams.is_empty()
        && request_id.is_none()
        && retry_after.is_none()
        && rings.is_empty()
}

/// A message of these records that says nothing else, as most answers do.
fn write_sample(records: &[SignedRecord], reply: &Reply, responder: &Responder) -> Written {
    let fitting = records::that_fit(records, false, SHARED_RECORD_BYTES);
    let sent = records.get(..fitting).unwrap_or_default();
    let responder = responder.text(reply.answer.responder);
    let mut message = pb::ListPeersResponse { complete: true, responder, ..Default::default() };
    let rest = message.encoded_len();
    message.records = sent.iter().map(records::to_wire).collect();
    let message = prefixed(message.encoded_len(), &message.encode_to_vec());
    let records = PREFIX_BYTES..message.len() - rest;
    Written { message: message.into(), records }
}

/// `bytes`, the first of a message of so many, behind gRPC's prefix: not compressed, and the length.
fn prefixed(length: usize, bytes: &[u8]) -> Vec<u8> {
    let mut prefixed = Vec::with_capacity(PREFIX_BYTES + bytes.len());
    prefixed.push(0);
    prefixed.extend(wire_u32(length).to_be_bytes());
    prefixed.extend(bytes);
    prefixed
}

/// An answer with its records decoded as well, which is for people and written each time.
pub(crate) fn decoded_answer(reply: &Reply, responder: &Responder) -> pb::ListPeersResponse {
    let records: Vec<_> = reply.answer.records.iter().cloned().collect();
    let fitting = records::that_fit(&records, true, ANSWER_RECORD_BYTES);
    let sent = records.get(..fitting).unwrap_or_default();
    pb::ListPeersResponse {
        records: sent.iter().map(records::to_wire).collect(),
        decoded: records::decoded(sent, true),
        ..all_but_records(reply, responder)
    }
}

fn all_but_records(reply: &Reply, responder: &Responder) -> pb::ListPeersResponse {
    let answer = &reply.answer;
    pb::ListPeersResponse {
        records: Vec::new(),
        decoded: Vec::new(),
        complete: answer.is_complete(),
        incomplete: answer
            .incomplete
            .iter()
            .map(|reason| incomplete_to_wire(*reason).into())
            .collect(),
        upstreams: answer.upstreams.iter().take(MAX_OUTCOMES).map(outcome_to_wire).collect(),
        rings: topology::rings_to_wire(&reply.rings, &reply.names, ANSWER_RING_BYTES),
        responder: responder.text(answer.responder),
        request_id: answer.request_id.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
        retry_after_ms: retry_after_ms(answer.retry_after),
    }
}

/// Reads an upstream's answer. `peer` is who the transport says it is; in plaintext the answer's own word is taken.
pub(crate) fn answer_from_wire(
    wire: pb::ListPeersResponse,
    peer: Option<PeerId>,
) -> Result<RemoteAnswer, InvalidMessage> {
    let (records, refused) = records::batch("records", wire.records)?;
    // A reason of a newer version is left out: whether records are missing is then not known here.
    let incomplete = wire
        .incomplete
        .into_iter()
        .filter_map(|reason| pb::Incomplete::try_from(reason).ok())
        .filter_map(incomplete_from_wire);
    Ok(RemoteAnswer {
        responder: responder(&wire.responder, peer)?,
        records,
        refused,
        incomplete: incomplete.collect(),
        retry_after: retry_after(wire.retry_after_ms),
    })
}

fn outcome_to_wire(outcome: &UpstreamOutcome) -> pb::UpstreamOutcome {
    pb::UpstreamOutcome {
        address: outcome.address.clone(),
        peer_id: outcome.peer.map(|peer| peer.to_base58()).unwrap_or_default(),
        ok: outcome.error.is_none(),
        error: outcome
            .error
            .as_deref()
            .map(|error| cut(error, MAX_ERROR_BYTES).to_owned())
            .unwrap_or_default(),
        records: wire_u32(outcome.records),
    }
}

fn incomplete_to_wire(reason: Incomplete) -> pb::Incomplete {
    match reason {
        Incomplete::Loop => pb::Incomplete::Loop,
        Incomplete::Duplicate => pb::Incomplete::Duplicate,
        Incomplete::HopLimit => pb::Incomplete::HopLimit,
        Incomplete::Busy => pb::Incomplete::Busy,
        Incomplete::Degraded => pb::Incomplete::Degraded,
        Incomplete::DedupFull => pb::Incomplete::DedupFull,
        Incomplete::ClockSkew => pb::Incomplete::ClockSkew,
        Incomplete::UpstreamFailed => pb::Incomplete::UpstreamFailed,
        Incomplete::Deadline => pb::Incomplete::Deadline,
    }
}

fn incomplete_from_wire(reason: pb::Incomplete) -> Option<Incomplete> {
    Some(match reason {
        pb::Incomplete::Unspecified => return None,
        pb::Incomplete::Loop => Incomplete::Loop,
        pb::Incomplete::Duplicate => Incomplete::Duplicate,
        pb::Incomplete::HopLimit => Incomplete::HopLimit,
        pb::Incomplete::Busy => Incomplete::Busy,
        pb::Incomplete::Degraded => Incomplete::Degraded,
        pb::Incomplete::DedupFull => Incomplete::DedupFull,
        pb::Incomplete::ClockSkew => Incomplete::ClockSkew,
        pb::Incomplete::UpstreamFailed => Incomplete::UpstreamFailed,
        pb::Incomplete::Deadline => Incomplete::Deadline,
    })
}
