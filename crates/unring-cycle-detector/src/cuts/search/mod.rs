//! Rings too big for the exact method: an order of the nodes with few arcs that point back, improved step by step.
//!
//! Everything is decided by ids, weights and ages, so each node that knows the same joins gets the same cuts.

mod graph;
mod improve;
mod orders;
mod refine;

use super::{Arc, is_better};
use crate::budget::Budget;
pub(super) use graph::Graph;
pub(super) use orders::depth_first;

/// Passes of each improvement. Each pass that changes anything makes the set strictly better; most graphs need two or three.
const MAX_PASSES: usize = 8;
/// Steps per node and arc of the order by degree: an entry in a heap takes as long as looking at this many arcs.
const HEAP_STEPS: usize = 16;

/// As good as the budget allows; with none at all what [`depth_first`] finds.
pub(super) fn feedback_arcs(n: usize, arcs: &[Arc], budget: &mut Budget) -> Vec<usize> {
    let graph = Graph::new(n, arcs);
    let mut best = graph.by_degree(budget);
    // The order by age looks for a way once per arc, of which half is walked on average: not begun if that is too much.
    let by_age_steps = arcs.len().saturating_mul(n + arcs.len()) / 2;
    if by_age_steps <= budget.left()
        && let Some(second) = graph.by_age(budget)
        && best.as_ref().is_none_or(|first| is_better(arcs, &second, first))
    {
        best = Some(second);
    }
    match best {
        Some(best) if !budget.is_over() => best,
        best => {
            let other = depth_first(n, arcs);
            best.filter(|best| !is_better(arcs, &other, best)).unwrap_or(other)
        }
    }
}

impl Graph<'_> {
    /// `None` if the budget did not suffice for an order that holds the nodes together.
    fn by_degree(&self, budget: &mut Budget) -> Option<Vec<usize>> {
        if !budget.spend(HEAP_STEPS * (self.n() + self.arcs.len())) {
            return None;
        }
        let mut order = self.order_by_degree();
        self.improve(&mut order, budget).then(|| self.refine(&self.back_arcs(&order), budget))
    }

    /// As [`by_degree`](Self::by_degree).
    fn by_age(&self, budget: &mut Budget) -> Option<Vec<usize>> {
        let mut order = self.order_by_age(budget)?;
        self.improve(&mut order, budget).then(|| self.refine(&self.back_arcs(&order), budget))
    }
}
