//! What is true of a whole network, found without the crates under test.

use std::collections::{BTreeMap, BTreeSet};

use unring_exchange::Verifier;
use unring_peer::PeerId;

use crate::node::NodeId;
use crate::world::World;

impl<V: Verifier + Clone> World<V> {
    /// The configured joins between nodes that run, those through a shared address to each node behind it.
    #[must_use]
    pub fn joins(&self) -> BTreeSet<(NodeId, NodeId)> {
        let mut joins = BTreeSet::new();
        for (from, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.engine.is_some())
        {
            for upstream in &node.upstreams {
                let targets: Vec<_> = match self.shared.get(upstream) {
                    Some(balancer) => balancer.nodes.clone(),
                    None => (0..self.nodes.len())
                        .filter(|to| self.nodes[*to].name == *upstream)
                        .collect(),
                };
                let up = targets.into_iter().filter(|to| self.nodes[*to].engine.is_some());
                joins.extend(up.map(|to| (from, to)));
            }
        }
        joins
    }

    /// Who runs and lacks the newest record of whom, in the same weakly connected part of the network. Empty once all is
    /// known to all.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let joins = self.joins();
        let undirected: BTreeSet<_> =
            joins.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]).collect();
        let reach = reach(self.nodes.len(), &undirected);
        let mut missing = Vec::new();
        for (id, node) in self.nodes.iter().enumerate() {
            let Some(engine) = &node.engine else { continue };
            let known: BTreeMap<_, _> = engine
                .peers(self.now_of(id))
                .into_iter()
                .map(|peer| (peer.record.record().peer_id, peer.record.record().seq))
                .collect();
            for (other, subject) in self.nodes.iter().enumerate().filter(|(other, _)| *other != id)
            {
                let newest = subject.engine.as_ref().and_then(|engine| engine.own_record());
                let Some(newest) = newest.filter(|_| reach[id].contains(&other)) else { continue };
                let has = known.get(&subject.peer_id());
                if has != Some(&newest.record().seq) {
                    missing.push(format!("{} has {} at {has:?}", node.name, subject.name));
                }
            }
        }
        missing
    }

    /// Where each node's own record says that its joins lead, as far as that is not the truth.
    #[must_use]
    pub fn wrong_joins(&self) -> Vec<String> {
        let joins = self.joins();
        let mut wrong = Vec::new();
        for (id, node) in self.nodes.iter().enumerate() {
            let record = node.engine.as_ref().and_then(|engine| engine.own_record());
            let Some(record) = record else { continue };
            let targets = record.record().joins.iter().flat_map(|join| &join.targets);
            let said: BTreeSet<_> = targets.filter_map(|target| self.number(target)).collect();
            let true_targets: BTreeSet<_> =
                joins.iter().filter(|(from, _)| *from == id).map(|(_, to)| *to).collect();
            if said != true_targets {
                wrong.push(format!("{} says {said:?}, not {true_targets:?}", node.name));
            }
        }
        wrong
    }

    /// The rings of the configured joins: strongly connected parts of more than one node, and nodes joined to themselves.
    #[must_use]
    pub fn true_rings(&self) -> BTreeSet<BTreeSet<NodeId>> {
        let joins = self.joins();
        let reach = reach(self.nodes.len(), &joins);
        let mut rings = BTreeSet::new();
        for node in 0..self.nodes.len() {
            let ring: BTreeSet<_> =
                reach[node].iter().copied().filter(|other| reach[*other].contains(&node)).collect();
            if ring.len() > 1 {
                rings.insert(ring);
            }
            if joins.contains(&(node, node)) {
                rings.insert([node].into());
            }
        }
        rings
    }

    /// Which node has this peer id.
    #[must_use]
    pub fn number(&self, peer: &PeerId) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.identity.peer_id() == *peer)
    }

    /// The nodes with these peer ids.
    #[must_use]
    pub fn numbers(&self, peers: &[PeerId]) -> Vec<NodeId> {
        peers.iter().filter_map(|peer| self.number(peer)).collect()
    }
}

/// Who can be reached from whom, over at least one join.
fn reach(nodes: usize, joins: &BTreeSet<(NodeId, NodeId)>) -> Vec<BTreeSet<NodeId>> {
    let reach_from = |start: usize| {
        let mut reached = BTreeSet::new();
        let mut open = vec![start];
        while let Some(from) = open.pop() {
            for (_, to) in joins.range((from, 0)..=(from, usize::MAX)) {
                if reached.insert(*to) {
                    open.push(*to);
                }
            }
        }
        reached
    };
    (0..nodes).map(reach_from).collect()
}
