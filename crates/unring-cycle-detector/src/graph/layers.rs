//! The graph as an analysis sees it: nodes numbered by id, edges in rows, and the components of each layer.

use std::borrow::Cow;

use super::{Csr, JoinGraph, Known, NOWHERE, components, narrow};
use crate::model::{Join, NodeId, RingKind};

/// The two layers of a graph.
pub(crate) struct Layers<'a, N> {
    /// By position, ascending by id.
    nodes: Vec<&'a Known<N>>,
    /// By slot; [`NOWHERE`] for a node that is not in the graph itself.
    position: Vec<u32>,
    plain: Csr,
    /// `None` without shared joins: it is the plain one.
    all: Option<Csr>,
}

/// Where the members of a ring are, ascending.
pub(crate) type Members = Vec<u32>;

impl<'a, N: NodeId> Layers<'a, N> {
    pub(crate) fn new(graph: &'a JoinGraph<N>) -> Self {
        let nodes: Vec<&Known<N>> =
            graph.order.iter().filter_map(|&slot| graph.known(slot)).collect();
        let mut position = vec![NOWHERE; graph.slots.len()];
        for (at, &slot) in graph.order.iter().enumerate() {
            position[slot as usize] = narrow(at);
        }
        let place = |slot: u32| Some(position[slot as usize]).filter(|&at| at != NOWHERE);
        let edges = nodes.iter().map(|known| known.plain.len()).sum();
        let mut plain = Csr::with_capacity(nodes.len(), edges);
        for known in &nodes {
            plain.push_node(known.plain.iter().filter_map(|&(slot, _)| place(slot)));
        }
        let all = (graph.shared_edges > 0).then(|| {
            let mut all = Csr::with_capacity(nodes.len(), edges + graph.shared_edges);
            for known in &nodes {
                let plain = known.plain.iter().map(|&(slot, _)| slot);
                all.push_node(plain.chain(known.shared.iter().copied()).filter_map(place));
            }
            all
        });
        Layers { nodes, position, plain, all }
    }

    pub(crate) fn layer(&self, kind: RingKind) -> &Csr {
        match (&self.all, kind) {
            (Some(all), RingKind::Shared) => all,
            _ => &self.plain,
        }
    }

    /// Nodes and edges of all joins.
    pub(crate) fn size(&self) -> usize {
        self.nodes.len() + self.layer(RingKind::Shared).edges()
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn known(&self, position: u32) -> &'a Known<N> {
        self.nodes[position as usize]
    }

    pub(crate) fn id(&self, position: u32) -> &'a N {
        &self.known(position).node.id
    }

    pub(crate) fn position(&self, id: &N) -> Option<u32> {
        self.nodes.binary_search_by(|known| known.node.id.cmp(id)).ok().map(narrow)
    }

    /// The plain joins of a node to other nodes of the graph, and where those are.
    pub(crate) fn plain_joins(&self, node: u32) -> impl Iterator<Item = (u32, &'a Join<N>)> {
        let known = self.known(node);
        known.plain.iter().filter_map(|&(slot, join)| {
            let to = Some(self.position[slot as usize]).filter(|&to| to != NOWHERE)?;
            Some((to, &known.node.joins[join as usize]))
        })
    }

    /// The layer of `kind` on these nodes, numbered by their position among them.
    pub(crate) fn induced(&self, kind: RingKind, nodes: &[u32]) -> Cow<'_, Csr> {
        let layer = self.layer(kind);
        if nodes.len() == layer.len() {
            Cow::Borrowed(layer)
        } else {
            Cow::Owned(layer.induced(nodes))
        }
    }

    /// The rings of more than one node.
    pub(crate) fn larger_rings(&self) -> Vec<(RingKind, Members)> {
        let mut rings: Vec<_> =
            components(&self.plain).into_iter().map(|members| (RingKind::Plain, members)).collect();
        let Some(all) = &self.all else { return rings };
        let mut size_of_plain_ring = vec![1; self.nodes.len()];
        for (_, members) in &rings {
            for &member in members {
                size_of_plain_ring[member as usize] = members.len();
            }
        }
        for members in components(all) {
            // Plain rings lie inside components of all joins, so one of the same size is the same set.
            if members
                .first()
                .is_some_and(|&member| size_of_plain_ring[member as usize] < members.len())
            {
                rings.push((RingKind::Shared, members));
            }
        }
        rings
    }

    /// The nodes with a plain join to themselves.
    pub(crate) fn self_joined(&self) -> impl Iterator<Item = u32> {
        let joined = self.nodes.iter().enumerate().filter(|(_, known)| known.is_self_joined);
        joined.map(|(position, _)| narrow(position))
    }
}
