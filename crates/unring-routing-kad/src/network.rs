//! The event loop: one task that owns the swarm and feeds the dial policy.

mod admission;

use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures::StreamExt;
use libp2p::core::transport::ListenerId;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{ConnectionId, DialError, SwarmEvent};
use libp2p::{Swarm, identify, kad, ping};
use libp2p_identity::{Keypair, PeerId};
use multiaddr::Multiaddr;
use tokio::time::{sleep_until, timeout};

use crate::address;
use crate::bind::{self, BindError};
use crate::config::{BIND_DEADLINE, CLOSE_DEADLINE, Config, WantedPeer};
use crate::connect::Connects;
use crate::dialer::{Dial, Dialer};
use crate::failure::{DialFailure, chain};
use crate::gate::Gate;
use crate::handle::{Event, EventReceiver, Handle, Outlets, channels};
use crate::kad::{Command, Driver, KadRouter, Server, StreamEvent};
use crate::mux::Multiplex;
use crate::swarm::{self, Behaviour, BehaviourEvent};
use crate::usage::Usage;

/// A bound libp2p network; [`run`](Self::run) makes it work.
///
/// Connections run as tasks of the tokio runtime that polls it. libp2p's timers are fired by one helper thread of
/// the whole process (`futures-timer`), which sleeps until one is due.
pub struct Network {
    swarm: Swarm<Behaviour>,
    dialer: Dialer,
    /// Dials on behalf of `dialer`; it does not hear of those of others. At most [`crate::MAX_DIALS_IN_FLIGHT`].
    dials: HashSet<ConnectionId>,
    connects: Connects,
    outlets: Outlets,
    /// Listeners that have not reported an address yet, while binding.
    unready: HashMap<ListenerId, Multiaddr>,
    kad: Option<Kad>,
}

/// Kademlia, in a network that takes part in it.
struct Kad {
    server: Server,
    /// Until [`Network::run`] takes it.
    driver: Option<Driver>,
    router: Option<Arc<KadRouter>>,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("peer_id", self.swarm.local_peer_id())
            .finish_non_exhaustive()
    }
}

impl Network {
    /// Binds the listeners; when it returns, each listens and [`Handle::listen_addresses`] names its addresses.
    ///
    /// # Errors
    /// See [`BindError`]; everything that was bound is free again.
    ///
    /// # Panics
    /// As tokio does, outside a tokio runtime with I/O and time enabled. [`run`](Self::run) belongs on the same one.
    pub async fn bind(
        keypair: Keypair,
        config: Config,
    ) -> Result<(Self, Handle, EventReceiver), BindError> {
        bind::validate(&config)?;
        let local = keypair.public().to_peer_id();
        let usage = Usage::default();
        let server = config.kad.map(|kad| Server::new(local, kad, usage.clone()));
        let (server, behaviours) = server.transpose().map_err(BindError::Protocol)?.unzip();
        let (outlets, handle, events) = channels(local);
        let multiplex = Multiplex { refused: Arc::clone(&outlets.gauges.streams_refused) };
        let gate = Gate::new(config.limits, usage, Arc::clone(&outlets.gauges));
        let mut swarm = swarm::build(&keypair, &config, multiplex, gate, behaviours)?;
        for address in &config.external {
            swarm.add_external_address(address.clone());
        }
        let dialer = Dialer::new(local, config.dial, rand::random());
        let kad = server.map(|server| Kad { server, driver: None, router: None });
        let connects = Connects::default();
        let (dials, unready) = Default::default();
        let mut network = Self { swarm, dialer, dials, connects, outlets, unready, kad };
        for address in config.listen {
            let id = bind::listen(&mut network.swarm, &address)?;
            network.unready.insert(id, address);
        }
        network.until_listening().await?;
        network.begin_kad(config.external);
        Ok((network, handle, events))
    }

