//! The plain data that goes in and comes out.

use std::{
    collections::BTreeSet,
    fmt::{self, Debug, Display},
    hash::Hash,
};

/// What a node id must be: ordered the same way everywhere, and with a `Display` that stays the same, because the ring id
/// is a hash of it. Implemented for every such type (`PeerId`, `String`, integers).
pub trait NodeId: Clone + Ord + Hash + Debug + Display {}

impl<T: Clone + Ord + Hash + Debug + Display> NodeId for T {}

/// A configured address of a node and where it led.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join<N> {
    /// As configured.
    pub address: String,
    /// The nodes that the address led to: none (not reached yet), one (a plain join) or several (a shared one).
    pub targets: BTreeSet<N>,
    /// When this join was configured, unix time in ms as its node says. Decides which of several joins to cut.
    pub since_unix_ms: u64,
}

impl<N: Ord> Join<N> {
    /// The target of a plain join.
    pub(crate) fn plain_target(&self) -> Option<&N> {
        if self.is_shared() { None } else { self.targets.first() }
    }

    /// Whether the address led to several nodes.
    pub fn is_shared(&self) -> bool {
        self.targets.len() > 1
    }
}

/// What sort of ring; see the crate's definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RingKind {
    /// A node joined to itself by a plain join.
    SelfJoin,
    /// Several nodes in a circle of plain joins.
    Plain,
    /// Several nodes in a circle that needs a shared address. Right in a highly available cluster, so nothing to cut.
    Shared,
}

impl Display for RingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RingKind::SelfJoin => "self-join",
            RingKind::Plain => "plain",
            RingKind::Shared => "shared",
        })
    }
}

/// Names a ring by its members: 64 bits of a BLAKE3 hash of the sorted ids, the same on every node and in every run.
/// Displayed as 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingId(u64);

impl RingId {
    /// The id of the ring of these members, which must be sorted by id.
    pub(crate) fn of<T: AsRef<str>>(members: impl IntoIterator<Item = T>) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"unring ring id v1");
        for member in members {
            let text = member.as_ref();
            // The length keeps ["ab"] and ["a", "b"] apart.
            hasher.update(&(text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        RingId(u64::from_be_bytes(first))
    }

    /// The id as a number.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl Display for RingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A join to take out of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut<N> {
    /// The node whose configuration holds the join.
    pub from: N,
    /// Where it leads.
    pub to: N,
    /// The configured address.
    pub address: String,
    /// When it was configured, unix ms.
    pub since_unix_ms: u64,
}

/// A ring of joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring<N> {
    /// From the members alone.
    pub id: RingId,
    /// What sort of ring.
    pub kind: RingKind,
    /// All members, sorted.
    pub members: Vec<N>,
    /// The shortest circuit: each node is joined to the next, the last to the first.
    pub witness: Vec<N>,
    /// The joins to cut, newest first; `cuts[0]` is the one that a one-line warning names. Empty for a shared ring, and in
    /// the [`Event::RingGone`] of a ring that was last seen before a restart.
    pub cuts: Vec<Cut<N>>,
    /// The record of a member has expired, so the ring may be history. Not set in an [`Event::RingGone`].
    pub unverified: bool,
}

/// What makes a ring, without what is made of it; borrowed from a [`JoinGraph`](crate::JoinGraph).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected<'a, N> {
    /// What sort of ring.
    pub kind: RingKind,
    /// All members, sorted.
    pub members: Vec<&'a N>,
    /// The shortest circuit, as [`Ring::witness`].
    pub witness: Vec<&'a N>,
}

/// The elementary circuits of a ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circuits<N> {
    /// Each without repetition and from its smallest node, in ascending order of nodes.
    pub circuits: Vec<Vec<N>>,
    /// There are more than were asked for.
    pub truncated: bool,
}

/// How loud an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Voice {
    /// One log line at level WARN.
    Warn,
    /// One log line at level INFO.
    Info,
    /// No log line (the ring was spoken of less than an interval ago): for counters and status pages.
    Quiet,
}

/// What happened to a ring that the local node is a member of.
///
/// Each is raised once the ring's members have not changed for the settle time, at the latest after its maximum. A ring
/// keeps its identity while the local node is in a ring of the same kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<N> {
    /// A ring that was not there before. [`Voice::Warn`] ([`Voice::Info`] for a shared one), [`Voice::Quiet`] within the
    /// warn interval after an earlier line about it; the loud one then follows, if it stays, when that interval is over.
    RingFound {
        /// The ring as it is.
        ring: Ring<N>,
        /// How loud.
        voice: Voice,
    },
    /// Its members changed. The voice is as with [`Event::RingFound`].
    RingChanged {
        /// The ring as it is.
        ring: Ring<N>,
        /// The members in the last log line if this one is loud, else in the last event.
        previous: Vec<N>,
        /// How loud.
        voice: Voice,
    },
    /// It is still there a reminder interval after the last line. Never for a shared ring.
    RingReminder {
        /// The ring as it is.
        ring: Ring<N>,
        /// [`Voice::Warn`].
        voice: Voice,
    },
    /// Newer joins lack the circuit. Never raised because a record expired or was forgotten. [`Voice::Info`] when the ring
    /// was announced, [`Voice::Quiet`] if not, or if a plain ring has taken in all members of a shared one.
    RingGone {
        /// The ring as it last was.
        ring: Ring<N>,
        /// How loud.
        voice: Voice,
    },
}

impl<N> Event<N> {
    /// The ring it speaks of.
    pub fn ring(&self) -> &Ring<N> {
        match self {
            Event::RingFound { ring, .. }
            | Event::RingChanged { ring, .. }
            | Event::RingReminder { ring, .. }
            | Event::RingGone { ring, .. } => ring,
        }
    }

    /// How loud it is.
    pub fn voice(&self) -> Voice {
        match self {
            Event::RingFound { voice, .. }
            | Event::RingChanged { voice, .. }
            | Event::RingReminder { voice, .. }
            | Event::RingGone { voice, .. } => *voice,
        }
    }
}

/// A node with its joins, as known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopologyNode<N> {
    /// Its id.
    pub id: N,
    /// The name it gives itself.
    pub name: String,
    /// Its joins, sorted by address. Their targets may be nodes of which nothing else is known.
    pub joins: Vec<Join<N>>,
    /// Its record has expired.
    pub unverified: bool,
}

/// Everything known about who joins whom: the data for pictures and exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology<N> {
    /// The node that says so.
    pub local: N,
    /// All known nodes, sorted by id.
    pub nodes: Vec<TopologyNode<N>>,
    /// All rings, whoever is in them, as of the last analysis.
    pub rings: Vec<Ring<N>>,
}
