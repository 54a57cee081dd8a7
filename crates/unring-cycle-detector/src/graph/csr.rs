//! Directed graphs on the numbers `0..n`, in compressed sparse rows: all successors in one array, so that a search reads
//! memory in a row and a graph takes two allocations.

/// For each node its successors (or what else belongs to a node), ascending and without repetition. No node is its own successor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Csr {
    /// Where the successors of each node begin, and at the end where the last ones end.
    starts: Vec<u32>,
    successors: Vec<u32>,
}

impl Csr {
    pub(crate) fn with_capacity(nodes: usize, edges: usize) -> Self {
        let mut starts = Vec::with_capacity(nodes + 1);
        starts.push(0);
        Csr { starts, successors: Vec::with_capacity(edges) }
    }

    /// Adds the next node; what `successors` yields is put in order.
    pub(crate) fn push_node(&mut self, successors: impl Iterator<Item = u32>) {
        let first = self.successors.len();
        self.successors.extend(successors);
        let row = &mut self.successors[first..];
        if !row.is_sorted_by(|a, b| a < b) {
            row.sort_unstable();
            let mut kept = first;
            for at in first..self.successors.len() {
                if at == first || self.successors[at] != self.successors[kept - 1] {
                    self.successors[kept] = self.successors[at];
                    kept += 1;
                }
            }
            self.successors.truncate(kept);
        }
        self.starts.push(narrow(self.successors.len()));
    }

    /// For each node the positions in `keys` at which it stands.
    pub(crate) fn grouped(nodes: usize, keys: impl Iterator<Item = usize> + Clone) -> Self {
        let mut starts = vec![0; nodes + 1];
        for key in keys.clone() {
            starts[key + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut successors = vec![0; starts[nodes] as usize];
        for (position, key) in keys.enumerate() {
            successors[next[key] as usize] = narrow(position);
            next[key] += 1;
        }
        Csr { starts, successors }
    }

    /// How many nodes.
    pub(crate) fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// How many edges.
    pub(crate) fn edges(&self) -> usize {
        self.successors.len()
    }

    pub(crate) fn of(&self, node: usize) -> &[u32] {
        &self.successors[self.starts[node] as usize..self.starts[node + 1] as usize]
    }

    /// Where the successors of a node lie in [`Csr::successor`].
    pub(crate) fn range(&self, node: usize) -> std::ops::Range<u32> {
        self.starts[node]..self.starts[node + 1]
    }

    pub(crate) fn successor(&self, position: u32) -> usize {
        self.successors[position as usize] as usize
    }

    /// The same edges, turned round.
    pub(crate) fn reversed(&self) -> Csr {
        let rows = (0..self.len()).map(|node| (narrow(node), self.of(node).len()));
        let starts: Vec<u32> =
            rows.flat_map(|(node, edges)| std::iter::repeat_n(node, edges)).collect();
        let ends = self.successors.iter().map(|&to| to as usize);
        let mut turned = Csr::grouped(self.len(), ends);
        for edge in &mut turned.successors {
            *edge = starts[*edge as usize];
        }
        turned
    }

    /// The part of the graph on `nodes` (ascending), renumbered by position.
    pub(crate) fn induced(&self, nodes: &[u32]) -> Csr {
        if nodes.len() == self.len() {
            return self.clone();
        }
        let mut position = vec![NOWHERE; self.len()];
        for (at, &node) in nodes.iter().enumerate() {
            position[node as usize] = narrow(at);
        }
        let mut part = Csr::with_capacity(nodes.len(), nodes.len());
        for &node in nodes {
            let inside = self.of(node as usize).iter().map(|&to| position[to as usize]);
            part.push_node(inside.filter(|&to| to != NOWHERE));
        }
        part
    }
}

/// No node: a graph has fewer than this many.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// The number of a node or an edge. There are fewer than [`NOWHERE`] of each: that many would not fit in memory.
pub(crate) fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(NOWHERE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(rows: &[&[u32]]) -> Csr {
        let mut graph = Csr::with_capacity(rows.len(), 0);
        for row in rows {
            graph.push_node(row.iter().copied());
        }
        graph
    }

    #[test]
    fn rows_are_put_in_order() {
        let graph = graph(&[&[2, 1, 2, 1, 2], &[], &[1, 1]]);
        assert_eq!((graph.of(0), graph.of(1), graph.of(2)), (&[1, 2][..], &[][..], &[1][..]));
        assert_eq!((graph.len(), graph.edges()), (3, 3));
    }

    #[test]
    fn turned_round_twice_is_the_same() {
        let graph = graph(&[&[1, 2], &[2], &[0]]);
        assert_eq!(graph.reversed(), super::tests::graph(&[&[2], &[0], &[0, 1]]));
        assert_eq!(graph.reversed().reversed(), graph);
        assert_eq!(Csr::default().reversed().len(), 0);
    }

    #[test]
    fn a_part_has_the_edges_inside() {
        let graph = graph(&[&[1, 3], &[2], &[3], &[0, 2]]);
        assert_eq!(graph.induced(&[0, 3]), super::tests::graph(&[&[1], &[0]]));
        assert_eq!(graph.induced(&[0, 1, 2, 3]), graph);
    }
}
