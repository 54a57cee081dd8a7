//! What a detector is told at its start.

use std::time::Duration;

/// A ring is announced once its members have not changed for this long: records of several nodes that change together
/// arrive within a second or two of each other.
pub const DEFAULT_SETTLE: Duration = Duration::from_secs(2);
/// A ring that keeps changing is announced at the latest this long after it was first seen.
pub const DEFAULT_SETTLE_MAX: Duration = Duration::from_secs(10);
/// At most one line per ring and this time, so that a ring that flaps cannot flood the log.
pub const DEFAULT_WARN_INTERVAL: Duration = Duration::from_secs(600);
/// How often a ring that stays is repeated: often enough for a log window of a day, rare enough to be read.
pub const DEFAULT_REMINDER_INTERVAL: Duration = Duration::from_secs(3600);
/// A node whose record expired this long ago is taken out with its joins: a machine that is down overnight keeps its place.
pub const DEFAULT_FORGET_UNVERIFIED_AFTER: Duration = Duration::from_secs(24 * 3600);
/// At most one analysis of the graph in this time, however many records arrive (a cold start brings hundreds at once). After
/// a big one longer, in proportion to its work: some 0.1 s after a ring of 1000 nodes, a second at [`DEFAULT_MAX_EDGES`].
pub const DEFAULT_ANALYSIS_GAP: Duration = Duration::from_millis(100);
/// Nodes known at once: four times the 1000 servers that a K3s cluster stays far below. At the bound a further node is
/// refused with [`SetJoinsError::TooManyNodes`](crate::SetJoinsError::TooManyNodes); the local node always fits.
/// The last quarter is for nodes that called or that the local node is joined to, so that hearsay cannot crowd them out.
pub const DEFAULT_MAX_NODES: usize = 4096;
/// Joins of one node; more are refused with [`SetJoinsError::TooManyJoins`](crate::SetJoinsError::TooManyJoins). People
/// configure one to three.
pub const DEFAULT_MAX_JOINS_PER_NODE: usize = 32;
/// Targets of one join; more are refused with [`SetJoinsError::TooManyTargets`](crate::SetJoinsError::TooManyTargets).
/// A shared address leads to the servers of a cluster, seldom more than seven.
pub const DEFAULT_MAX_TARGETS_PER_JOIN: usize = 32;
/// Targets of all joins of one node together; more are refused with
/// [`SetJoinsError::TooManyTargetsOfNode`](crate::SetJoinsError::TooManyTargetsOfNode). Three shared addresses of a cluster
/// of 21 servers. The local node's own joins are not held to it.
pub const DEFAULT_MAX_TARGETS_PER_NODE: usize = 64;
/// A node known from hearsay with no more targets than this fits while less than three quarters of the edges are taken, one
/// with more only in the first half: thousands of records with as many targets as allowed leave room for honest ones, which
/// have one to three.
pub const FEW_TARGETS: usize = 8;
/// Edges of all nodes together: bounds the time of one analysis. At the bound a record is refused with
/// [`SetJoinsError::TooManyEdges`](crate::SetJoinsError::TooManyEdges); the local node always fits.
/// The last quarter is kept as with [`DEFAULT_MAX_NODES`]; see also [`FEW_TARGETS`].
pub const DEFAULT_MAX_EDGES: usize = 65_536;
/// Bytes of one name or address: a DNS name (253) with scheme, port and path. Longer ones are refused.
pub const DEFAULT_MAX_TEXT_BYTES: usize = 512;
/// Callers remembered as seen. At the bound the one not seen for the longest time gives way; honest callers come back.
pub const DEFAULT_MAX_CALLERS: usize = 4096;

/// What a [`Detector`](crate::Detector) is told at its start. [`Config::new`] fills in the defaults.
#[derive(Debug, Clone)]
pub struct Config<N> {
    /// The node that runs this detector.
    pub local: N,
    /// See [`DEFAULT_SETTLE`].
    pub settle: Duration,
    /// See [`DEFAULT_SETTLE_MAX`].
    pub settle_max: Duration,
    /// See [`DEFAULT_WARN_INTERVAL`].
    pub warn_interval: Duration,
    /// See [`DEFAULT_REMINDER_INTERVAL`].
    pub reminder_interval: Duration,
    /// See [`DEFAULT_FORGET_UNVERIFIED_AFTER`].
    pub forget_unverified_after: Duration,
    /// See [`DEFAULT_ANALYSIS_GAP`].
    pub analysis_gap: Duration,
    /// See [`DEFAULT_MAX_NODES`].
    pub max_nodes: usize,
    /// See [`DEFAULT_MAX_JOINS_PER_NODE`].
    pub max_joins_per_node: usize,
    /// See [`DEFAULT_MAX_TARGETS_PER_JOIN`].
    pub max_targets_per_join: usize,
    /// See [`DEFAULT_MAX_TARGETS_PER_NODE`].
    pub max_targets_per_node: usize,
    /// See [`DEFAULT_MAX_EDGES`].
    pub max_edges: usize,
    /// See [`DEFAULT_MAX_TEXT_BYTES`].
    pub max_text_bytes: usize,
    /// See [`DEFAULT_MAX_CALLERS`].
    pub max_callers: usize,
}

impl<N> Config<N> {
    /// The defaults, for the node `local`.
    pub fn new(local: N) -> Self {
        Config {
            local,
            settle: DEFAULT_SETTLE,
            settle_max: DEFAULT_SETTLE_MAX,
            warn_interval: DEFAULT_WARN_INTERVAL,
            reminder_interval: DEFAULT_REMINDER_INTERVAL,
            forget_unverified_after: DEFAULT_FORGET_UNVERIFIED_AFTER,
            analysis_gap: DEFAULT_ANALYSIS_GAP,
            max_nodes: DEFAULT_MAX_NODES,
            max_joins_per_node: DEFAULT_MAX_JOINS_PER_NODE,
            max_targets_per_join: DEFAULT_MAX_TARGETS_PER_JOIN,
            max_targets_per_node: DEFAULT_MAX_TARGETS_PER_NODE,
            max_edges: DEFAULT_MAX_EDGES,
            max_text_bytes: DEFAULT_MAX_TEXT_BYTES,
            max_callers: DEFAULT_MAX_CALLERS,
        }
    }
}
