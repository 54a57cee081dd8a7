//! Rings too big for the exact method: an order of the nodes with few arcs that point back, improved step by step.
//!
//! Everything is decided by ids, weights and ages, so each node that knows the same joins gets the same cuts.

use super::{Arc, is_better};

/// Above this many arcs the steps whose time grows with the square of the arcs are left out: tens of milliseconds.
pub(super) const REFINE_MAX_ARCS: usize = 4096;
/// Arcs are exchanged if (arcs cut) * (arcs), which is what one pass costs, is at most this: a circle of any size, a mesh of
/// up to 38. In a denser ring the age of so many cuts says little.
const EXCHANGE_MAX_STEPS: usize = 1_000_000;
/// Passes of each improvement. Each pass that changes anything makes the set strictly better; most graphs need two or three.
const MAX_PASSES: usize = 8;

pub(super) fn feedback_arcs(n: usize, arcs: &[Arc]) -> Vec<usize> {
    feedback_arcs_refined_up_to(n, arcs, REFINE_MAX_ARCS)
}

pub(super) fn feedback_arcs_refined_up_to(
    n: usize,
    arcs: &[Arc],
    refine_max_arcs: usize,
) -> Vec<usize> {
    let graph = Graph::new(n, arcs);
    let mut by_degree = graph.order_by_degree();
    graph.improve(&mut by_degree);
    if arcs.len() > refine_max_arcs {
        return graph.back_arcs(&by_degree);
    }
    let mut by_age = graph.order_by_age();
    graph.improve(&mut by_age);
    let first = graph.refine(&graph.back_arcs(&by_degree));
    let second = graph.refine(&graph.back_arcs(&by_age));
    if is_better(arcs, &second, &first) { second } else { first }
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

    /// Sources to the front, sinks to the back, else the node with the greatest surplus of outgoing weight to the front
    /// (Eades, Lin and Smyth 1993, "A fast and effective heuristic for the feedback arc set problem").
    fn order_by_degree(&self) -> Vec<usize> {
        let weight = |positions: &[usize]| {
            positions.iter().map(|&position| self.arcs[position].weight).sum::<usize>()
        };
        let mut out: Vec<usize> = self.outgoing.iter().map(|positions| weight(positions)).collect();
        let mut into: Vec<usize> =
            self.incoming.iter().map(|positions| weight(positions)).collect();
        let mut left: Vec<usize> = (0..self.n()).collect();
        let (mut front, mut back) = (Vec::new(), Vec::new());
        while !left.is_empty() {
            let sink = left.iter().position(|&node| out[node] == 0);
            let chosen = sink
                .or_else(|| left.iter().position(|&node| into[node] == 0))
                .or_else(|| {
                    // A surplus may be negative; comparing out + (total - in) avoids signs. The first of equals wins.
                    let most =
                        left.iter().map(|&node| out[node] + usize::MAX / 2 - into[node]).max()?;
                    left.iter().position(|&node| out[node] + usize::MAX / 2 - into[node] == most)
                })
                .unwrap_or(0);
            let node = left.remove(chosen);
            if sink.is_some() {
                back.push(node)
            } else {
                front.push(node)
            }
            for &position in &self.outgoing[node] {
                into[self.arcs[position].to] -= self.arcs[position].weight;
            }
            for &position in &self.incoming[node] {
                out[self.arcs[position].from] -= self.arcs[position].weight;
            }
        }
        back.reverse();
        front.extend(back);
        front
    }

    /// The arcs put in from the oldest on, without those that would close a circuit; then any order that fits them.
    fn order_by_age(&self) -> Vec<usize> {
        let mut cut = vec![true; self.arcs.len()];
        for (position, arc) in self.arcs.iter().enumerate().rev() {
            cut[position] = self.reachable(arc.to, &cut, Direction::Forward)[arc.from];
        }
        self.topological_order(&cut)
    }

    /// Moves single nodes to where the fewest arcs point back, and then joins parts that have no forward arc between them.
    fn improve(&self, order: &mut Vec<usize>) {
        let mut place = places(order);
        for _ in 0..MAX_PASSES {
            let mut moved = false;
            for node in 0..self.n() {
                moved |= self.move_to_best_place(node, order, &mut place);
            }
            if !moved {
                break;
            }
        }
        self.join_parts(order);
    }

    fn move_to_best_place(&self, node: usize, order: &mut [usize], place: &mut [usize]) -> bool {
        // (place of the neighbour, weight of arcs to it, weight of arcs from it), from the front on.
        let mut neighbours: Vec<(usize, usize, usize)> = Vec::new();
        neighbours.extend(
            self.outgoing[node].iter().map(|&p| (place[self.arcs[p].to], self.arcs[p].weight, 0)),
        );
        neighbours.extend(
            self.incoming[node].iter().map(|&p| (place[self.arcs[p].from], 0, self.arcs[p].weight)),
        );
        neighbours.sort_unstable();
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
    pub(super) fn join_parts(&self, order: &mut Vec<usize>) {
        loop {
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
                return;
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
    fn refine(&self, set: &[usize]) -> Vec<usize> {
        let mut cut = vec![false; self.arcs.len()];
        for &position in set {
            cut[position] = true;
        }
        let passes = if set.len() * self.arcs.len() <= EXCHANGE_MAX_STEPS { MAX_PASSES } else { 0 };
        for _ in 0..passes {
            let mut changed = false;
            for position in (0..self.arcs.len()).rev() {
                if cut[position] {
                    changed |= self.put_back_or_exchange(position, &mut cut);
                }
            }
            if !changed {
                break;
            }
        }
        for position in (0..self.arcs.len()).rev() {
            let arc = self.arcs[position];
            if cut[position] && !self.reachable(arc.to, &cut, Direction::Forward)[arc.from] {
                cut[position] = false;
            }
        }
        (0..self.arcs.len()).filter(|&position| cut[position]).collect()
    }

    /// One arc of the set: not cut if that closes no circuit, else exchanged for the best arc that all circuits through it
    /// have in common.
    fn put_back_or_exchange(&self, position: usize, cut: &mut [bool]) -> bool {
        let arc = self.arcs[position];
        let after = self.reachable(arc.to, cut, Direction::Forward);
        if !after[arc.from] {
            cut[position] = false;
            return true;
        }
        let before = self.reachable(arc.from, cut, Direction::Backward);
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

    fn reachable(&self, start: usize, cut: &[bool], direction: Direction) -> Vec<bool> {
        let mut seen = vec![false; self.n()];
        seen[start] = true;
        let mut stack = vec![start];
        while let Some(node) = stack.pop() {
            let positions = match direction {
                Direction::Forward => &self.outgoing[node],
                Direction::Backward => &self.incoming[node],
            };
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
