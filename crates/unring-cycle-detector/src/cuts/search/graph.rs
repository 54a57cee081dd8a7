//! The arcs of a ring by their ends, and the walks that the search is made of.

use crate::{
    budget::Budget,
    cuts::Arc,
    graph::{Csr, narrow},
};

/// Arcs, and their positions by node.
pub(in crate::cuts) struct Graph<'a> {
    pub(super) arcs: &'a [Arc],
    outgoing: Csr,
    incoming: Csr,
}

/// Nodes reached by a walk, to be used again by the next one without clearing.
pub(super) struct Reached {
    /// The walk that last came by.
    walk_of: Vec<u32>,
    walk: u32,
    stack: Vec<u32>,
}

impl Reached {
    pub(super) fn contains(&self, node: usize) -> bool {
        self.walk_of[node] == self.walk
    }

    /// Whether it was not reached until now.
    fn insert(&mut self, node: usize) -> bool {
        std::mem::replace(&mut self.walk_of[node], self.walk) != self.walk
    }

    fn start_anew(&mut self) {
        self.stack.clear();
        self.walk = self.walk.wrapping_add(1);
        if self.walk == 0 {
            self.walk_of.fill(0);
            self.walk = 1;
        }
    }
}

#[derive(Clone, Copy)]
pub(super) enum Direction {
    Forward,
    Backward,
}

impl<'a> Graph<'a> {
    pub(in crate::cuts) fn new(n: usize, arcs: &'a [Arc]) -> Self {
        Graph {
            arcs,
            outgoing: Csr::grouped(n, arcs.iter().map(|arc| arc.from)),
            incoming: Csr::grouped(n, arcs.iter().map(|arc| arc.to)),
        }
    }

    pub(super) fn n(&self) -> usize {
        self.outgoing.len()
    }

    /// Positions of the arcs from a node, the preferred one first.
    pub(super) fn outgoing(&self, node: usize) -> impl DoubleEndedIterator<Item = usize> + use<'_> {
        self.outgoing.of(node).iter().map(|&position| position as usize)
    }

    /// Positions of the arcs to a node.
    pub(super) fn incoming(&self, node: usize) -> impl DoubleEndedIterator<Item = usize> + use<'_> {
        self.incoming.of(node).iter().map(|&position| position as usize)
    }

    pub(super) fn nothing_reached(&self) -> Reached {
        Reached { walk_of: vec![0; self.n()], walk: 0, stack: Vec::new() }
    }

    /// Makes `reached` hold what can be reached from `start` without arcs that are `cut`.
    pub(super) fn reach(
        &self,
        start: usize,
        cut: &[bool],
        direction: Direction,
        budget: &mut Budget,
        reached: &mut Reached,
    ) {
        let rows = match direction {
            Direction::Forward => &self.outgoing,
            Direction::Backward => &self.incoming,
        };
        reached.start_anew();
        reached.insert(start);
        reached.stack.push(narrow(start));
        while let Some(node) = reached.stack.pop() {
            let positions = rows.of(node as usize);
            budget.spend(1 + positions.len());
            for &position in positions {
                let arc = &self.arcs[position as usize];
                let next = match direction {
                    Direction::Forward => arc.to,
                    Direction::Backward => arc.from,
                };
                if !cut[position as usize] && reached.insert(next) {
                    reached.stack.push(narrow(next));
                }
            }
        }
    }

    /// An order in which no arc that is not `cut` points back; there must be one (Kahn 1962).
    pub(super) fn topological_order(&self, cut: &[bool]) -> Vec<usize> {
        let mut waiting: Vec<usize> = (0..self.n())
            .map(|node| self.incoming(node).filter(|&position| !cut[position]).count())
            .collect();
        let mut order: Vec<usize> = (0..self.n()).filter(|&node| waiting[node] == 0).collect();
        let mut at = 0;
        while let Some(&node) = order.get(at) {
            at += 1;
            for position in self.outgoing(node).filter(|&position| !cut[position]) {
                let to = self.arcs[position].to;
                waiting[to] -= 1;
                if waiting[to] == 0 {
                    order.push(to);
                }
            }
        }
        order
    }

    pub(in crate::cuts) fn back_arcs(&self, order: &[usize]) -> Vec<usize> {
        let place = places(order);
        (0..self.arcs.len())
            .filter(|&position| place[self.arcs[position].from] > place[self.arcs[position].to])
            .collect()
    }
}

pub(super) fn places(order: &[usize]) -> Vec<usize> {
    let mut place = vec![0; order.len()];
    for (at, &node) in order.iter().enumerate() {
        place[node] = at;
    }
    place
}
