//! Requests and their traces.

use unring_exchange::{
    Hop, MAX_HOP_LIMIT, MAX_PATH, OutboundRequest, Request, RequestId, Scope, Stamp, Trace,
};
use unring_peer::UnixMillis;

use super::{InvalidMessage, at_most, peer_id, public_key, records, signature, sixteen, wire_u32};
use crate::limits::MAX_PEERS;
use crate::pb;

/// The request, and whether the caller wants its records decoded.
pub(crate) fn request_from_wire(
    wire: pb::ListPeersRequest,
) -> Result<(Request, bool), InvalidMessage> {
    let scope = match pb::Scope::try_from(wire.scope) {
        Ok(pb::Scope::Unspecified | pb::Scope::Local) => Scope::Local,
        Ok(pb::Scope::Recursive) => Scope::Recursive,
        Err(_) => return Err(InvalidMessage::Unknown { field: "scope", got: wire.scope }),
    };
    let request = Request {
        scope,
        max_peers: usize::try_from(wire.max_peers).map_or(MAX_PEERS, |peers| peers.min(MAX_PEERS)),
        trace: wire.trace.map(trace_from_wire).transpose()?,
        caller_record: records::callers(wire.caller_record)?,
    };
    Ok((request, wire.decode))
}

pub(crate) fn request_to_wire(request: &OutboundRequest) -> pb::ListPeersRequest {
    let scope = match request.scope {
        Scope::Local => pb::Scope::Local,
        Scope::Recursive => pb::Scope::Recursive,
    };
    pb::ListPeersRequest {
        scope: scope.into(),
        max_peers: wire_u32(request.max_peers),
        trace: request.trace.as_ref().map(trace_to_wire),
        caller_record: request.caller_record.as_ref().map(records::to_wire),
        decode: false,
    }
}

fn trace_from_wire(wire: pb::Trace) -> Result<Trace, InvalidMessage> {
    at_most("trace.path", wire.path.len(), MAX_PATH)?;
    let hop_limit = u8::try_from(wire.hop_limit).map_err(|_| InvalidMessage::TooLarge {
        field: "trace.hop_limit",
        got: wire.hop_limit.into(),
        max: MAX_HOP_LIMIT.into(),
    })?;
    let path = wire.path.iter().map(|hop| {
        Ok(Hop {
            peer: peer_id("trace.path.peer_id", &hop.peer_id)?,
            stamp: Stamp::new(sixteen("trace.path.stamp", &hop.stamp)?),
        })
    });
    Ok(Trace {
        origin: peer_id("trace.origin", &wire.origin)?,
        origin_key: public_key("trace.origin_public_key", &wire.origin_public_key)?,
        request_id: RequestId::new(sixteen("trace.request_id", &wire.request_id)?),
        issued_at: UnixMillis::new(wire.issued_at_unix_ms),
        signature: signature("trace.origin_signature", wire.origin_signature)?,
        path: path.collect::<Result<_, _>>()?,
        hop_limit,
    })
}

fn trace_to_wire(trace: &Trace) -> pb::Trace {
    let hop =
        |hop: &Hop| pb::Hop { peer_id: hop.peer.to_base58(), stamp: hop.stamp.as_bytes().to_vec() };
    pb::Trace {
        origin: trace.origin.to_base58(),
        origin_public_key: trace.origin_key.encode_protobuf(),
        request_id: trace.request_id.as_bytes().to_vec(),
        issued_at_unix_ms: trace.issued_at.get(),
        origin_signature: trace.signature.clone(),
        path: trace.path.iter().map(hop).collect(),
        hop_limit: trace.hop_limit.into(),
    }
}
