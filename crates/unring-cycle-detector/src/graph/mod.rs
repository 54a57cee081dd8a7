//! The graph of joins with ids as dense numbers, kept from one change to the next.

mod components;
mod csr;
mod layers;
mod slots;
#[cfg(test)]
mod tests;

use crate::model::{Join, NodeId, TopologyNode};
pub(crate) use components::components;
pub(crate) use csr::{Csr, NOWHERE, narrow};
pub(crate) use layers::{Layers, Members};
use slots::Slots;

/// Who joins whom: a directed graph that changes one node at a time.
///
/// Ids are interned: each is hashed when the joins that name it change, and an analysis works on dense numbers alone. So
/// [`detect`](Self::detect) costs what the search costs, however long the ids are. Without bounds of its own: as big as
/// what is put in; a [`Detector`](crate::Detector) bounds what it puts in.
///
/// ```
/// use std::collections::BTreeSet;
/// use unring_cycle_detector::{Join, JoinGraph};
///
/// let mut graph = JoinGraph::new();
/// for (from, to) in [("a", "b"), ("b", "c"), ("c", "a"), ("c", "b")] {
///     let mut joins = graph.get(&from).map_or_else(Vec::new, |node| node.joins.clone());
///     joins.push(Join { address: to.to_owned(), targets: BTreeSet::from([to]), since_unix_ms: 0 });
///     graph.set_joins(from, joins);
/// }
/// let found = graph.detect();
/// assert_eq!(found[0].members, [&"a", &"b", &"c"]);
/// assert_eq!(found[0].witness, [&"b", &"c"]);
/// assert_eq!(graph.rings()[0].cuts.len(), 1);
/// ```
#[derive(Debug, Clone)]
pub struct JoinGraph<N> {
    slots: Slots<N>,
    /// By slot; `None` where only joins of others name the node.
    known: Vec<Option<Known<N>>>,
    /// The slots of known nodes, by id.
    order: Vec<u32>,
    /// Edges of shared joins. With none, the layer of all joins is that of the plain ones.
    shared_edges: usize,
}

/// A node with its joins, and where they lead.
#[derive(Debug, Clone)]
pub(crate) struct Known<N> {
    pub(crate) node: TopologyNode<N>,
    /// The id as text, which ring ids are made of: writing a peer id takes longer than hashing it.
    pub(crate) text: Box<str>,
    /// Slots of the targets of plain joins and the positions of these joins, the node itself left out.
    plain: Vec<(u32, u32)>,
    /// Slots of the targets of shared joins, the node itself left out.
    shared: Vec<u32>,
    /// It has a plain join to itself.
    pub(crate) is_self_joined: bool,
}

impl<N: NodeId> Default for JoinGraph<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<N: NodeId> JoinGraph<N> {
    /// A graph without nodes.
    pub fn new() -> Self {
        JoinGraph { slots: Slots::new(), known: Vec::new(), order: Vec::new(), shared_edges: 0 }
    }

    /// Sets the joins of a node, which has no name and is not unverified; see [`insert`](Self::insert).
    pub fn set_joins(&mut self, id: N, joins: Vec<Join<N>>) {
        self.insert(TopologyNode { id, name: String::new(), joins, unverified: false });
    }

    /// Puts a node in with its joins, in place of what was known of it. Targets that are not in the graph themselves become
    /// edges once they are.
    ///
    /// Time: linear in its joins, and a shift of the array of nodes when it is new.
    pub fn insert(&mut self, node: TopologyNode<N>) {
        let slot = self.slots.take(&node.id);
        let (mut plain, mut shared) = (Vec::new(), Vec::new());
        for (position, join) in node.joins.iter().enumerate() {
            for target in join.targets.iter().filter(|target| **target != node.id) {
                let target = self.slots.take(target);
                if join.is_shared() {
                    shared.push(target);
                } else {
                    plain.push((target, narrow(position)));
                }
            }
        }
        // What is taken first keeps its slot while the old joins are given back.
        let before = self.remove_slot(slot);
        self.shared_edges += shared.len();
        let text = match before {
            Some(before) => before.text,
            None => {
                let place = self.place_of(&node.id);
                self.order.insert(place.unwrap_or_else(|place| place), slot);
                node.id.to_string().into_boxed_str()
            }
        };
        let is_self_joined = node.joins.iter().any(|join| join.plain_target() == Some(&node.id));
        let slot = slot as usize;
        if self.known.len() < self.slots.len() {
            self.known.resize_with(self.slots.len(), || None);
        }
        self.known[slot] = Some(Known { node, text, plain, shared, is_self_joined });
    }

    /// Takes a node and its joins out.
    pub fn remove(&mut self, id: &N) -> Option<TopologyNode<N>> {
        let slot = self.slots.get(id)?;
        // Before its slot is given back: the order is by the ids of slots.
        let place = self.place_of(id).ok()?;
        self.order.remove(place);
        self.remove_slot(slot).map(|known| known.node)
    }

    /// Takes what is known of a node, which stays in the order.
    fn remove_slot(&mut self, slot: u32) -> Option<Known<N>> {
        let known = self.known.get_mut(slot as usize)?.take()?;
        self.shared_edges -= known.shared.len();
        let plain = known.plain.iter().map(|(target, _)| target);
        for &target in plain.chain(&known.shared).chain([&slot]) {
            self.slots.give_back(target);
        }
        Some(known)
    }

    fn place_of(&self, id: &N) -> Result<usize, usize> {
        self.order.binary_search_by(|&slot| self.slots.id(slot).cmp(&Some(id)))
    }

    /// A node with its joins, if it is in the graph itself and not only named by others.
    pub fn get(&self, id: &N) -> Option<&TopologyNode<N>> {
        self.known(self.slots.get(id)?).map(|known| &known.node)
    }

    /// Changes what does not matter for rings.
    pub(crate) fn rename(&mut self, id: &N, name: String) {
        if let Some(node) = self.get_mut(id) {
            node.name = name;
        }
    }

    pub(crate) fn set_unverified(&mut self, id: &N) {
        if let Some(node) = self.get_mut(id) {
            node.unverified = true;
        }
    }

    fn get_mut(&mut self, id: &N) -> Option<&mut TopologyNode<N>> {
        let slot = self.slots.get(id)? as usize;
        self.known.get_mut(slot)?.as_mut().map(|known| &mut known.node)
    }

    fn known(&self, slot: u32) -> Option<&Known<N>> {
        self.known.get(slot as usize)?.as_ref()
    }

    /// All nodes with their joins, by id.
    pub fn nodes(&self) -> impl Iterator<Item = &TopologyNode<N>> {
        self.order.iter().filter_map(|&slot| self.known(slot)).map(|known| &known.node)
    }

    /// How many nodes have been put in. Those that are only named by others do not count.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}
