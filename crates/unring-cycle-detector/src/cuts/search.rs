//! Rings too big for the exact method: an order of the nodes with few arcs that point back, improved step by step.
//!
//! Everything is decided by ids, weights and ages, so each node that knows the same joins gets the same cuts.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{Arc, is_better};
use crate::budget::Budget;

/// Passes of each improvement. Each pass that changes anything makes the set strictly better; most graphs need two or three.
const MAX_PASSES: usize = 8;
/// Steps per node and arc of the order by degree: an entry in a heap takes as long as looking at this many arcs.
const HEAP_STEPS: usize = 16;
/// Places that a node passes when it moves take less time than arcs: memory is moved in a row.
const PLACES_PER_STEP: usize = 2;

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

/// The arcs that point back in a depth-first search, in linear time. It starts where the newest arc leads and follows the
/// oldest arcs first, so that a circle loses its newest arc. The arcs it walks stay, and they reach every node.
pub(super) fn depth_first(n: usize, arcs: &[Arc]) -> Vec<usize> {
    let graph = Graph::new(n, arcs);
    let mut seen = vec![false; n];
    let mut finished = Vec::with_capacity(n);
    let root = arcs.first().map_or(0, |arc| arc.to);
    // The graph is strongly connected; the other starts only make sure that the order is complete.
    for start in std::iter::once(root).chain(0..n) {
        if start >= n || std::mem::replace(&mut seen[start], true) {
            continue;
        }
        let mut way = vec![(start, graph.outgoing[start].iter().rev())];
        while let Some((node, arcs_left)) = way.last_mut() {
            let Some(&position) = arcs_left.next() else {
                finished.push(*node);
                way.pop();
                continue;
            };
            let to = arcs[position].to;
            if !std::mem::replace(&mut seen[to], true) {
                way.push((to, graph.outgoing[to].iter().rev()));
            }
        }
    }
    finished.reverse();
    graph.back_arcs(&finished)
}

pub(super) struct Graph<'a> {
    arcs: &'a [Arc],
    /// Positions in `arcs`, per node.
    outgoing: Vec<Vec<usize>>,
    incoming: Vec<Vec<usize>>,
}

impl<'a> Graph<'a> {
    pub(super) fn new(n: usize, arcs: &'a [Arc]) -> Self {
        let mut outgoing = vec![Vec::new(); n];
        let mut incoming = vec![Vec::new(); n];
        for (position, arc) in arcs.iter().enumerate() {
            outgoing[arc.from].push(position);
            incoming[arc.to].push(position);
        }
        Graph { arcs, outgoing, incoming }
    }

    fn n(&self) -> usize {
        self.outgoing.len()
    }

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

