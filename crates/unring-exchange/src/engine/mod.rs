//! The state machine of a node. Each event comes with the time; each leaves actions behind.

pub(crate) mod deadline;
mod members;
mod onward;
mod own;
mod push;
mod records;
mod refresh;
mod request;
mod response;
mod restore;
mod samples;
mod select;
mod streams;
mod timers;
mod view;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use unring_cycle_detector::{Config as DetectorConfig, Detector, RingId};
use unring_dedup_store::{Config as DedupConfig, DedupStore};
use unring_peer::{GrpcUrl, Identity, Membership, PeerAddress, PeerId};

pub use self::request::{Admission, Disposition};
pub use self::restore::{Grave, Restored};
pub use self::streams::StreamRefused;
pub use self::view::{PeerView, RecentRequest, UpstreamView};

use self::own::Own;
use self::request::Pending;
use self::response::Call;
use self::samples::Samples;
use crate::action::Action;
use crate::book::Book;
use crate::config::Config;
use crate::counters::Counters;
use crate::id::{CallId, InboundId, StreamId, UpstreamId};
use crate::now::Now;
use crate::stream::Stream;
use crate::trace::{RequestId, StampKey};
use crate::upstream::Upstream;
use crate::verifier::Verifier;

/// A node's side of the exchange: a plain state machine without clock, socket or task.
///
/// Whoever runs it reports events with the `on_` methods, takes the actions that they leave with
/// [`take_actions`](Self::take_actions), and calls [`on_timer`](Self::on_timer) when
/// [`next_timer`](Self::next_timer) says so. The same code runs in the node, in the test over every digraph of four
/// nodes and in the simulator.
#[derive(Debug)]
pub struct Engine<V> {
    config: Config,
    identity: Identity,
    verifier: V,
    membership: Membership,
    stamp_key: StampKey,
    rng: StdRng,
    own: Own,
    book: Book,
    samples: Samples,
    dedup: DedupStore<(PeerId, RequestId), PeerId>,
    detector: Detector<PeerId>,
    detector_swept: Option<Duration>,
    /// The rings for which it is settled which upstreams are on them; none when an upstream leads elsewhere since.
    rings_seen: Option<Vec<RingId>>,
    upstreams: BTreeMap<UpstreamId, Upstream>,
    streams: BTreeMap<StreamId, Stream>,
    /// Bytes of records of all pushes that have not been taken.
    unread_bytes: usize,
    pending: BTreeMap<InboundId, Pending>,
    calls: BTreeMap<CallId, Call>,
    recent: VecDeque<RecentRequest>,
    counters: Counters,
    actions: Vec<Action>,
    next_id: u64,
    /// Upstreams configured so far. They have numbers of their own, which a flood of requests does not use up.
    next_upstream: u32,
    /// When our own recursive request is due.
    recursive_at: Option<Duration>,
    last_recursive: Option<Duration>,
    connected_peers: usize,
    /// Until then a lost connection makes us hurry.
    hurried_until: Duration,
    book_changed: bool,
    /// Names this life of the node, for versions of its book.
    epoch: u64,
}

/// What a node knows of itself when it starts, beside its configuration.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Its key.
    pub identity: Identity,
    /// The `seq` of its last record, from disk; 0 when there is none.
    pub last_seq: u64,
    /// Where libp2p reaches it.
    pub addresses: Vec<PeerAddress>,
    /// Where its gRPC service is.
    pub grpc_url: Option<GrpcUrl>,
    /// Who belongs to its cluster.
    pub membership: Membership,
}

impl<V: Verifier> Engine<V> {
    /// A node without upstreams. Its record is signed at once.
    pub fn new(now: Now, config: Config, origin: Origin, verifier: V) -> Self {
        let mut rng = StdRng::from_seed(config.seed);
        let me = origin.identity.peer_id();
        let mut detector = DetectorConfig::new(me);
        detector.settle = config.ring_settle;
        detector.analysis_gap = config.ring_analysis_gap;
        // Every node of the book and ourselves, and as many again whose record expired, if that is not too much work.
        let capacity = config.book_capacity.get();
        detector.max_nodes =
            detector.max_nodes.min(capacity.saturating_mul(2)).max(capacity.saturating_add(1));
        let dedup = DedupConfig {
            retention: config.dedup_retention,
            capacity: config.dedup_capacity,
            per_introducer: config.dedup_per_caller,
            // A quarter of the room stays for origins whose record we hold.
            reserved_for_known: config.dedup_capacity.get() / 4,
        };
        let own = Own::new(origin.last_seq, origin.addresses, origin.grpc_url);
        let mut engine = Self {
            stamp_key: StampKey::new(rng.random()),
            // 0 is what a client says that has no position.
            epoch: rng.random_range(1..=u64::MAX),
            rng,
            own,
            book: Book::new(config.book_capacity),
            samples: Samples::default(),
            dedup: DedupStore::new(dedup),
            detector: Detector::new(detector),
            detector_swept: None,
            rings_seen: None,
            upstreams: BTreeMap::new(),
            streams: BTreeMap::new(),
            unread_bytes: 0,
            pending: BTreeMap::new(),
            calls: BTreeMap::new(),
            recent: VecDeque::new(),
            counters: Counters::default(),
            actions: Vec::new(),
            next_id: 0,
            next_upstream: 0,
            recursive_at: None,
            last_recursive: None,
            connected_peers: 0,
            hurried_until: Duration::ZERO,
            book_changed: false,
            config,
            identity: origin.identity,
            membership: origin.membership,
            verifier,
        };
        engine.sign_own(now);
        engine
    }

    /// This node's peer id.
    #[must_use]
    pub fn me(&self) -> PeerId {
        self.identity.peer_id()
    }

    /// Names this life of the node, drawn at random: versions of its book mean nothing in another one.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Takes the actions that events have left, in their order.
    #[must_use]
    pub fn take_actions(&mut self) -> Vec<Action> {
        if std::mem::take(&mut self.book_changed) {
            self.actions.push(Action::BookChanged);
        }
        std::mem::take(&mut self.actions)
    }

    /// How many peers are connected over libp2p now. While there is none, and just after one was lost, upstreams are
    /// tried again in quicker succession.
    pub fn set_connected_peers(&mut self, now: Now, connected: usize) {
        if connected < self.connected_peers {
            self.hurried_until = now.mono + refresh::HURRY;
        }
        self.connected_peers = connected;
    }

    fn is_hurried(&self, now: Now) -> bool {
        self.connected_peers == 0 || now.mono < self.hurried_until
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn next_upstream_id(&mut self) -> UpstreamId {
        self.next_upstream += 1;
        UpstreamId(self.next_upstream)
    }
}
