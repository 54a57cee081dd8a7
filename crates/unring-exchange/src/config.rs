//! What an engine is told at its start, and the constants of the protocol.

use std::num::NonZeroUsize;
use std::time::Duration;

/// How far a signed time may be from our clock: Kerberos allows the same 5 minutes (RFC 4120 section 5.2.6).
pub const MAX_CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// Hop limit of a request that starts here. Far above the depth of any tree of joins that people build, far below what
/// a chain could cost; SIP starts with 70 (RFC 3261 section 8.1.1.6).
pub const DEFAULT_HOP_LIMIT: u8 = 64;

/// Records in one answer at most; a caller that asks for more gets this many.
pub const MAX_ANSWER_RECORDS: usize = 1000;

/// Samples of the book that are kept for answers. So many requests, in a second or since the book changed, each get one of
/// their own; further ones share these, in turn.
pub const MAX_SAMPLES: usize = 16;

/// Answers that hold the same sample: to draw and write one then costs each of them little. It is drawn anew after so many.
pub const MAX_SAMPLE_USES: u32 = 64;

/// How long a sample is kept for further answers. It is drawn anew when it is older.
pub const MAX_SAMPLE_AGE: Duration = Duration::from_secs(1);

/// Bytes of the records of all samples that are kept, twice over: shared with the book, and written. 16 samples of 100 usual
/// records take 600 KiB. A sample beyond it is drawn for one answer.
pub const MAX_SAMPLE_BYTES: usize = 4 * 1024 * 1024;

/// Records in one push on a stream. More go into the next one.
pub const MAX_PUSH_RECORDS: usize = 500;

/// Bytes of records in one push on a stream; a single record may be larger. 500 usual ones take less.
pub const MAX_PUSH_BYTES: usize = 256 * 1024;

/// Silence after which we say on a stream that we are still there. With one stream for each join it costs a node two
/// messages per join in this time, 0.3 % of a core for the hub of a star of 1000; and HTTP/2 need not ask then.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

/// Silence after which the other end of a stream is taken for dead: three heartbeats. A connection that carries nothing
/// is noticed by HTTP/2 in 30 s; this is for what still answers there and has stopped behind it, such as a proxy.
pub const STREAM_TIMEOUT: Duration = Duration::from_secs(45);

/// How long a push may wait to be taken while there is more to say: a line of 210 kbit/s takes a full one in this time.
/// Then the stream is ended; it can be resumed.
pub const SLOW_CONSUMER_AFTER: Duration = Duration::from_secs(10);

/// Bytes of records of all pushes that have not been taken, on all streams: 256 full ones. At the bound further streams
/// wait with what they have to say, and the one that has not been read for longest is ended once that takes
/// [`SLOW_WHEN_FULL`].
pub const MAX_UNREAD_BYTES: usize = 64 * 1024 * 1024;

/// How long a push may wait to be taken while others wait for [`MAX_UNREAD_BYTES`].
pub const SLOW_WHEN_FULL: Duration = Duration::from_secs(1);

/// How soon a stream that waits for [`MAX_UNREAD_BYTES`] is looked at again.
pub const UNREAD_RETRY: Duration = Duration::from_millis(20);

/// Looks at an address in quick succession that tell a plain join from a shared one. A load balancer that picks at
/// random among 2 nodes is taken for a plain join in 1 of 2048 cases, among 3 in 1 of 177 147.
pub const TARGET_WINDOW: usize = 12;

/// Looks over which the targets of a join are remembered. At one look every 5 minutes a shared address that picks among
/// 2 nodes would often seem plain for a while if it were judged by fewer.
pub const TARGET_MEMORY: usize = 48;

/// Longest time between two looks in quick succession. All of them fit into the 2 s before a ring is announced.
pub const PROBE_INTERVAL: Duration = Duration::from_millis(160);

/// How often a join on a ring is looked at again after that.
pub const PROBE_AGAIN: Duration = Duration::from_secs(5 * 60);

/// Looks at one upstream that wait for an answer at once: enough for a round trip of a second.
pub const MAX_PROBES: usize = 6;

