//! The joins to cut: a minimum feedback arc set of a ring.

mod exact;
mod search;
#[cfg(test)]
mod tests;

use crate::budget::Budget;

/// Up to this many members the cuts are a true minimum. The dynamic programme visits 2^n subsets: 4096 at 12.
pub const EXACT_CUT_NODES: usize = 12;

/// An edge of a ring with what it costs to cut it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arc {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// How many joins make this edge: all of them have to go.
    pub(crate) weight: usize,
    /// Since when the edge exists: the oldest of its joins.
    pub(crate) since: u64,
}

/// Positions in `arcs` of a feedback arc set of the strongly connected graph `0..n`, ascending.
///
/// `arcs` hold no loops and no pair twice, and must be in [`by_preference`] order. Whatever the budget is, the arcs that are
/// not cut have no circuit and hold all nodes together.
pub(crate) fn feedback_arcs(n: usize, arcs: &[Arc], budget: &mut Budget) -> Vec<usize> {
    if n > EXACT_CUT_NODES {
        return search::feedback_arcs(n, arcs, budget);
    }
    // Each subset is extended by each node that is not in it, half of them on average.
    let steps = (n + arcs.len()) << n >> 1;
    if steps <= budget.left() {
        budget.spend(steps);
        exact::feedback_arcs(n, arcs)
    } else {
        budget.spend(budget.left() + 1);
        search::depth_first(n, arcs)
    }
}

/// Newest first, then by ids: an arc further ahead is rather cut.
pub(crate) fn by_preference(arcs: &mut [Arc]) {
    arcs.sort_unstable_by_key(|arc| (std::cmp::Reverse(arc.since), arc.from, arc.to));
}

/// Whether the feedback arc set `a` (ascending positions) is better than `b`: fewer joins, else newer ones.
fn is_better(arcs: &[Arc], a: &[usize], b: &[usize]) -> bool {
    let weight = |set: &[usize]| set.iter().map(|&position| arcs[position].weight).sum::<usize>();
    // The lexicographically lesser list has the newer arc at the first difference.
    (weight(a), a) < (weight(b), b)
}
