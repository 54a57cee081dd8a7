//! What goes wrong on the way.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::node::NodeId;

/// Faults of the network, drawn from a seed.
#[derive(Debug)]
pub struct Faults {
    /// How likely a request, an answer or a connection is lost, from 0 to 1. On a stream a loss breaks the stream: the
    /// transport below is TCP.
    pub loss: f64,
    /// Each message takes up to this much longer. Those on one stream stay in order.
    pub jitter: Duration,
    /// Recursive requests are answered at once with nothing, and not counted: what is known spreads by streams alone.
    pub hollow_requests: bool,
    /// Pairs of nodes that cannot reach each other, each in ascending order.
    pub(crate) cut: BTreeSet<(NodeId, NodeId)>,
    /// Pairs of nodes between which nothing arrives any more, and nobody is told.
    pub(crate) stalled: BTreeSet<(NodeId, NodeId)>,
    rng: StdRng,
}

impl Faults {
    pub(crate) fn none() -> Self {
        let (loss, jitter, hollow_requests) = (0.0, Duration::ZERO, false);
        let (cut, stalled) = (BTreeSet::new(), BTreeSet::new());
        let rng = StdRng::seed_from_u64(0);
        Self { loss, jitter, hollow_requests, cut, stalled, rng }
    }

    /// Draws from another seed.
    pub fn seed(&mut self, seed: u64) {
        self.rng = StdRng::seed_from_u64(seed);
    }

    pub(crate) fn is_lost(&mut self) -> bool {
        self.loss > 0.0 && self.rng.random_bool(self.loss)
    }

    pub(crate) fn delay(&mut self) -> Duration {
        if self.jitter.is_zero() { Duration::ZERO } else { self.jitter.mul_f64(self.rng.random()) }
    }

    pub(crate) fn is_stalled(&self, a: NodeId, b: NodeId) -> bool {
        self.stalled.contains(&(a.min(b), a.max(b)))
    }

    pub(crate) fn are_cut(&self, a: NodeId, b: NodeId) -> bool {
        self.cut.contains(&(a.min(b), a.max(b)))
    }
}