    /// What finds content, in a network that takes part in Kademlia. It works while the network [runs](Self::run), and the network
    /// does not end because of it.
    #[must_use]
    pub fn router(&self) -> Option<Arc<KadRouter>> {
        self.kad.as_ref()?.router.clone()
    }

    /// The one address that other nodes are told, instead of the one before. Needed with Kademlia when there are several listen
    /// addresses, as with a wildcard, and none was configured: until then this node asks, and advertises nothing.
    pub fn announce(&mut self, address: Multiaddr) {
        let before: Vec<_> = self.swarm.external_addresses().cloned().collect();
        before.iter().for_each(|address| self.swarm.remove_external_address(address));
        self.swarm.add_external_address(address.clone());
        self.provide_at(vec![address]);
    }

    /// Has others told of these addresses, whatever they are.
    pub(crate) fn provide_at(&mut self, addresses: Vec<Multiaddr>) {
        // A node that can be found there only, or listens there only, has its neighbours there.
        let announced = !addresses.is_empty() && addresses.iter().all(address::is_loopback);
        let listening = self.swarm.listeners().all(address::is_loopback);
        let loopback = announced || (listening && self.swarm.listeners().next().is_some());
        if let Some(kad) = self.swarm.behaviour_mut().kad.as_mut() {
            kad.set_loopback(loopback);
            kad.store_mut().set_own_addresses(addresses.clone());
        }
        if let Some(driver) = self.kad.as_mut().and_then(|kad| kad.driver.as_mut()) {
            driver.announce(addresses);
        }
    }

    fn begin_kad(&mut self, external: Vec<Multiaddr>) {
        let Some(kad) = &mut self.kad else { return };
        let local = *self.swarm.local_peer_id();
        if let Some(behaviour) = self.swarm.behaviour_mut().kad.as_mut() {
            let wish = self.outlets.wish.clone();
            let (driver, router) = kad.server.driver(local, external.clone(), wish, behaviour);
            (kad.driver, kad.router) = (Some(driver), Some(Arc::new(router)));
        }
        let listening: Vec<_> = self.swarm.listeners().cloned().collect();
        match (external.as_slice(), listening.as_slice()) {
            ([], [only]) => self.announce(only.clone()),
            _ => self.provide_at(external),
        }
    }

    async fn until_listening(&mut self) -> Result<(), BindError> {
        let deadline = tokio::time::Instant::now() + BIND_DEADLINE;
        while let Some(address) = self.unready.values().next() {
            let event = tokio::select! {
                event = self.swarm.select_next_some() => event,
                () = sleep_until(deadline) => return Err(bind::not_ready(address, None)),
            };
            if let SwarmEvent::ListenerClosed { listener_id, reason, .. } = event {
                if let Some(address) = self.unready.get(&listener_id) {
                    return Err(bind::not_ready(address, reason.err()));
                }
            } else {
                self.on_swarm_event(event);
            }
        }
        Ok(())
    }

    /// Runs until [`Handle::shutdown`] is called or the last [`Handle`] is dropped, then closes all connections
    /// within a second. Dropping the future closes them without a farewell.
    pub async fn run(mut self) {
        let kad = self.kad.as_mut();
        let driver = kad.and_then(|kad| (kad.router.take(), kad.driver.take()).1);
        let driving = async {
            if let Some(driver) = driver {
                driver.run().await;
            }
            // The network goes on without it.
            pending::<()>().await;
        };
        tokio::select! {
            () = self.serve() => {}
            () = driving => {}
        }
        self.close().await;
    }

