//! The behaviour that opens streams of the protocol, connecting first where it must, and serves those that others open.
//!
//! Not `libp2p-stream`: in 0.5.0-alpha it keeps a channel for each connection that there ever was.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::Instant;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::core::{Endpoint, transport::PortUse};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId,
    DialError, DialFailure, FromSwarm, NetworkBehaviour, NotifyHandler, Stream, StreamProtocol,
    StreamUpgradeError, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
    behaviour::ConnectionEstablished,
};
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::failure::DialFailure as Failure;
use crate::kad::config::REQUEST_TIMEOUT;
use crate::kad::dials::{Dials, Next, Outcome};
use crate::kad::inbound::{Asked, Inbound, KadRefusals, Share};
use crate::kad::patience::Patience;
use crate::kad::wire::Contact;
use crate::usage::{InUse, Usage};

/// Why there is no stream.
#[derive(Debug, Error)]
pub(crate) enum OpenError {
    #[error("failed to connect")]
    Connect(#[source] Failure),
    #[error("nobody knows where the peer is")]
    NoAddress,
    #[error("too many peers that only others know were dialled")]
    Paced,
    #[error("the peer does not speak the protocol")]
    Unsupported,
    #[error("the stream was not negotiated")]
    Negotiate(#[source] std::io::Error),
}

/// Where a stream is wanted. Nobody waits for it when its receiver is gone.
#[derive(Debug)]
pub(crate) struct Wanted {
    reply: oneshot::Sender<Result<Stream, OpenError>>,
    in_use: Weak<OnceLock<InUse>>,
}

/// Whoever wants a stream holds this until it needs the stream no more: so long the connection is in use, and no longer, whatever
/// becomes of the negotiation.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) stream: oneshot::Receiver<Result<Stream, OpenError>>,
    _in_use: Arc<OnceLock<InUse>>,
}

impl Wanted {
    pub(crate) fn new() -> (Self, Waiting) {
        let (reply, stream) = oneshot::channel();
        let in_use = Arc::default();
        (Self { reply, in_use: Arc::downgrade(&in_use) }, Waiting { stream, _in_use: in_use })
    }

    fn is_given_up(&self) -> bool {
        self.reply.is_closed()
    }

    fn of(&self, usage: &Usage, connection: ConnectionId) {
        if let Some(in_use) = self.in_use.upgrade() {
            // One stream is of one connection.
            drop(in_use.set(usage.begin(connection)));
        }
    }

    fn send(self, result: Result<Stream, OpenError>) {
        // Whoever gave up needs no answer.
        drop(self.reply.send(result));
    }
}

/// What the network's loop is told.
#[derive(Debug)]
pub(crate) enum StreamEvent {
    /// The peer does not answer where it said itself that it is.
    Unreachable(PeerId),
    /// Somebody asks.
    Asked(Asked),
}

/// Opens streams. All that it holds is waited for by somebody, so its size is bounded by the requests on their way.
pub(crate) struct Streams {
    protocol: StreamProtocol,
    connections: HashMap<PeerId, Vec<ConnectionId>>,
    /// Until the peer is connected or its dials failed.
    waiting: HashMap<PeerId, Vec<Wanted>>,
    dials: Dials,
    actions: VecDeque<ToSwarm<StreamEvent, Wanted>>,
    inbound: Inbound,
    requests: mpsc::Receiver<Asked>,
    /// Of everyone connected.
    shares: HashMap<PeerId, Arc<Share>>,
    patience: Patience,
    usage: Usage,
}

impl Streams {
    pub(crate) fn new(
        protocol: StreamProtocol,
        refusals: Arc<KadRefusals<AtomicU64>>,
        patience: Patience,
        usage: Usage,
    ) -> Self {
        let (connections, waiting, actions, shares) = Default::default();
        let (inbound, requests) = Inbound::new(refusals);
        let dials = Dials::new();
        Self {
            protocol,
            connections,
            waiting,
            dials,
            actions,
            inbound,
            requests,
            shares,
            patience,
            usage,
        }
    }

    /// Opens a stream to the contact, at the addresses of the routing table or, failing these, at its own.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        contact: Contact,
        table: Vec<Multiaddr>,
        wanted: Wanted,
    ) {
        let Contact { peer, addresses } = contact;
        // One that gives way takes nothing any more, and its peer is dialled when it is gone.
        let stays = |id: &&ConnectionId| !self.usage.is_closing(**id);
        let connection = self.connections.get(&peer).and_then(|all| all.iter().find(stays));
        if let Some(connection) = connection {
            self.notify(peer, *connection, wanted);
            return;
        }
        if !self.dials.want(peer, table, addresses) {
            wanted.send(Err(OpenError::NoAddress));
            return;
        }
        let waiting = self.waiting.entry(peer).or_default();
        waiting.retain(|wanted| !wanted.is_given_up());
        waiting.push(wanted);
        self.dial(now);
    }

    /// Starts the dials for which there is room.
    fn dial(&mut self, now: Instant) {
        // Dials of nobody's interest make room before others are begun.
        self.waiting.retain(|_, all| {
            all.retain(|wanted| !wanted.is_given_up());
            !all.is_empty()
        });
        // A connection that is in use does not give way, so those that would have to wait for one do so before they are dialled.
        while self.usage.free(self.dials.in_flight()) > 0 {
            let next = self.dials.next(now, |peer| self.waiting.contains_key(peer));
            let Some(next) = next else { break };
            match next {
                Next::Dial { peer, addresses } => {
                    let opts = DialOpts::peer_id(peer)
                        .condition(PeerCondition::DisconnectedAndNotDialing)
                        .addresses(addresses)
                        // As with all dials of this node: never from the listener's port.
                        .allocate_new_port()
                        .build();
                    self.dials.began(opts.connection_id(), peer);
                    self.patience.dialled(peer);
                    self.actions.push_back(ToSwarm::Dial { opts });
                }
                Next::Paced(peer) => self.fail(peer, || OpenError::Paced),
            }
        }
    }