    /// Sources to the front, sinks to the back, else the node with the greatest surplus of outgoing weight to the front
    /// (Eades, Lin and Smyth 1993, "A fast and effective heuristic for the feedback arc set problem"). Of equals the
    /// smallest comes first.
    fn order_by_degree(&self) -> Vec<usize> {
        let weight = |positions: &[usize]| {
            positions.iter().map(|&position| self.arcs[position].weight).sum::<usize>()
        };
        let mut out: Vec<usize> = self.outgoing.iter().map(|positions| weight(positions)).collect();
        let mut into: Vec<usize> =
            self.incoming.iter().map(|positions| weight(positions)).collect();
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
            for &position in &self.outgoing[node] {
                let Arc { to, weight, .. } = self.arcs[position];
                into[to] -= weight;
                if is_left[to] {
                    others.push((surplus(out[to], into[to]), Reverse(to)));
                    if into[to] == 0 {
                        sources.push(Reverse(to));
                    }
                }
            }
            for &position in &self.incoming[node] {
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
    fn order_by_age(&self, budget: &mut Budget) -> Option<Vec<usize>> {
        let mut cut = vec![true; self.arcs.len()];
        for (position, arc) in self.arcs.iter().enumerate().rev() {
            cut[position] = self.reachable(arc.to, &cut, Direction::Forward, budget)[arc.from];
            if budget.is_over() {
                return None;
            }
        }
        Some(self.topological_order(&cut))
    }

    /// Moves single nodes to where the fewest arcs point back, and then joins parts that have no forward arc between them.
    /// `false` if the budget did not suffice for that.
    fn improve(&self, order: &mut Vec<usize>, budget: &mut Budget) -> bool {
        // Half of it, for there is more to do with the order.
        let mut moves = Budget::new(budget.left() / 2);
        let mut place = places(order);
        'passes: for _ in 0..MAX_PASSES {
            let mut moved = false;
            for node in 0..self.n() {
                moved |= self.move_to_best_place(node, order, &mut place, &mut moves);
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
        budget: &mut Budget,
    ) -> bool {
        // (place of the neighbour, weight of arcs to it, weight of arcs from it), from the front on.
        let mut neighbours: Vec<(usize, usize, usize)> = Vec::new();
        neighbours.extend(
            self.outgoing[node].iter().map(|&p| (place[self.arcs[p].to], self.arcs[p].weight, 0)),
        );
        neighbours.extend(
            self.incoming[node].iter().map(|&p| (place[self.arcs[p].from], 0, self.arcs[p].weight)),
        );
        neighbours.sort_unstable();
        budget.spend(1 + 4 * neighbours.len());
        let here = place[node];
        // At the very front every arc into the node points back; passing a neighbour changes that.
        let mut cost: usize = neighbours.iter().map(|&(_, _, from)| from).sum();
        let mut cost_here = cost;
        let mut best = (cost, 0);
        for &(at, to, from) in &neighbours {
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
    pub(super) fn join_parts(&self, order: &mut Vec<usize>, budget: &mut Budget) -> bool {
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

    pub(super) fn back_arcs(&self, order: &[usize]) -> Vec<usize> {
        let place = places(order);
        (0..self.arcs.len())
            .filter(|&position| place[self.arcs[position].from] > place[self.arcs[position].to])
            .collect()
    }

    /// Takes arcs out of the set that need not be cut, and exchanges arcs for newer or lighter ones, from the oldest on.
    /// If the budget ends before that is known to leave the nodes together, the set stays as it was.
    fn refine(&self, set: &[usize], budget: &mut Budget) -> Vec<usize> {
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
                    changed |= self.put_back_or_exchange(position, &mut cut, &mut exchanges);
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
            if !self.reachable(arc.to, &cut, Direction::Forward, budget)[arc.from] {
                cut[position] = false;
            }
        }
        (0..self.arcs.len()).filter(|&position| cut[position]).collect()
    }

    /// One arc of the set: not cut if that closes no circuit, else exchanged for the best arc that all circuits through it
    /// have in common.
    fn put_back_or_exchange(&self, position: usize, cut: &mut [bool], budget: &mut Budget) -> bool {
        let arc = self.arcs[position];
        let after = self.reachable(arc.to, cut, Direction::Forward, budget);
        if !after[arc.from] {
            cut[position] = false;
            return true;
        }
        let before = self.reachable(arc.from, cut, Direction::Backward, budget);
        // The order, the crossings, and the arcs twice.
        budget.spend(2 * self.n() + 3 * self.arcs.len());
        let on_path = |node: usize| after[node] && before[node];
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

    fn reachable(
        &self,
        start: usize,
        cut: &[bool],
        direction: Direction,
        budget: &mut Budget,
    ) -> Vec<bool> {
        let mut seen = vec![false; self.n()];
        seen[start] = true;
        let mut stack = vec![start];
        while let Some(node) = stack.pop() {
            let positions = match direction {
                Direction::Forward => &self.outgoing[node],
                Direction::Backward => &self.incoming[node],
            };
            budget.spend(1 + positions.len());
            for &position in positions {
                let next = match direction {
                    Direction::Forward => self.arcs[position].to,
                    Direction::Backward => self.arcs[position].from,
                };
                if !cut[position] && !seen[next] {
                    seen[next] = true;
                    stack.push(next);
                }
            }
        }
        seen
    }

    /// An order in which no arc that is not `cut` points back; there must be one (Kahn 1962).
    fn topological_order(&self, cut: &[bool]) -> Vec<usize> {
        let mut waiting: Vec<usize> = self
            .incoming
            .iter()
            .map(|positions| positions.iter().filter(|&&position| !cut[position]).count())
            .collect();
        let mut order: Vec<usize> = (0..self.n()).filter(|&node| waiting[node] == 0).collect();
        let mut at = 0;
        while let Some(&node) = order.get(at) {
            at += 1;
            for &position in self.outgoing[node].iter().filter(|&&position| !cut[position]) {
                let to = self.arcs[position].to;
                waiting[to] -= 1;
                if waiting[to] == 0 {
                    order.push(to);
                }
            }
        }
        order
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Forward,
    Backward,
}

fn places(order: &[usize]) -> Vec<usize> {
    let mut place = vec![0; order.len()];
    for (at, &node) in order.iter().enumerate() {
        place[node] = at;
    }
    place
}

fn root(part: &mut [usize], mut node: usize) -> usize {
    while part[node] != node {
        part[node] = part[part[node]];
        node = part[node];
    }
    node
}
