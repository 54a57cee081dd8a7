//! What the rest of the node holds of a running network.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::config::{EVENT_QUEUE, MAX_CONNECTS_WAITING, WantedPeer};
use crate::connect::Request;
use crate::failure::DialFailure;
use crate::lists::Lists;

/// What the callers want; the latest value counts, values in between may never be seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    pub(crate) peers: Arc<[WantedPeer]>,
    pub(crate) lists: Arc<Lists>,
    pub(crate) shutdown: bool,
}

/// Steers and observes a running [`crate::Network`]. Cheap to clone; none of its methods but
/// [`connect`](Self::connect) waits.
///
/// The network ends when all clones are dropped.
#[derive(Debug, Clone)]
pub struct Handle {
    peer_id: PeerId,
    wish: watch::Sender<Wish>,
    connected: watch::Receiver<BTreeSet<PeerId>>,
    listening: watch::Receiver<Vec<Multiaddr>>,
    connects: mpsc::Sender<Request>,
    gauges: Arc<Gauges>,
}

impl Handle {
    /// The local peer id.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Replaces the peers to stay connected to; the latest call wins. See [`crate::Dialer::set_wanted`] for which are
    /// dialled when there are more than places.
    pub fn set_peers(&self, peers: Vec<WantedPeer>) {
        self.wish.send_modify(|wish| wish.peers = peers.into());
    }

    /// Replaces who is let in and who is kept out; the latest call wins. Connections to peers that are kept out now are
    /// closed, what they told is forgotten, and look-ups do not name them. Called before [`crate::Network::run`], it holds
    /// for whoever came while the network was bound, too.
    pub fn set_lists(&self, lists: Lists) {
        self.wish.send_if_modified(|wish| {
            let other = *wish.lists != lists;
            if other {
                wish.lists = Arc::new(lists);
            }
            other
        });
    }

    /// Connects once to whoever answers at `address`, `/ip4|ip6/ADDRESS/tcp/PORT` with or without `/p2p/ID`; a peer that
    /// is named there and connected is returned at once. The connection is kept alive only while the peer is among
    /// [`set_peers`](Self::set_peers). Waits at most for as long as earlier calls and one handshake take, 10 s each; given
    /// up, the dial goes on.
    ///
    /// # Errors
    /// Why nobody answers; [`DialFailure::OwnAddress`] when it is this node that does; [`DialFailure::NotDialled`] also
    /// when [`MAX_CONNECTS_WAITING`] calls wait already or the network has ended.
    pub async fn connect(&self, address: Multiaddr) -> Result<PeerId, DialFailure> {
        let refused = |detail: &str| DialFailure::NotDialled { detail: detail.to_owned() };
        let (reply, outcome) = oneshot::channel();
        if self.connects.try_send(Request { address, reply }).is_err() {
            return Err(refused("too many dials wait, or the network has ended"));
        }
        outcome.await.unwrap_or_else(|_| Err(refused("the network has ended")))
    }

    /// Peers with at least one established connection.
    #[must_use]
    pub fn connected(&self) -> BTreeSet<PeerId> {
        self.connected.borrow().clone()
    }

    /// The same, to wait for changes; an error from it means that the network has ended.
    #[must_use]
    pub fn watch_connected(&self) -> watch::Receiver<BTreeSet<PeerId>> {
        self.connected.clone()
    }

    /// The addresses that are listened on, with the real port where 0 was asked for; never a wildcard.
    #[must_use]
    pub fn listen_addresses(&self) -> Vec<Multiaddr> {
        self.listening.borrow().clone()
    }

    /// Established connections, at most [`crate::Limits::max_connections`].
    #[must_use]
    pub fn connections(&self) -> usize {
        self.gauges.connections.load(Ordering::Relaxed)
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.gauges.counters()
    }

    /// Asks the network to close its connections and end; [`crate::Network::run`] returns when it has.
    pub fn shutdown(&self) {
        self.wish.send_modify(|wish| wish.shutdown = true);
    }
}