    fn fail(&mut self, peer: PeerId, error: impl Fn() -> OpenError) {
        for wanted in self.waiting.remove(&peer).into_iter().flatten() {
            wanted.send(Err(error()));
        }
    }

    fn notify(&mut self, peer_id: PeerId, connection: ConnectionId, wanted: Wanted) {
        wanted.of(&self.usage, connection);
        let handler = NotifyHandler::One(connection);
        self.actions.push_back(ToSwarm::NotifyHandler { peer_id, handler, event: wanted });
    }

    fn on_dial_failure(&mut self, now: Instant, id: ConnectionId, peer: PeerId, error: &DialError) {
        self.patience.dial_ended(&peer);
        // Somebody else dials it already, or it is connected: that decides.
        if matches!(error, DialError::DialPeerConditionFalse(_)) {
            self.dials.elsewhere(id);
        } else {
            let failure = Failure::new(error);
            if let Outcome::Failed { peer, unreachable } = self.dials.failed(id, peer, &failure) {
                self.fail(peer, || OpenError::Connect(failure.clone()));
                if unreachable {
                    self.actions.push_back(ToSwarm::GenerateEvent(StreamEvent::Unreachable(peer)));
                }
            }
        }
        self.dial(now);
    }

    fn handler(&mut self, id: ConnectionId, peer: PeerId) -> Opener {
        let share = self.shares.entry(peer).or_insert_with(|| Arc::new(Share::new()));
        Opener {
            id,
            peer,
            usage: self.usage.clone(),
            protocol: self.protocol.clone(),
            wanted: VecDeque::new(),
            inbound: self.inbound.clone(),
            share: Arc::clone(share),
            serving: FuturesUnordered::new(),
        }
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Opener;
    type ToSwarm = StreamEvent;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _local: &Multiaddr,
        _remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(id, peer))
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _address: &Multiaddr,
        _role: Endpoint,
        _port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(id, peer))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                ..
            }) => {
                self.connections.entry(peer_id).or_default().push(connection_id);
                self.dials.connected(connection_id, &peer_id);
                self.patience.connected(peer_id);
                for wanted in self.waiting.remove(&peer_id).into_iter().flatten() {
                    self.notify(peer_id, connection_id, wanted);
                }
                self.dial(Instant::now());
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                if let Some(all) = self.connections.get_mut(&peer_id) {
                    all.retain(|id| *id != connection_id);
                    if all.is_empty() {
                        self.connections.remove(&peer_id);
                        self.shares.remove(&peer_id);
                        self.patience.disconnected(&peer_id);
                        self.dials.disconnected(&peer_id);
                    }
                }
                self.dial(Instant::now());
            }
            FromSwarm::DialFailure(DialFailure { peer_id: Some(peer), error, connection_id }) => {
                self.on_dial_failure(Instant::now(), connection_id, peer, error);
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
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if self.dials.waits() && self.usage.poll_place(cx, self.dials.in_flight()).is_ready() {
            self.dial(Instant::now());
        }
        // Whoever calls `open` polls the swarm afterwards, so no waker is kept for these.
        if let Some(action) = self.actions.pop_front() {
            return Poll::Ready(action);
        }
        match self.requests.poll_recv(cx) {
            Poll::Ready(Some(asked)) => {
                Poll::Ready(ToSwarm::GenerateEvent(StreamEvent::Asked(asked)))
            }
            // Never without a sender, which is in `inbound`.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

/// Opens and serves the streams of one connection.
pub(crate) struct Opener {
    id: ConnectionId,
    peer: PeerId,
    usage: Usage,
    protocol: StreamProtocol,
    wanted: VecDeque<Wanted>,
    inbound: Inbound,
    share: Arc<Share>,
    /// At most [`crate::MAX_INBOUND_STREAMS`].
    serving: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl ConnectionHandler for Opener {
    type FromBehaviour = Wanted;
    type ToBehaviour = Infallible;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Wanted;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), ())
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Wanted, Infallible>> {
        while let Poll::Ready(Some(())) = self.serving.poll_next_unpin(cx) {}
        while let Some(wanted) = self.wanted.pop_front() {
            if !wanted.is_given_up() {
                let protocol = ReadyUpgrade::new(self.protocol.clone());
                let protocol =
                    SubstreamProtocol::new(protocol, wanted).with_timeout(REQUEST_TIMEOUT);
                return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
            }
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, wanted: Wanted) {
        self.wanted.push_back(wanted);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol, (), Wanted>,
    ) {
        let (wanted, result) = match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: stream,
                ..
            }) => {
                let (id, usage) = (self.id, self.usage.clone());
                let used = move || usage.asked(Instant::now(), id);
                let serving = self.inbound.serve(self.peer, Arc::clone(&self.share), stream, used);
                self.serving.extend(serving.map(futures::FutureExt::boxed));
                return;
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info,
            }) => (info, Ok(stream)),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, info }) => {
                let error = match error {
                    StreamUpgradeError::NegotiationFailed => OpenError::Unsupported,
                    StreamUpgradeError::Timeout => {
                        OpenError::Negotiate(std::io::ErrorKind::TimedOut.into())
                    }
                    StreamUpgradeError::Io(error) => OpenError::Negotiate(error),
                    StreamUpgradeError::Apply(never) => match never {},
                };
                (info, Err(error))
            }
            _ => return,
        };
        wanted.send(result);
    }
}
