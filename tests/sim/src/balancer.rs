//! An address with several nodes behind it.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::node::NodeId;

/// Picks a node for each connection.
#[derive(Debug)]
pub(crate) struct Balancer {
    pub(crate) nodes: Vec<NodeId>,
    /// Whose turn it is; at random if there is something to draw from.
    turn: usize,
    rng: Option<StdRng>,
}

impl Balancer {
    pub(crate) fn new(nodes: Vec<NodeId>, seed: Option<u64>) -> Self {
        Self { nodes, turn: 0, rng: seed.map(StdRng::seed_from_u64) }
    }

    pub(crate) fn pick(&mut self) -> Option<NodeId> {
        let count = self.nodes.len().max(1);
        self.turn = match &mut self.rng {
            Some(rng) => rng.random_range(0..count),
            None => (self.turn + 1) % count,
        };
        self.nodes.get(self.turn).copied()
    }
}