    async fn serve(&mut self) {
        loop {
            self.dial_due();
            let due = self.dialer.next_due();
            let expiry = self.kad.as_ref().map(|kad| kad.server.next_expiry());
            tokio::select! {
                biased;
                changed = self.outlets.wish.changed() => {
                    let wish = self.outlets.wish.borrow_and_update().clone();
                    if changed.is_err() || wish.shutdown {
                        break;
                    }
                    self.take_lists(&wish.lists);
                    let let_in = |wanted: &&WantedPeer| wish.lists.let_in(&wanted.peer);
                    let wanted: Vec<_> = wish.peers.iter().filter(let_in).cloned().collect();
                    let selection = self.dialer.set_wanted(Instant::now(), &wanted);
                    let gauges = &self.outlets.gauges;
                    gauges.left_out.store(selection.left_out, Ordering::Relaxed);
                    gauges.skipped_addresses.store(selection.skipped_addresses, Ordering::Relaxed);
                    self.swarm.behaviour_mut().gate.set_wanted(selection.known, selection.chosen);
                }
                () = until(due) => {}
                () = until(expiry) => {
                    if let Some(kad) = &mut self.kad {
                        kad.server.expire(self.swarm.behaviour_mut(), Instant::now());
                    }
                }
                Some(command) = next_command(&mut self.kad) => {
                    if let Some(kad) = &self.kad {
                        kad.server.on_command(self.swarm.behaviour_mut(), command);
                    }
                }
                Some(request) = self.outlets.connects.recv(), if self.connects.has_room() => {
                    self.connects.start(&mut self.swarm, request);
                }
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
            }
        }
    }

