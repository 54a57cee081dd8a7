//! Orders of the nodes to start from.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::graph::{Direction, Graph};
use crate::{budget::Budget, cuts::Arc};

/// The arcs that point back in a depth-first search, in linear time. It starts where the newest arc leads and follows the
/// oldest arcs first, so that a circle loses its newest arc. The arcs it walks stay, and they reach every node.
pub(in crate::cuts) fn depth_first(n: usize, arcs: &[Arc]) -> Vec<usize> {
    let graph = Graph::new(n, arcs);
    let mut seen = vec![false; n];
    let mut finished = Vec::with_capacity(n);
    let root = arcs.first().map_or(0, |arc| arc.to);
    // The graph is strongly connected; the other starts only make sure that the order is complete.
    for start in std::iter::once(root).chain(0..n) {
        if start >= n || std::mem::replace(&mut seen[start], true) {
            continue;
        }
        let mut way = vec![(start, graph.outgoing(start).rev())];
        while let Some((node, arcs_left)) = way.last_mut() {
            let Some(position) = arcs_left.next() else {
                finished.push(*node);
                way.pop();
                continue;
            };
            let to = arcs[position].to;
            if !std::mem::replace(&mut seen[to], true) {
                way.push((to, graph.outgoing(to).rev()));
            }
        }
    }
    finished.reverse();
    graph.back_arcs(&finished)
}

impl Graph<'_> {
    /// Sources to the front, sinks to the back, else the node with the greatest surplus of outgoing weight to the front
    /// (Eades, Lin and Smyth 1993, "A fast and effective heuristic for the feedback arc set problem"). Of equals the
    /// smallest comes first.
    pub(super) fn order_by_degree(&self) -> Vec<usize> {
        let (mut out, mut into) = (vec![0; self.n()], vec![0; self.n()]);
        for arc in self.arcs {
            out[arc.from] += arc.weight;
            into[arc.to] += arc.weight;
        }
        // A surplus may be negative; comparing out + (half of all - in) avoids signs.
        let surplus = |out: usize, into: usize| out + usize::MAX / 2 - into;
        let mut is_left = vec![true; self.n()];
        let all = || (0..self.n()).map(Reverse);
        let mut sinks: BinaryHeap<_> = all().filter(|node| out[node.0] == 0).collect();
        let mut sources: BinaryHeap<_> = all().filter(|node| into[node.0] == 0).collect();
        // Entries whose surplus has changed since stay behind and are passed over.
        let mut others: BinaryHeap<_> =
            all().map(|node| (surplus(out[node.0], into[node.0]), node)).collect();
        let (mut front, mut back) = (Vec::new(), Vec::new());
        while front.len() + back.len() < self.n() {
            let (node, is_sink) = if let Some(Reverse(node)) = sinks.pop() {
                (node, true)
            } else if let Some(Reverse(node)) = sources.pop() {
                (node, false)
            } else if let Some((then, Reverse(node))) = others.pop() {
                if then != surplus(out[node], into[node]) {
                    continue;
                }
                (node, false)
            } else {
                break;
            };
            if !std::mem::replace(&mut is_left[node], false) {
                continue;
            }
            if is_sink {
                back.push(node)
            } else {
                front.push(node)
            }
            for position in self.outgoing(node) {
                let Arc { to, weight, .. } = self.arcs[position];
                into[to] -= weight;
                if is_left[to] {
                    others.push((surplus(out[to], into[to]), Reverse(to)));
                    if into[to] == 0 {
                        sources.push(Reverse(to));
                    }
                }
            }
            for position in self.incoming(node) {
                let Arc { from, weight, .. } = self.arcs[position];
                out[from] -= weight;
                if is_left[from] {
                    others.push((surplus(out[from], into[from]), Reverse(from)));
                    if out[from] == 0 {
                        sinks.push(Reverse(from));
                    }
                }
            }
        }
        back.reverse();
        front.extend(back);
        front
    }

    /// The arcs put in from the oldest on, without those that would close a circuit; then any order that fits them.
    pub(super) fn order_by_age(&self, budget: &mut Budget) -> Option<Vec<usize>> {
        let mut cut = vec![true; self.arcs.len()];
        let mut reached = self.nothing_reached();
        for (position, arc) in self.arcs.iter().enumerate().rev() {
            self.reach(arc.to, &cut, Direction::Forward, budget, &mut reached);
            cut[position] = reached.contains(arc.from);
            if budget.is_over() {
                return None;
            }
        }
        Some(self.topological_order(&cut))
    }
}
