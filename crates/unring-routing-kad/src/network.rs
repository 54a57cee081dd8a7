//! The event loop: one task that owns the swarm and feeds the dial policy.

use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures::StreamExt;
use libp2p::core::transport::ListenerId;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{DialError, ListenError, SwarmEvent};
use libp2p::{Swarm, ping};
use libp2p_identity::{Keypair, PeerId};
use multiaddr::Multiaddr;
use tokio::time::{sleep_until, timeout};

use crate::bind::{self, BindError};
use crate::config::{BIND_DEADLINE, CLOSE_DEADLINE, Config};
use crate::dialer::{Dial, Dialer};
use crate::failure::{DialFailure, chain};
use crate::handle::{Event, EventReceiver, Handle, Outlets, channels};
use crate::swarm::{self, Behaviour, BehaviourEvent};

/// A bound libp2p network; [`run`](Self::run) makes it work.
///
/// Connections run as tasks of the tokio runtime that polls it. libp2p's timers are fired by one helper thread of
/// the whole process (`futures-timer`), which sleeps until one is due.
pub struct Network {
    swarm: Swarm<Behaviour>,
    dialer: Dialer,
    outlets: Outlets,
    /// Listeners that have not reported an address yet, while binding.
    unready: HashMap<ListenerId, Multiaddr>,
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
        let mut swarm = swarm::build(&keypair, &config)?;
        for address in &config.external {
            swarm.add_external_address(address.clone());
        }
        let (outlets, handle, events) = channels(local);
        let dialer = Dialer::new(local, config.dial, rand::random());
        let mut network = Self { swarm, dialer, outlets, unready: HashMap::new() };
        for address in config.listen {
            let id = bind::listen(&mut network.swarm, &address)?;
            network.unready.insert(id, address);
        }
        network.until_listening().await?;
        Ok((network, handle, events))
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
        loop {
            self.dial_due();
            let due = self.dialer.next_due();
            tokio::select! {
                biased;
                changed = self.outlets.wish.changed() => {
                    let wish = self.outlets.wish.borrow_and_update().clone();
                    if changed.is_err() || wish.shutdown {
                        break;
                    }
                    let selection = self.dialer.set_wanted(Instant::now(), &wish.peers);
                    let gauges = &self.outlets.gauges;
                    gauges.left_out.store(selection.left_out, Ordering::Relaxed);
                    gauges.skipped_addresses.store(selection.skipped_addresses, Ordering::Relaxed);
                    self.swarm.behaviour_mut().gate.set_wanted(selection.known, selection.chosen);
                }
                () = async { match due {
                    Some(due) => sleep_until(due.into()).await,
                    None => pending().await,
                }} => {}
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
            }
        }
        self.close().await;
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
            if let Err(error) = self.swarm.dial(options) {
                self.on_dial_error(peer, &error);
            }
        }
    }

    fn on_dial_error(&mut self, peer: PeerId, error: &DialError) {
        let failure = DialFailure::new(error);
        self.dialer.on_dial_failed(Instant::now(), peer, failure.wrong_address());
        // Not a failure: the peer was faster, or another part of the swarm dials it already.
        if matches!(error, DialError::DialPeerConditionFalse(_)) {
            return;
        }
        self.outlets.gauges.dial_failures.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%peer, %failure, "dial failed");
        self.outlets.tell(Event::DialFailed { peer, failure });
    }

    fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished {
                peer_id: peer, endpoint, num_established, ..
            } => {
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
                    self.dialer.on_disconnected(Instant::now(), peer);
                    self.outlets.connected.send_modify(|connected| _ = connected.remove(&peer));
                    let cause = cause.map(|cause| chain(&cause));
                    tracing::debug!(%peer, ?cause, "disconnected");
                    self.outlets.tell(Event::Disconnected { peer, cause });
                }
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                self.on_dial_error(peer, &error)
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                let gauges = &self.outlets.gauges;
                let denied = matches!(error, ListenError::Denied { .. });
                let counter = if denied { &gauges.denied } else { &gauges.handshake_failures };
                counter.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(error = chain(&error), "incoming connection failed");
            }
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
            _ => {}
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
