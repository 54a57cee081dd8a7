//! Better orders: single nodes are moved, and parts without an arc between them are put together.

use super::{
    MAX_PASSES,
    graph::{Graph, places},
};
use crate::budget::Budget;

/// Places that a node passes when it moves take less time than arcs: memory is moved in a row.
const PLACES_PER_STEP: usize = 2;

/// An arc to or from a node that is moved: the place of its other end, its weight if it leads there, and if it comes from
/// there.
type Neighbour = (usize, usize, usize);

impl Graph<'_> {
    /// Moves single nodes to where the fewest arcs point back, and then joins parts that have no forward arc between them.
    /// `false` if the budget did not suffice for that.
    pub(super) fn improve(&self, order: &mut Vec<usize>, budget: &mut Budget) -> bool {
        // Half of it, for there is more to do with the order.
        let mut moves = Budget::new(budget.left() / 2);
        let mut place = places(order);
        let mut neighbours = Vec::new();
        'passes: for _ in 0..MAX_PASSES {
            let mut moved = false;
            for node in 0..self.n() {
                moved |=
                    self.move_to_best_place(node, order, &mut place, &mut neighbours, &mut moves);
                if moves.is_over() {
                    break 'passes;
                }
            }
            if !moved {
                break;
            }
        }
        budget.spend(moves.spent());
        self.join_parts(order, budget)
    }

    fn move_to_best_place(
        &self,
        node: usize,
        order: &mut [usize],
        place: &mut [usize],
        neighbours: &mut Vec<Neighbour>,
        budget: &mut Budget,
    ) -> bool {
        // From the front on.
        neighbours.clear();
        neighbours
            .extend(self.outgoing(node).map(|p| (place[self.arcs[p].to], self.arcs[p].weight, 0)));
        neighbours.extend(
            self.incoming(node).map(|p| (place[self.arcs[p].from], 0, self.arcs[p].weight)),
        );
        neighbours.sort_unstable();
        budget.spend(1 + 4 * neighbours.len());
        let here = place[node];
        // At the very front every arc into the node points back; passing a neighbour changes that.
        let mut cost: usize = neighbours.iter().map(|&(_, _, from)| from).sum();
        let mut cost_here = cost;
        let mut best = (cost, 0);
        for &(at, to, from) in neighbours.iter() {
            cost = cost + to - from;
            if at < here {
                cost_here = cost;
            }
            // Between neighbours any place will do: the one just behind the neighbour.
            let target = if at < here { at + 1 } else { at };
            best = best.min((cost, target));
        }
        if best.0 >= cost_here {
            return false;
        }
        let target = best.1;
        budget.spend(target.abs_diff(here) / PLACES_PER_STEP);
        if target < here {
            order[target..=here].rotate_right(1);
        } else {
            order[here..=target].rotate_left(1);
        }
        for at in target.min(here)..=target.max(here) {
            place[order[at]] = at;
        }
        true
    }

    /// Makes the forward arcs connect all nodes. Where they do not, the parts are written one after the other: arcs between
    /// parts, which all pointed back, now point forward from an earlier part, and none inside a part changes.
    /// `false` if the budget ended before: parts may become one at a time.
    pub(in crate::cuts) fn join_parts(&self, order: &mut Vec<usize>, budget: &mut Budget) -> bool {
        loop {
            if !budget.spend(3 * (self.n() + self.arcs.len())) {
                return false;
            }
            let place = places(order);
            let mut part: Vec<usize> = (0..self.n()).collect();
            for arc in self.arcs.iter().filter(|arc| place[arc.from] < place[arc.to]) {
                let (a, b) = (root(&mut part, arc.from), root(&mut part, arc.to));
                part[a.max(b)] = a.min(b);
            }
            let mut parts: Vec<(usize, Vec<usize>)> = Vec::new();
            let mut index_of = vec![usize::MAX; self.n()];
            for &node in order.iter() {
                let root = root(&mut part, node);
                if index_of[root] == usize::MAX {
                    index_of[root] = parts.len();
                    parts.push((root, Vec::new()));
                }
                parts[index_of[root]].1.push(node);
            }
            if parts.len() <= 1 {
                return true;
            }
            *order = parts.into_iter().flat_map(|(_, nodes)| nodes).collect();
        }
    }
}

fn root(part: &mut [usize], mut node: usize) -> usize {
    while part[node] != node {
        part[node] = part[part[node]];
        node = part[node];
    }
    node
}
