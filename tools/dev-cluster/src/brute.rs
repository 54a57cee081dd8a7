//! What a graph of joins must look like to the nodes, found the slow and obvious way.
//!
//! A *ring* is a strongly connected component with more than one node, or a node joined to itself. A self join is a
//! ring of its own and no part of a bigger one. Everything follows from the matrix of shortest distances (Floyd,
//! "Algorithm 97: Shortest Path", CACM 1962), in O(n^3); no code is shared with the detector that is being judged.

use std::collections::BTreeSet;

/// A directed graph of joins between nodes `0..n`.
#[derive(Clone, Debug)]
pub struct Graph {
    joined: Vec<Vec<bool>>,
}

/// A ring that must be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Its nodes, ascending.
    pub members: Vec<usize>,
    /// How many joins its shortest circuit has.
    pub shortest: usize,
}

/// Why a list of nodes is not a witness of a ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// It names nobody.
    #[error("it is empty")]
    Empty,
    /// A node is not in the ring.
    #[error("node {node} is not in the ring")]
    Outside {
        /// The node.
        node: usize,
    },
    /// A node is named twice.
    #[error("node {node} is named twice")]
    Repeated {
        /// The node.
        node: usize,
    },
    /// Two nodes that follow each other are not joined.
    #[error("node {from} does not join node {to}")]
    NoJoin {
        /// The node that should join.
        from: usize,
        /// The node that should be joined.
        to: usize,
    },
    /// A shorter circuit exists.
    #[error("it has {seen} joins where {shortest} are enough")]
    NotShortest {
        /// Joins of the witness.
        seen: usize,
        /// Joins of the shortest circuit.
        shortest: usize,
    },
}

impl Graph {
    /// A graph of `nodes` nodes with these joins; a join that names no node is left out.
    pub fn new(nodes: usize, joins: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut joined = vec![vec![false; nodes]; nodes];
        for (from, to) in joins {
            if from < nodes && to < nodes {
                joined[from][to] = true;
            }
        }
        Self { joined }
    }

    /// How many nodes it has.
    pub fn nodes(&self) -> usize {
        self.joined.len()
    }

    /// Whether `from` joins `to`.
    pub fn joins(&self, from: usize, to: usize) -> bool {
        self.joined.get(from).and_then(|row| row.get(to)).copied().unwrap_or(false)
    }

    /// All rings: bigger ones by their smallest node, then the nodes that join themselves.
    pub fn rings(&self) -> Vec<Ring> {
        let distance = self.distances();
        let mutual = |a: usize, b: usize| distance[a][b].is_some() && distance[b][a].is_some();
        let mut rings = Vec::new();
        let mut placed = vec![false; self.nodes()];
        for first in 0..self.nodes() {
            if placed[first] {
                continue;
            }
            let members: Vec<usize> =
                (first..self.nodes()).filter(|&node| mutual(first, node)).collect();
            for &member in &members {
                placed[member] = true;
            }
            // A circuit is one join and a shortest way back; both stay inside the component.
            let circuits = members.iter().flat_map(|&from| {
                let ways = members.iter().filter(move |&&to| to != from && self.joins(from, to));
                ways.filter_map(|&to| distance[to][from].map(|back| back + 1)).collect::<Vec<_>>()
            });
            if let Some(shortest) = circuits.min() {
                rings.push(Ring { members, shortest });
            }
        }
        let own = (0..self.nodes()).filter(|&node| self.joins(node, node));
        rings.extend(own.map(|node| Ring { members: vec![node], shortest: 1 }));
        rings
    }

    /// The nodes that `from` reaches along joins, without itself.
    pub fn reachable(&self, from: usize) -> BTreeSet<usize> {
        walk(self.nodes(), from, |a, b| self.joins(a, b))
    }

    /// The nodes of `of`'s weakly connected component (joins taken in both directions), without itself.
    pub fn component(&self, of: usize) -> BTreeSet<usize> {
        walk(self.nodes(), of, |a, b| self.joins(a, b) || self.joins(b, a))
    }

    /// Checks that `witness` is a shortest circuit of `ring`: each node joins the next, the last the first.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check_witness(&self, ring: &Ring, witness: &[usize]) -> Result<(), WitnessError> {
        let mut seen = BTreeSet::new();
        for &node in witness {
            if !ring.members.contains(&node) {
                return Err(WitnessError::Outside { node });
            }
            if !seen.insert(node) {
                return Err(WitnessError::Repeated { node });
            }
        }
        let next = witness.iter().skip(1).chain(witness.first());
        if let Some((&from, &to)) =
            witness.iter().zip(next).find(|&(&from, &to)| !self.joins(from, to))
        {
            return Err(WitnessError::NoJoin { from, to });
        }
        match witness.len() {
            0 => Err(WitnessError::Empty),
            // Shorter than the shortest: a self join passed off as a circuit of the bigger ring.
            length if length != ring.shortest => {
                Err(WitnessError::NotShortest { seen: length, shortest: ring.shortest })
            }
            _ => Ok(()),
        }
    }

    /// Whether the join is one of the ring's own: both ends are members, and a self join only of a ring of one.
    pub fn is_join_of(&self, ring: &Ring, from: usize, to: usize) -> bool {
        let inside = ring.members.contains(&from) && ring.members.contains(&to);
        inside && self.joins(from, to) && ((from == to) == (ring.members.len() == 1))
    }

    /// Shortest distances in joins, self joins left out; `None` where there is no way.
    fn distances(&self) -> Vec<Vec<Option<usize>>> {
        let n = self.nodes();
        let direct = |from: usize, to: usize| match from == to {
            true => Some(0),
            false => self.joins(from, to).then_some(1),
        };
        let mut distance: Vec<Vec<Option<usize>>> =
            (0..n).map(|from| (0..n).map(|to| direct(from, to)).collect()).collect();
        for via in 0..n {
            let onward = distance[via].clone();
            for row in &mut distance {
                let Some(first) = row[via] else { continue };
                for (known, second) in row.iter_mut().zip(&onward) {
                    let through = second.map(|second| first + second);
                    if through.is_some_and(|through| known.is_none_or(|known| through < known)) {
                        *known = through;
                    }
                }
            }
        }
        distance
    }
}

fn walk(nodes: usize, from: usize, joined: impl Fn(usize, usize) -> bool) -> BTreeSet<usize> {
    let mut seen = BTreeSet::new();
    let mut todo = vec![from];
    while let Some(node) = todo.pop() {
        todo.extend((0..nodes).filter(|&next| joined(node, next) && seen.insert(next)));
    }
    seen.remove(&from);
    seen
}

#[cfg(test)]
mod tests;
