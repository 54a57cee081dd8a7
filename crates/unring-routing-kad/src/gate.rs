//! The behaviour that admits connections and keeps those to wanted peers alive.
//!
//! Not `libp2p::connection_limits`: that keeps an entry for each peer id it ever saw (0.7.0), which a stranger with
//! fresh keys can grow without end, and it lets strangers fill every place. Here each entry goes with its connection.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use libp2p::core::upgrade::DeniedUpgrade;
use libp2p::core::{Endpoint, transport::PortUse};
use libp2p::swarm::handler::ConnectionEvent;
use libp2p::swarm::{
    CloseConnection, ConnectionClosed, ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent,
    ConnectionId, DialFailure, FromSwarm, ListenFailure, NetworkBehaviour, SubstreamProtocol,
    THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use thiserror::Error;

use crate::config::Limits;
use crate::handle::Gauges;
use crate::lists::Lists;
use crate::places::{Place, Places, check};
use crate::usage::Usage;

/// Why a connection was not admitted.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("at most {limit} {kind} connections are allowed")]
pub struct LimitExceeded {
    /// The limit that was reached.
    pub limit: u32,
    /// What it bounds.
    pub kind: LimitKind,
}

/// What a limit bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKind {
    /// Inbound connections in their handshake.
    PendingIncoming,
    /// Outbound connections in their handshake.
    PendingOutgoing,
    /// Established connections to one peer.
    PerPeer,
    /// Established connections to peers that this node did not choose.
    NotChosen,
    /// Established connections in total.
    Established,
}

impl std::fmt::Display for LimitKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::PendingIncoming => "pending incoming",
            Self::PendingOutgoing => "pending outgoing",
            Self::PerPeer => "established per-peer",
            Self::NotChosen => "established not chosen",
            Self::Established => "established",
        })
    }
}

/// Admission and keep-alive of all connections.
pub(crate) struct Gate {
    limits: Limits,
    lists: Arc<Lists>,
    gauges: Arc<Gauges>,
    pending_incoming: HashSet<ConnectionId>,
    pending_outgoing: HashSet<ConnectionId>,
    places: Places,
    /// Connections that give way to others; at most [`crate::config::MAX_CLOSING`] are on their way out.
    closing: VecDeque<(PeerId, ConnectionId)>,
}

impl Gate {
    pub(crate) fn new(limits: Limits, usage: Usage, gauges: Arc<Gauges>) -> Self {
        Self {
            limits,
            lists: Arc::default(),
            gauges,
            pending_incoming: HashSet::new(),
            pending_outgoing: HashSet::new(),
            places: Places::new(limits, usage),
            closing: VecDeque::new(),
        }
    }

    /// Replaces the peers whose connections are kept alive, and those that may take every place.
    pub(crate) fn set_wanted(&mut self, known: BTreeSet<PeerId>, chosen: BTreeSet<PeerId>) {
        self.places.set_wanted(known, chosen);
    }

    /// Replaces the peers that may take every place.
    pub(crate) fn set_chosen(&mut self, chosen: BTreeSet<PeerId>) {
        self.places.set_chosen(chosen);
    }

    /// Replaces who is let in; if that is anything new, those who are connected and kept out now.
    pub(crate) fn set_lists(&mut self, lists: &Arc<Lists>) -> Option<BTreeSet<PeerId>> {
        if *lists == self.lists {
            return None;
        }
        self.lists = Arc::clone(lists);
        Some(self.places.peers().filter(|peer| !self.lists.let_in(peer)).collect())
    }

    pub(crate) fn lists(&self) -> &Lists {
        &self.lists
    }

    /// A dial that goes to somebody who is kept out. Behaviours dial too, and are alone in hearing how that went.
    fn check_dialled(&self, peer: &PeerId) -> Result<(), ConnectionDenied> {
        self.lists.check(peer).map_err(|kept_out| {
            self.gauges.kept_out_dials.fetch_add(1, Ordering::Relaxed);
            ConnectionDenied::new(kept_out)
        })
    }

    /// Established connections.
    pub(crate) fn established(&self) -> usize {
        self.places.len()
    }

    fn admit(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        outbound: bool,
    ) -> Result<KeepAlive, ConnectionDenied> {
        self.pending_incoming.remove(&id);
        self.pending_outgoing.remove(&id);
        let place = self.places.take(Instant::now(), id, peer, outbound);
        let Place { keep, instead_of } = place.map_err(ConnectionDenied::new)?;
        if let Some((other, gives_way)) = instead_of {
            tracing::debug!(peer = %other, "closed to make room: it was of no use for longest");
            self.gauges.closed.fetch_add(1, Ordering::Relaxed);
            self.closing.push_back((other, gives_way));
        }
        Ok(KeepAlive(keep))
    }

    fn forget(&mut self, id: ConnectionId) {
        self.pending_incoming.remove(&id);
        self.pending_outgoing.remove(&id);
        self.places.leave(id);
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = KeepAlive;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _local: &Multiaddr,
        _remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        check(
            self.pending_incoming.len(),
            self.limits.max_pending_incoming,
            LimitKind::PendingIncoming,
        )
        .map_err(ConnectionDenied::new)?;
        self.pending_incoming.insert(id);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _local: &Multiaddr,
        _remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.lists.check(&peer).map_err(ConnectionDenied::new)?;
        self.admit(id, peer, false)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        _addresses: &[Multiaddr],
        _role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if let Some(peer) = peer {
            self.check_dialled(&peer)?;
        }
        check(
            self.pending_outgoing.len(),
            self.limits.max_pending_outgoing,
            LimitKind::PendingOutgoing,
        )
        .map_err(ConnectionDenied::new)?;
        self.pending_outgoing.insert(id);
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _address: &Multiaddr,
        _role: Endpoint,
        _port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.check_dialled(&peer)?;
        self.admit(id, peer, true)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        // Another behaviour may deny what this one admitted: a failure takes the entry back as well.
        match event {
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. })
            | FromSwarm::DialFailure(DialFailure { connection_id, .. })
            | FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => {
                self.forget(connection_id)
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _peer: PeerId,
        _id: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(
        &mut self,
        _cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // Admission is asked for by the swarm, which polls afterwards.
        match self.closing.pop_front() {
            Some((peer_id, id)) => {
                let connection = CloseConnection::One(id);
                Poll::Ready(ToSwarm::CloseConnection { peer_id, connection })
            }
            None => Poll::Pending,
        }
    }
}

/// Keeps its connection alive as long as the flag is set; speaks no protocol.
pub(crate) struct KeepAlive(Arc<AtomicBool>);

impl ConnectionHandler for KeepAlive {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = DeniedUpgrade;
    type OutboundProtocol = DeniedUpgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(DeniedUpgrade, ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn poll(
        &mut self,
        _cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<DeniedUpgrade, (), Infallible>> {
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(
        &mut self,
        _event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
    }
}
