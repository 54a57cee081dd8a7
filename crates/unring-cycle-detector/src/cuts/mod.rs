//! The joins to cut: a minimum feedback arc set of a ring.

mod exact;
mod search;
#[cfg(test)]
mod tests;

use crate::{
    budget::Budget,
    graph::{Layers, NOWHERE, narrow},
    model::{Cut, Join, NodeId},
};

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

/// The cuts of a plain ring, newest first.
pub(crate) fn cuts_of<N: NodeId>(
    layers: &Layers<'_, N>,
    nodes: &[u32],
    budget: &mut Budget,
) -> Vec<Cut<N>> {
    let edges = edges(layers, nodes);
    let mut arcs: Vec<Arc> = edges
        .chunk_by(|a, b| (a.0, a.1) == (b.0, b.1))
        .filter_map(|same| {
            let &(from, to, _) = same.first()?;
            let since = same.iter().map(|(.., join)| join.since_unix_ms).min().unwrap_or(0);
            Some(Arc { from: from as usize, to: to as usize, weight: same.len(), since })
        })
        .collect();
    by_preference(&mut arcs);
    let mut cuts = Vec::new();
    for position in feedback_arcs(nodes.len(), &arcs, budget) {
        let Arc { from, to, weight, .. } = arcs[position];
        let first = edges.partition_point(|edge| (edge.0 as usize, edge.1 as usize) < (from, to));
        let joins = edges.iter().skip(first).take(weight);
        cuts.extend(
            joins.map(|(.., join)| cut(layers.id(nodes[from]), layers.id(nodes[to]), join)),
        );
    }
    newest_first(cuts)
}

/// The plain joins among `nodes`, from and to by position among them, in that order.
fn edges<'a, N: NodeId>(layers: &Layers<'a, N>, nodes: &[u32]) -> Vec<(u32, u32, &'a Join<N>)> {
    let mut member = vec![NOWHERE; layers.len()];
    for (at, &node) in nodes.iter().enumerate() {
        member[node as usize] = narrow(at);
    }
    let mut edges = Vec::with_capacity(nodes.len());
    for (from, &node) in nodes.iter().enumerate() {
        let first = edges.len();
        for (to, join) in layers.plain_joins(node) {
            let to = member[to as usize];
            if to != NOWHERE {
                edges.push((narrow(from), to, join));
            }
        }
        edges[first..].sort_by_key(|&(_, to, _)| to);
    }
    edges
}

pub(crate) fn cut<N: Clone>(from: &N, to: &N, join: &Join<N>) -> Cut<N> {
    Cut {
        from: from.clone(),
        to: to.clone(),
        address: join.address.clone(),
        since_unix_ms: join.since_unix_ms,
    }
}

pub(crate) fn newest_first<N: Ord>(mut cuts: Vec<Cut<N>>) -> Vec<Cut<N>> {
    cuts.sort_by(|a, b| {
        b.since_unix_ms
            .cmp(&a.since_unix_ms)
            .then_with(|| (&a.from, &a.to, &a.address).cmp(&(&b.from, &b.to, &b.address)))
    });
    cuts
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
