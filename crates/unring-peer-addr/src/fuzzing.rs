//! What reads the bytes of others, as functions for the fuzz targets. No part of the API: it changes with what it calls.

use std::time::Duration;

use rustls::pki_types::UnixTime;
use unring_exchange::{OutboundRequest, RemoteAnswer, Request};
use unring_peer::{PeerId, UnixMillis};

use crate::{
    InvalidCertificate, InvalidMessage, OutboundOpen, RemoteBatch, RemoteTopology, Unauthenticated,
    WatchOpen, WatchUpdate, caller, convert, pb, tls,
};

/// What a server reads of a call for peers.
pub fn request(wire: pb::ListPeersRequest) -> Result<(Request, bool), InvalidMessage> {
    convert::request_from_wire(wire)
}

/// What a client writes.
#[must_use]
pub fn request_to_wire(request: &OutboundRequest) -> pb::ListPeersRequest {
    convert::request_to_wire(request)
}

/// What a server reads first of a stream.
pub fn open(
    wire: pb::WatchPeersRequest,
) -> Result<(WatchOpen, Option<WatchUpdate>), InvalidMessage> {
    convert::open_from_wire(wire)
}

/// What a client opens a stream with.
#[must_use]
pub fn open_to_wire(open: &OutboundOpen) -> pb::WatchPeersRequest {
    convert::open_to_wire(open)
}

/// What a server reads further of a stream.
pub fn update(wire: pb::WatchPeersRequest) -> Result<WatchUpdate, InvalidMessage> {
    convert::update_from_wire(wire)
}

/// What a client reads of an answer.
pub fn answer(
    wire: pb::ListPeersResponse,
    peer: Option<PeerId>,
) -> Result<RemoteAnswer, InvalidMessage> {
    convert::answer_from_wire(wire, peer)
}

/// What a client reads of a stream.
pub fn batch(
    wire: pb::WatchPeersResponse,
    peer: Option<PeerId>,
) -> Result<RemoteBatch, InvalidMessage> {
    convert::batch_from_wire(wire, peer)
}

/// What a client reads of a graph of joins.
pub fn topology(
    wire: pb::GetTopologyResponse,
    peer: Option<PeerId>,
) -> Result<RemoteTopology, InvalidMessage> {
    convert::topology_from_wire(wire, peer)
}

/// Whom a caller in plaintext proves to be.
pub fn proof(proof: &[u8], authority: &str, now: UnixMillis) -> Result<PeerId, Unauthenticated> {
    caller::check_proof(proof, authority, now)
}

/// Whose certificate this is, at this time since 1970.
pub fn certificate(der: &[u8], now: Duration) -> Result<PeerId, InvalidCertificate> {
    tls::checked_peer(der, UnixTime::since_unix_epoch(now))
}