/// How long a stream has to last until its end counts as the first failure again: one that ends as soon as it is open
/// is opened ever more rarely.
pub const STABLE_STREAM: Duration = Duration::from_secs(30);

/// How long a record from downstream is held before it is sent upstream: when the upstream sends it meanwhile, it knows
/// it, and in a ring it always does.
pub const UPSTREAM_HOLD: Duration = Duration::from_millis(200);

/// The part of its ttl that a renewal has to get everywhere: a third. It is signed at a third of the ttl of the one before,
/// which therefore has another third left when it arrives, 10 minutes of the default: twice [`MAX_CLOCK_SKEW`].
pub const RENEWAL_TRAVEL: u32 = 3;

/// The part of the time it has left that a renewal may wait at one hop, to go together with others: a fortieth, which of
/// the default ttl is [`HEARTBEAT_INTERVAL`] at first, and half of that after 28 hops.
pub const RENEWAL_HOP_SHARE: u32 = 40;

/// The least time from one heartbeat to an upstream to the next, where it is shortened so that both ends take turns.
pub const SHORTEST_BEAT: Duration = Duration::from_secs(12);

/// At most one recursive request of our own in this time, at start and when our joins change.
pub const RECURSIVE_INTERVAL: Duration = Duration::from_secs(60);

/// A join on which a request of ours came back is left out of our own recursive requests for this long at first (NATS
/// leaf nodes wait as long), doubling up to [`RING_BACKOFF_MAX`].
pub const RING_BACKOFF_MIN: Duration = Duration::from_secs(30);

/// The longest such pause (RFC 9520 section 3.2 allows no longer one for a cached failure).
pub const RING_BACKOFF_MAX: Duration = Duration::from_secs(5 * 60);

/// Within which time streams to upstreams are opened anew when it changes who belongs to the cluster: a token is often
/// changed on all nodes at once.
pub const MEMBERS_SPREAD: Duration = Duration::from_secs(2);

/// The least time worth giving an upstream.
pub const MIN_CALL_TIMEOUT: Duration = Duration::from_millis(50);

/// The longest that a request waits for upstreams, whatever time its caller has: it holds a slot of each.
pub const MAX_REQUEST_TIME: Duration = Duration::from_secs(60);

/// An upstream that was given less time than this and did not answer in it has not failed: callers decide how little
/// time there is, and must not be able to have an upstream left alone.
pub const FAIR_TIMEOUT: Duration = Duration::from_secs(1);

/// After how long asking again is worth it when no slot was free: the requests that hold them take about as long.
pub const BUSY_RETRY: Duration = Duration::from_secs(1);

/// The longest pause that an upstream may ask for, of us or of our callers: as long as a failure is cached, so that none
/// can silence us.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(5 * 60);

/// How much earlier a node answers than its own caller gives up, at most; an eighth of the time when that is less.
pub const MAX_ANSWER_MARGIN: Duration = Duration::from_millis(100);

/// Two bumps of our own `seq` by records that we did not sign within this time mean that somebody has our key.
pub const CLONE_WINDOW: Duration = Duration::from_secs(5);

/// How long the duel with a cloned identity rests, and how long until it is warned of again.
pub const CLONE_PAUSE: Duration = Duration::from_secs(10 * 60);

/// Our own record is not signed anew sooner than this for its age, however short its ttl.
pub const MIN_SIGN_INTERVAL: Duration = Duration::from_millis(100);

/// How many versions of our record are reserved on disk at once, so that a new one need not wait for the disk. A crash
/// loses at most as many, which is a second of the clock that a `seq` starts from.
pub const SEQ_RESERVE: u64 = 1000;

/// How long our record waits where its `seq` is not reserved: the first one, and one that goes past a version which
/// others kept of a lost database. After that it goes out all the same: a disk that hangs
/// counts as one that refuses, and the wall clock keeps the next `seq` above this one. The record before is valid for
/// two thirds of its ttl meanwhile; a commit takes milliseconds, on a busy SD card a second or two.
pub const MAX_PERSIST_WAIT: Duration = Duration::from_secs(5);

/// How often an upstream that cannot stream is polled.
pub const POLL_INTERVAL: Duration = Duration::from_secs(30);

