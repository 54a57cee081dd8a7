//! The true minimum, by dynamic programming over the subsets of nodes that come first in an order without back arcs
//! (Held and Karp 1962 for sequencing; Lawler 1964 for feedback arcs).

use super::{Arc, EXACT_CUT_NODES};

/// Words of a bit set that holds every arc of the largest graph: 12 * 11 = 132 arcs.
const WORDS: usize = (EXACT_CUT_NODES * (EXACT_CUT_NODES - 1)).div_ceil(64);

/// What a prefix of the order costs. The first arc is the highest bit, so that the greater set has the newer arcs.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Cost {
    weight: usize,
    arcs: [u64; WORDS],
}

impl Cost {
    const NOTHING: Cost = Cost { weight: 0, arcs: [0; WORDS] };

    fn add(&mut self, position: usize, arc: &Arc) {
        self.weight += arc.weight;
        self.arcs[position / 64] |= 1 << (63 - position % 64);
    }

    fn is_better_than(&self, other: &Cost) -> bool {
        self.weight < other.weight || (self.weight == other.weight && self.arcs > other.arcs)
    }
}

pub(super) fn feedback_arcs(n: usize, arcs: &[Arc]) -> Vec<usize> {
    let mut outgoing = vec![Vec::new(); n];
    for (position, arc) in arcs.iter().enumerate() {
        outgoing[arc.from].push((position, arc));
    }
    // best[set]: the least cost of an order of `set`, where an arc to a node further ahead is cut. What a further node
    // adds depends on the set alone, and arcs are added once, so the best order of a set has the best order of its prefix.
    let mut best: Vec<Option<Cost>> = vec![None; 1 << n];
    best[0] = Some(Cost::NOTHING);
    for set in 0..1_usize << n {
        let Some(prefix) = best[set] else { continue };
        for (node, arcs_of_node) in outgoing.iter().enumerate() {
            if set & (1 << node) != 0 {
                continue;
            }
            let mut cost = prefix;
            for (position, arc) in arcs_of_node {
                if set & (1 << arc.to) != 0 {
                    cost.add(*position, arc);
                }
            }
            let slot = &mut best[set | (1 << node)];
            if slot.is_none_or(|known| cost.is_better_than(&known)) {
                *slot = Some(cost);
            }
        }
    }
    let chosen = best[(1 << n) - 1].unwrap_or(Cost::NOTHING);
    (0..arcs.len())
        .filter(|position| chosen.arcs[position / 64] & (1 << (63 - position % 64)) != 0)
        .collect()
}
