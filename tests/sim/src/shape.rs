//! Topologies by shape.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// How nodes join each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Each joins the next, the last the first.
    Ring,
    /// Each joins the next.
    Line,
    /// All join the first.
    Star,
    /// Each joins the one with half its number.
    Tree,
    /// Each joins every other.
    Mesh,
    /// Each joins three: with the nodes in rows, the next, the one below and the one below the next, around the edges.
    Torus,
    /// Each joins up to three others, drawn from this seed.
    Random(u64),
}

impl Shape {
    /// The joins of `nodes` nodes, by number.
    #[must_use]
    pub fn joins(self, nodes: usize) -> Vec<(usize, usize)> {
        match self {
            Self::Ring => (0..nodes).map(|node| (node, (node + 1) % nodes)).collect(),
            Self::Line => (1..nodes).map(|node| (node - 1, node)).collect(),
            Self::Star => (1..nodes).map(|node| (node, 0)).collect(),
            Self::Tree => (1..nodes).map(|node| (node, (node - 1) / 2)).collect(),
            Self::Mesh => {
                let pairs = (0..nodes).flat_map(|from| (0..nodes).map(move |to| (from, to)));
                pairs.filter(|(from, to)| from != to).collect()
            }
            Self::Torus => {
                let row = nodes.isqrt().max(2);
                let others =
                    move |node| [1, row, row + 1].map(|step| (node, (node + step) % nodes));
                (0..nodes).flat_map(others).filter(|(from, to)| from != to).collect()
            }
            Self::Random(seed) => random(nodes, seed),
        }
    }
}

fn random(nodes: usize, seed: u64) -> Vec<(usize, usize)> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut joins = Vec::new();
    for from in 0..nodes {
        for _ in 0..rng.random_range(0..=3) {
            let to = rng.random_range(0..nodes);
            if to != from && !joins.contains(&(from, to)) {
                joins.push((from, to));
            }
        }
    }
    joins
}

/// The name, and address, of node `number`.
#[must_use]
pub fn name(number: usize) -> String {
    format!("n{number}")
}