/// How long an upstream is polled at first until a stream is tried again: it may have room by then, or be another
/// version. Later attempts wait up to 5 minutes.
pub const STREAM_AGAIN: Duration = Duration::from_secs(60);

/// Streams to an upstream in a row that do not last [`STABLE_STREAM`] until it is polled instead: something on the way cuts
/// them, and requests may pass.
pub const MAX_SHORT_STREAMS: u32 = 3;

/// Requests waiting for upstreams at once, whoever started them. At the cap the answer is local, marked busy.
pub const MAX_PENDING: usize = 1024;

/// Streams open at once, both ways. At the cap a further one is refused.
pub const MAX_STREAMS: usize = 1024;

/// Streams that one caller may have open: a node has one per address that leads here. A further one closes the oldest.
pub const MAX_STREAMS_PER_CALLER: usize = 4;

/// Streams open to callers without a name, all together: people who watch. At the cap a further one is refused.
pub const MAX_ANONYMOUS_STREAMS: usize = 64;

/// Recursive requests that the status page can still show.
pub const RECENT_REQUESTS: usize = 64;

/// What an engine is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// What people call this node.
    pub name: String,
    /// Failure domain; empty when unknown.
    pub zone: String,
    /// Software version that the record names.
    pub version: String,
    /// How long our own record is valid: dead, this node is gone everywhere after at most this. It is signed anew at a
    /// third of it.
    pub record_ttl: Duration,
    /// Records kept of other nodes.
    pub book_capacity: NonZeroUsize,
    /// Outbound requests in flight per upstream. A further one is not made and not waited for (law L2).
    pub slots_per_upstream: NonZeroUsize,
    /// Time given to a request of our own.
    pub request_timeout: Duration,
    /// Records in an answer to a caller that does not say how many it wants.
    pub default_max_peers: usize,
    /// How long a request is remembered at least: [`MAX_CLOCK_SKEW`] both ways.
    pub dedup_retention: Duration,
    /// Requests remembered at most.
    pub dedup_capacity: NonZeroUsize,
    /// Requests of one caller remembered at most.
    pub dedup_per_caller: NonZeroUsize,
    /// Rings are announced after this long without a change.
    pub ring_settle: Duration,
    /// At most one analysis of the joins in this time, but for recursive answers, which name the rings that they
    /// brought. A local answer names those of the last one.
    pub ring_analysis_gap: Duration,
    /// Rings are searched for; off, no record is told to the detector (for networks of thousands of engines in one
    /// process, where its copies of all joins would be most of the memory).
    pub find_rings: bool,
    /// Our own joins are refreshed over streams; off, only requests are answered (for tests of the requests alone).
    pub refresh: bool,
    /// Seed of everything random: jitter, samples, request ids. From the operating system in a real node.
    pub seed: [u8; 32],
}

impl Config {
    /// The defaults of a node called `name`, with this seed.
    #[must_use]
    pub fn new(name: impl Into<String>, seed: [u8; 32]) -> Self {
        const fn count(count: usize) -> NonZeroUsize {
            match NonZeroUsize::new(count) {
                Some(count) => count,
                None => NonZeroUsize::MIN,
            }
        }
        Self {
            name: name.into(),
            zone: String::new(),
            version: String::new(),
            record_ttl: Duration::from_secs(30 * 60),
            // Four times the 1000 servers that a cluster stays below; about 4 MiB.
            book_capacity: count(4096),
            // A quarter of the 64 streams that a server of ours grants one connection.
            slots_per_upstream: count(16),
            request_timeout: Duration::from_secs(10),
            default_max_peers: 100,
            dedup_retention: MAX_CLOCK_SKEW.saturating_mul(2),
            // 100 requests a second over the retention, 5 MiB.
            dedup_capacity: count(65_536),
            // A sixteenth, so that no caller can use it up alone.
            dedup_per_caller: count(4096),
            ring_settle: unring_cycle_detector::DEFAULT_SETTLE,
            ring_analysis_gap: unring_cycle_detector::DEFAULT_ANALYSIS_GAP,
            find_rings: true,
            refresh: true,
            seed,
        }
    }
}
