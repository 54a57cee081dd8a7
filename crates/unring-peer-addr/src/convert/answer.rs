//! Answers.

use std::sync::OnceLock;

use unring_exchange::{Incomplete, RemoteAnswer, UpstreamOutcome};
use unring_peer::PeerId;

use super::{
    InvalidMessage, cut, records, responder, retry_after, retry_after_ms, topology, wire_u32,
};
use crate::handler::Reply;
use crate::limits::{ANSWER_RECORD_BYTES, ANSWER_RING_BYTES, MAX_ERROR_BYTES, MAX_OUTCOMES};
use crate::pb;

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

pub(crate) fn answer_to_wire(
    reply: &Reply,
    decode: bool,
    responder: &Responder,
) -> pb::ListPeersResponse {
    let answer = &reply.answer;
    let records: Vec<_> = answer.records.iter().cloned().collect();
    let fitting = records::that_fit(&records, decode, ANSWER_RECORD_BYTES);
    let sent = records.get(..fitting).unwrap_or_default();
    pb::ListPeersResponse {
        records: sent.iter().map(records::to_wire).collect(),
        decoded: records::decoded(sent, decode),
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