/// Counts since the start, and the sizes of the latest selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Dials started to wanted peers.
    pub dials: u64,
    /// Of these, failed.
    pub dial_failures: u64,
    /// Inbound connections denied by a limit.
    pub denied: u64,
    /// Inbound connections that a list denied, after their handshake.
    pub kept_out: u64,
    /// Dials that a list denied, before they began or after the handshake.
    pub kept_out_dials: u64,
    /// Peers whose connections were closed because the lists changed.
    pub kept_out_closed: u64,
    /// Inbound connections whose handshake failed.
    pub handshake_failures: u64,
    /// Of these, because the other end is of another network: another network key, or no libp2p.
    pub other_network: u64,
    /// Streams of others that were reset because their connection has [`crate::MAX_INBOUND_STREAMS_PER_CONNECTION`].
    pub streams_refused: u64,
    /// Connections closed because others needed their places, and they were of no use for longest.
    pub closed: u64,
    /// Pings that were answered.
    pub pings: u64,
    /// Peers of the latest [`Handle::set_peers`] that are not dialled for lack of places.
    pub left_out: usize,
    /// Addresses of the latest [`Handle::set_peers`] that are not used.
    pub skipped_addresses: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) connections: AtomicUsize,
    pub(crate) dials: AtomicU64,
    pub(crate) dial_failures: AtomicU64,
    pub(crate) denied: AtomicU64,
    pub(crate) kept_out: AtomicU64,
    pub(crate) kept_out_dials: AtomicU64,
    pub(crate) kept_out_closed: AtomicU64,
    pub(crate) handshake_failures: AtomicU64,
    pub(crate) other_network: AtomicU64,
    pub(crate) streams_refused: Arc<AtomicU64>,
    pub(crate) closed: AtomicU64,
    pub(crate) pings: AtomicU64,
    pub(crate) left_out: AtomicUsize,
    pub(crate) skipped_addresses: AtomicUsize,
}

impl Gauges {
    fn counters(&self) -> Counters {
        Counters {
            dials: self.dials.load(Ordering::Relaxed),
            dial_failures: self.dial_failures.load(Ordering::Relaxed),
            denied: self.denied.load(Ordering::Relaxed),
            kept_out: self.kept_out.load(Ordering::Relaxed),
            kept_out_dials: self.kept_out_dials.load(Ordering::Relaxed),
            kept_out_closed: self.kept_out_closed.load(Ordering::Relaxed),
            handshake_failures: self.handshake_failures.load(Ordering::Relaxed),
            other_network: self.other_network.load(Ordering::Relaxed),
            streams_refused: self.streams_refused.load(Ordering::Relaxed),
            closed: self.closed.load(Ordering::Relaxed),
            pings: self.pings.load(Ordering::Relaxed),
            left_out: self.left_out.load(Ordering::Relaxed),
            skipped_addresses: self.skipped_addresses.load(Ordering::Relaxed),
        }
    }
}

/// What happened. For information: [`Handle::connected`] is the truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The first connection to a peer is established.
    Connected {
        /// The peer, proven by the handshake.
        peer: PeerId,
    },
    /// The last connection to a peer is gone.
    Disconnected {
        /// The peer.
        peer: PeerId,
        /// Why, unless it was closed on purpose; at most [`crate::MAX_ERROR_TEXT`] bytes.
        cause: Option<String>,
    },
    /// A dial to a wanted peer failed; it is repeated after a back-off.
    DialFailed {
        /// The peer that was wanted.
        peer: PeerId,
        /// Why.
        failure: DialFailure,
    },
    /// A new address is listened on.
    Listening {
        /// The address.
        address: Multiaddr,
    },
    /// Four fifths of the places for other nodes' records are taken; when all are, further records are refused.
    StoreAlmostFull {
        /// Records kept.
        records: usize,
        /// Records kept at most.
        limit: usize,
    },
    /// The receiver was too slow and the oldest events were dropped.
    Missed {
        /// How many.
        count: u64,
    },
}

/// Receives events, at most [`EVENT_QUEUE`] behind.
#[derive(Debug)]
pub struct EventReceiver(broadcast::Receiver<Event>);

impl EventReceiver {
    /// The next event; `None` once the network has ended. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(Event::Missed { count }),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// The network's ends of what [`Handle`] and [`EventReceiver`] hold.
#[derive(Debug)]
pub(crate) struct Outlets {
    pub(crate) wish: watch::Receiver<Wish>,
    pub(crate) connects: mpsc::Receiver<Request>,
    pub(crate) connected: watch::Sender<BTreeSet<PeerId>>,
    pub(crate) listening: watch::Sender<Vec<Multiaddr>>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) gauges: Arc<Gauges>,
}

impl Outlets {
    /// Tells the receiver, if there still is one.
    pub(crate) fn tell(&self, event: Event) {
        if self.events.send(event).is_err() {
            tracing::trace!("nobody listens to network events");
        }
    }
}

pub(crate) fn channels(peer_id: PeerId) -> (Outlets, Handle, EventReceiver) {
    let (wish, wishes) = watch::channel(Wish::default());
    let (connects, connect_requests) = mpsc::channel(MAX_CONNECTS_WAITING);
    let (connected, connected_now) = watch::channel(BTreeSet::new());
    let (listening, listening_now) = watch::channel(Vec::new());
    let (events, receiver) = broadcast::channel(EVENT_QUEUE);
    let gauges = Arc::new(Gauges::default());
    let handle = Handle {
        peer_id,
        wish,
        connected: connected_now,
        listening: listening_now,
        connects,
        gauges: Arc::clone(&gauges),
    };
    (
        Outlets { wish: wishes, connects: connect_requests, connected, listening, events, gauges },
        handle,
        EventReceiver(receiver),
    )
}
