//! What outlives a restart.

use crate::model::{Join, RingKind};

/// What a detector has said, and on the ground of which joins: plain data, to be persisted after each
/// [`poll`](crate::Detector::poll) that returned events and at shutdown, and given back with
/// [`restore`](crate::Detector::restore).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingMemory<N> {
    /// At most one of each kind.
    pub rings: Vec<RememberedRing<N>>,
    /// The members of those rings with the joins that lead into them.
    pub nodes: Vec<RememberedNode<N>>,
}

// Not derived: that would ask for `N: Default`.
impl<N> Default for RingMemory<N> {
    fn default() -> Self {
        RingMemory { rings: Vec::new(), nodes: Vec::new() }
    }
}

/// A ring that was spoken of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RememberedRing<N> {
    /// What sort of ring.
    pub kind: RingKind,
    /// As last spoken of, sorted.
    pub members: Vec<N>,
    /// A shortest circuit of it.
    pub witness: Vec<N>,
    /// When the last WARN or INFO about it was given, unix ms.
    pub spoken_unix_ms: u64,
    /// It was announced and not yet said to be gone.
    pub open: bool,
}

/// A member of a remembered ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RememberedNode<N> {
    /// Its id.
    pub id: N,
    /// The name it gave itself.
    pub name: String,
    /// Its joins that lead to members.
    pub joins: Vec<Join<N>>,
    /// Since when its record has been expired, unix ms; `None` if it was valid.
    pub unverified_since_unix_ms: Option<u64>,
}