    fn dial_due(&mut self) {
        if let Some(chosen) = self.dialer.take_changed() {
            self.swarm.behaviour_mut().gate.set_chosen(chosen);
        }
        for Dial { peer, addresses } in self.dialer.poll(Instant::now()) {
            self.outlets.gauges.dials.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%peer, ?addresses, "dialling");
            // A port of its own: with the listener's, two nodes that dial each other at once would open one and the
            // same TCP connection from both ends, in which neither is the one that accepts.
            let options = DialOpts::peer_id(peer).allocate_new_port().addresses(addresses).build();
            let id = options.connection_id();
            match self.swarm.dial(options) {
                Ok(()) => _ = self.dials.insert(id),
                // Not a failure: the peer was faster, or another part of the node dials it already.
                Err(DialError::DialPeerConditionFalse(_)) => {
                    self.dialer.on_dial_skipped(Instant::now(), peer);
                }
                Err(error) => self.on_dial_error(peer, &error),
            }
        }
    }

    fn on_dial_error(&mut self, peer: PeerId, error: &DialError) {
        let failure = DialFailure::new(error);
        self.dialer.on_dial_failed(Instant::now(), peer, failure.wrong_address());
        self.outlets.gauges.dial_failures.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%peer, %failure, "dial failed");
        self.outlets.tell(Event::DialFailed { peer, failure });
    }

    fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished {
                peer_id: peer,
                connection_id,
                endpoint,
                num_established,
                ..
            } => {
                self.dials.remove(&connection_id);
                self.connects.on_connected(connection_id, peer);
                self.dialer.on_connected(Instant::now(), peer, endpoint.is_dialer());
                self.count_connections();
                if num_established.get() == 1 {
                    self.outlets.connected.send_modify(|connected| _ = connected.insert(peer));
                    tracing::debug!(%peer, "connected");
                    self.outlets.tell(Event::Connected { peer });
                }
            }
            SwarmEvent::ConnectionClosed { peer_id: peer, num_established, cause, .. } => {
                self.count_connections();
                if num_established == 0 {
                    if let Some(kad) = &mut self.kad {
                        kad.server.on_disconnected(&peer);
                    }
                    self.dialer.on_disconnected(Instant::now(), peer);
                    self.outlets.connected.send_modify(|connected| _ = connected.remove(&peer));
                    let cause = cause.map(|cause| chain(&cause));
                    tracing::debug!(%peer, ?cause, "disconnected");
                    self.outlets.tell(Event::Disconnected { peer, cause });
                }
            }
            SwarmEvent::OutgoingConnectionError { peer_id, connection_id, error } => {
                self.connects.on_failed(connection_id, &error);
                let own = self.dials.remove(&connection_id);
                if let Some(peer) = peer_id.filter(|_| own) {
                    self.on_dial_error(peer, &error);
                }
            }
            SwarmEvent::IncomingConnectionError { error, .. } => self.on_incoming_error(&error),
            SwarmEvent::NewListenAddr { listener_id, address } => {
                self.unready.remove(&listener_id);
                self.publish_listening();
                self.outlets.tell(Event::Listening { address });
            }
            SwarmEvent::ExpiredListenAddr { .. } => self.publish_listening(),
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::warn!(
                    ?addresses,
                    ?reason,
                    "no longer listening: other peers cannot connect to these"
                );
                self.publish_listening();
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping)) => self.on_ping(&ping),
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
                peer_id,
                info,
                ..
            })) if self.lets_in(&peer_id) => {
                if let Some(kad) = &mut self.kad {
                    let behaviour = self.swarm.behaviour_mut();
                    let (protocols, addresses) = (&info.protocols, &info.listen_addrs);
                    kad.server.on_identified(behaviour, peer_id, protocols, addresses);
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Kad(event)) => self.on_kad_event(&event),
            SwarmEvent::Behaviour(BehaviourEvent::Streams(event)) => self.on_stream_event(event),
            _ => {}
        }
    }

    fn on_kad_event(&mut self, event: &kad::Event) {
        if let Some(kad) = &self.kad {
            kad.server.on_event(self.swarm.behaviour_mut(), event);
        }
    }

    fn on_stream_event(&mut self, event: StreamEvent) {
        let Some(kad) = &self.kad else { return };
        match event {
            StreamEvent::Unreachable(peer) => {
                kad.server.on_unreachable(self.swarm.behaviour_mut(), &peer);
            }
            // The connection of who is kept out is about to close.
            StreamEvent::Asked(asked) if !self.lets_in(&asked.peer) => drop(asked),
            StreamEvent::Asked(asked) => {
                if let Some(records) = kad.server.on_asked(self.swarm.behaviour_mut(), asked) {
                    let limit = kad.server.capacity();
                    self.outlets.tell(Event::StoreAlmostFull { records, limit });
                }
            }
        }
    }

    fn on_ping(&mut self, ping: &ping::Event) {
        match &ping.result {
            Ok(_) => _ = self.outlets.gauges.pings.fetch_add(1, Ordering::Relaxed),
            // A peer that does not speak ping is left alone.
            Err(ping::Failure::Unsupported) => {}
            // libp2p only reports it: a host that lost its power would stay connected until TCP gives up.
            Err(ping::Failure::Timeout | ping::Failure::Other { .. }) => {
                tracing::debug!(peer = %ping.peer, "closing a silent connection");
                self.swarm.close_connection(ping.connection);
            }
        }
    }

    fn count_connections(&self) {
        let count = self.swarm.behaviour().gate.established();
        self.outlets.gauges.connections.store(count, Ordering::Relaxed);
    }

    fn publish_listening(&self) {
        let addresses: Vec<_> = self.swarm.listeners().cloned().collect();
        self.outlets.listening.send_replace(addresses);
    }

    /// Tells each peer goodbye, for at most [`CLOSE_DEADLINE`].
    async fn close(mut self) {
        let peers: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            if self.swarm.disconnect_peer_id(peer).is_err() {
                tracing::trace!(%peer, "already gone");
            }
        }
        let closing = async {
            while self.swarm.connected_peers().next().is_some() {
                let event = self.swarm.select_next_some().await;
                if let SwarmEvent::ConnectionEstablished { connection_id, .. } = &event {
                    self.swarm.close_connection(*connection_id);
                }
                self.on_swarm_event(event);
            }
        };
        if timeout(CLOSE_DEADLINE, closing).await.is_err() {
            tracing::debug!("some connections did not close in time");
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => pending().await,
    }
}

async fn next_command(kad: &mut Option<Kad>) -> Option<Command> {
    match kad {
        Some(kad) => kad.server.commands.recv().await,
        None => pending().await,
    }
}
