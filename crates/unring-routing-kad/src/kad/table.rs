//! libp2p's behaviour as the keeper of the routing table.
//!
//! Requests of others are served by [`Streams`](super::Streams). What is left to libp2p are the table and the walks that refresh
//! it, and these dial only where strangers may send us.

use std::collections::HashSet;
use std::ops::{Deref, DerefMut};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use libp2p::core::{Endpoint, transport::PortUse};
use libp2p::kad;
use libp2p::swarm::behaviour::ConnectionEstablished;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, DialError, DialFailure, FromSwarm, NetworkBehaviour, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::address;
use crate::kad::config::{MAX_REFRESH_DIALS, REFRESH_DIAL_BURST, REFRESH_DIAL_GAP};
use crate::kad::dials::Pace;
use crate::kad::store::Records;

/// The routing table, and what refreshes it.
pub(crate) struct Table {
    kad: kad::Behaviour<Records>,
    loopback: bool,
    /// Its dials on their way, at most [`MAX_REFRESH_DIALS`].
    dials: HashSet<ConnectionId>,
    pace: Pace,
}

impl Table {
    pub(crate) fn new(kad: kad::Behaviour<Records>) -> Self {
        Self { kad, loopback: false, dials: HashSet::new(), pace: Pace::default() }
    }

    /// Whether loopback addresses lead to other nodes: they do when this node itself is found at one.
    pub(crate) fn set_loopback(&mut self, loopback: bool) {
        self.loopback = loopback;
    }

    /// `address` without a peer id, if `peer` may be dialled there on somebody's word.
    pub(crate) fn usable(&self, address: &Multiaddr, peer: &PeerId) -> Option<Multiaddr> {
        address::hearsay(address, peer, self.loopback)
    }

    /// Whether libp2p may dial now. Its walks ask as many as others name, as fast as these answer or fail.
    fn may_dial(&mut self, now: Instant) -> bool {
        let room = self.dials.len() < MAX_REFRESH_DIALS;
        room && self.pace.take(now, REFRESH_DIAL_GAP, REFRESH_DIAL_BURST)
    }

    /// Where a peer is that is in the table.
    pub(crate) fn addresses(&mut self, peer: &PeerId) -> Vec<Multiaddr> {
        let Some(bucket) = self.kad.kbucket(*peer) else { return Vec::new() };
        let entries = bucket.iter().filter(|entry| entry.node.key.preimage() == peer);
        entries.flat_map(|entry| entry.node.value.iter().cloned().collect::<Vec<_>>()).collect()
    }
}

impl Deref for Table {
    type Target = kad::Behaviour<Records>;

    fn deref(&self) -> &Self::Target {
        &self.kad
    }
}

impl DerefMut for Table {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.kad
    }
}

impl NetworkBehaviour for Table {
    type ConnectionHandler = <kad::Behaviour<Records> as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = kad::Event;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.kad.handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let known = self.kad.handle_pending_outbound_connection(id, peer, addresses, role)?;
        let Some(peer) = peer else { return Ok(Vec::new()) };
        let mut usable: Vec<_> =
            known.iter().filter_map(|address| self.usable(address, &peer)).collect();
        usable.truncate(crate::config::MAX_ADDRESSES_PER_PEER);
        Ok(usable)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.kad.handle_established_outbound_connection(id, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { connection_id, .. })
            | FromSwarm::DialFailure(DialFailure { connection_id, .. }) => {
                self.dials.remove(&connection_id);
            }
            _ => {}
        }
        self.kad.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.kad.on_connection_handler_event(peer, id, event);
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            let action = ready!(self.kad.poll(cx));
            let ToSwarm::Dial { opts } = &action else { return Poll::Ready(action) };
            let (connection_id, peer_id) = (opts.connection_id(), opts.get_peer_id());
            if self.may_dial(Instant::now()) {
                self.dials.insert(connection_id);
                return Poll::Ready(action);
            }
            // To the walk it is as if nobody were there, and the table stays as it is.
            let error = &DialError::Aborted;
            let failure = DialFailure { peer_id, error, connection_id };
            self.kad.on_swarm_event(FromSwarm::DialFailure(failure));
        }
    }
}
