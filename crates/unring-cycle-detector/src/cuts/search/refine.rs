//! Better sets: arcs that need not be cut are put back, and others exchanged for better ones.

use super::{
    MAX_PASSES,
    graph::{Direction, Graph, Reached, places},
};
use crate::budget::Budget;

/// Memory that exchanges use again.
struct Scratch {
    after: Reached,
    before: Reached,
}

impl Graph<'_> {
    /// Takes arcs out of the set that need not be cut, and exchanges arcs for newer or lighter ones, from the oldest on.
    /// If the budget ends before that is known to leave the nodes together, the set stays as it was.
    pub(super) fn refine(&self, set: &[usize], budget: &mut Budget) -> Vec<usize> {
        let mut scratch = Scratch { after: self.nothing_reached(), before: self.nothing_reached() };
        let mut cut = vec![false; self.arcs.len()];
        for &position in set {
            cut[position] = true;
        }
        // Half of it, for an exchange may leave arcs in the set that need not be there.
        let mut exchanges = Budget::new(budget.left() / 2);
        'passes: for _ in 0..MAX_PASSES {
            let mut changed = false;
            for position in (0..self.arcs.len()).rev() {
                if cut[position] {
                    if exchanges.is_over() {
                        break 'passes;
                    }
                    changed |=
                        self.put_back_or_exchange(position, &mut cut, &mut exchanges, &mut scratch);
                }
            }
            if !changed {
                break;
            }
        }
        budget.spend(exchanges.spent());
        for position in (0..self.arcs.len()).rev() {
            let arc = self.arcs[position];
            if !cut[position] {
                continue;
            }
            if budget.is_over() {
                return set.to_vec();
            }
            self.reach(arc.to, &cut, Direction::Forward, budget, &mut scratch.after);
            if !scratch.after.contains(arc.from) {
                cut[position] = false;
            }
        }
        (0..self.arcs.len()).filter(|&position| cut[position]).collect()
    }

    /// One arc of the set: not cut if that closes no circuit, else exchanged for the best arc that all circuits through it
    /// have in common.
    fn put_back_or_exchange(
        &self,
        position: usize,
        cut: &mut [bool],
        budget: &mut Budget,
        scratch: &mut Scratch,
    ) -> bool {
        let Scratch { after, before } = scratch;
        let arc = self.arcs[position];
        self.reach(arc.to, cut, Direction::Forward, budget, after);
        if !after.contains(arc.from) {
            cut[position] = false;
            return true;
        }
        self.reach(arc.from, cut, Direction::Backward, budget, before);
        // The order, the crossings, and the arcs twice.
        budget.spend(2 * self.n() + 3 * self.arcs.len());
        let on_path = |node: usize| after.contains(node) && before.contains(node);
        let inner: Vec<usize> = (0..self.arcs.len())
            .filter(|&other| {
                !cut[other] && on_path(self.arcs[other].from) && on_path(self.arcs[other].to)
            })
            .collect();
        // In an order of the acyclic rest, an arc is on every path if no other arc crosses the gap just behind its start.
        let place = places(&self.topological_order(cut));
        let mut crossing = vec![0_isize; self.n() + 1];
        for &other in &inner {
            crossing[place[self.arcs[other].from]] += 1;
            crossing[place[self.arcs[other].to]] -= 1;
        }
        for at in 1..crossing.len() {
            crossing[at] += crossing[at - 1];
        }
        let best = inner
            .into_iter()
            .filter(|&other| crossing[place[self.arcs[other].from]] == 1)
            .min_by_key(|&other| (self.arcs[other].weight, other));
        match best {
            Some(other) if (self.arcs[other].weight, other) < (arc.weight, position) => {
                cut[other] = true;
                cut[position] = false;
                true
            }
            _ => false,
        }
    }
}
