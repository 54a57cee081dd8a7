//! The nodes known and their joins, bounded.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use crate::{
    config::{Config, FEW_TARGETS},
    graph::JoinGraph,
    model::{Join, NodeId, RingKind, TopologyNode},
};

/// Why joins were refused. What was known of the node before stays, as unverified: there is a newer record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetJoinsError {
    /// The node is new and there is no room.
    #[error("{max} nodes are known, which is the most; a new one is refused")]
    TooManyNodes {
        /// [`Config::max_nodes`], or the part of it that is open to a node known from hearsay.
        max: usize,
    },
    /// More joins than a node may have.
    #[error("{got} joins of one node, at most {max} are accepted")]
    TooManyJoins {
        /// As given.
        got: usize,
        /// [`Config::max_joins_per_node`].
        max: usize,
    },
    /// More targets than a join may have.
    #[error("{got} targets of one join, at most {max} are accepted")]
    TooManyTargets {
        /// As given.
        got: usize,
        /// [`Config::max_targets_per_join`].
        max: usize,
    },
    /// More targets than all joins of a node together may have.
    #[error("{got} targets of one node, at most {max} are accepted")]
    TooManyTargetsOfNode {
        /// As given.
        got: usize,
        /// [`Config::max_targets_per_node`].
        max: usize,
    },
    /// All joins together would have more targets than one analysis may take.
    #[error("the joins of all nodes would have more than {max} targets")]
    TooManyEdges {
        /// [`Config::max_edges`], or the part of it that is open to a node known from hearsay.
        max: usize,
    },
    /// A name or an address is too long.
    #[error("a name or address of {got} bytes, at most {max} are accepted")]
    TextTooLong {
        /// Bytes given.
        got: usize,
        /// [`Config::max_text_bytes`].
        max: usize,
    },
}

fn edges<N>(joins: &[Join<N>]) -> usize {
    joins.iter().map(|join| join.targets.len()).sum()
}

#[derive(Debug)]
pub(super) struct Nodes<N> {
    graph: JoinGraph<N>,
    /// Targets of all joins.
    edges: usize,
    /// When unverified nodes are forgotten.
    forget_at: HashMap<N, Duration>,
    expiries: BTreeSet<(Duration, N)>,
}

impl<N: NodeId> Nodes<N> {
    pub(super) fn new() -> Self {
        Nodes {
            graph: JoinGraph::new(),
            edges: 0,
            forget_at: HashMap::new(),
            expiries: BTreeSet::new(),
        }
    }

    pub(super) fn graph(&self) -> &JoinGraph<N> {
        &self.graph
    }

    /// The kinds of ring that `local` would be in if these nodes were known too; and the work.
    pub(super) fn kinds_around_with(
        &mut self,
        others: BTreeMap<N, TopologyNode<N>>,
        local: &N,
    ) -> (Vec<RingKind>, usize) {
        let mut added = Vec::new();
        for (id, node) in others {
            if self.graph.get(&id).is_none() {
                self.graph.insert(node);
                added.push(id);
            }
        }
        let kinds = self.graph.kinds_around(local);
        for id in &added {
            self.graph.remove(id);
        }
        kinds
    }

    pub(super) fn get(&self, id: &N) -> Option<&TopologyNode<N>> {
        self.graph.get(id)
    }

    /// Set while the record is unverified.
    pub(super) fn forget_at(&self, id: &N) -> Option<Duration> {
        self.forget_at.get(id).copied()
    }

    /// The node to be forgotten next, and when.
    pub(super) fn next_expiry(&self) -> Option<&(Duration, N)> {
        self.expiries.first()
    }

    pub(super) fn rename(&mut self, id: &N, name: String) {
        self.graph.rename(id, name);
    }

    /// Whether it was verified until now.
    pub(super) fn mark_unverified(&mut self, id: &N, forget_at: Duration) -> bool {
        if self.graph.get(id).is_none_or(|node| node.unverified) {
            return false;
        }
        self.graph.set_unverified(id);
        self.expire(id, forget_at);
        true
    }

    fn expire(&mut self, id: &N, forget_at: Duration) {
        self.forget_at.insert(id.clone(), forget_at);
        self.expiries.insert((forget_at, id.clone()));
    }

    fn no_longer_expires(&mut self, id: &N) {
        if let Some(forget_at) = self.forget_at.remove(id) {
            self.expiries.remove(&(forget_at, id.clone()));
        }
    }

    /// Whether the local node is joined to it.
    fn is_local_target(&self, local: &N, node: &N) -> bool {
        self.get(local)
            .is_some_and(|local| local.joins.iter().any(|join| join.targets.contains(node)))
    }

    /// `is_caller`: the node has itself called.
    pub(super) fn check(
        &self,
        config: &Config<N>,
        is_caller: bool,
        node: &N,
        name: &str,
        joins: &[Join<N>],
    ) -> Result<(), SetJoinsError> {
        let Config {
            max_nodes,
            max_joins_per_node,
            max_targets_per_join,
            max_targets_per_node,
            max_edges,
            max_text_bytes,
            ..
        } = *config;
        if joins.len() > max_joins_per_node {
            return Err(SetJoinsError::TooManyJoins { got: joins.len(), max: max_joins_per_node });
        }
        let longest =
            joins.iter().map(|join| join.address.len()).chain([name.len()]).max().unwrap_or(0);
        if longest > max_text_bytes {
            return Err(SetJoinsError::TextTooLong { got: longest, max: max_text_bytes });
        }
        if let Some(join) = joins.iter().find(|join| join.targets.len() > max_targets_per_join) {
            return Err(SetJoinsError::TooManyTargets {
                got: join.targets.len(),
                max: max_targets_per_join,
            });
        }
        if *node == config.local {
            return Ok(());
        }
        let added = edges(joins);
        if added > max_targets_per_node {
            return Err(SetJoinsError::TooManyTargetsOfNode {
                got: added,
                max: max_targets_per_node,
            });
        }
        let is_hearsay = !is_caller && !self.is_local_target(&config.local, node);
        let (max_nodes, max_edges) = match is_hearsay {
            false => (max_nodes, max_edges),
            true if added <= FEW_TARGETS => (max_nodes - max_nodes / 4, max_edges - max_edges / 4),
            true => (max_nodes - max_nodes / 4, max_edges / 2),
        };
        let known = self.get(node);
        if known.is_none() && self.graph.len() >= max_nodes {
            return Err(SetJoinsError::TooManyNodes { max: max_nodes });
        }
        let before = known.map_or(0, |known| edges(&known.joins));
        // A node that wants no more than it has takes nobody's room.
        if added > before && self.edges - before + added > max_edges {
            return Err(SetJoinsError::TooManyEdges { max: max_edges });
        }
        Ok(())
    }

    /// Replaces what was known. `forget_at`: it is unverified.
    pub(super) fn insert(
        &mut self,
        id: N,
        name: String,
        joins: Vec<Join<N>>,
        forget_at: Option<Duration>,
    ) {
        self.no_longer_expires(&id);
        self.edges += edges(&joins);
        self.edges -= self.get(&id).map_or(0, |known| edges(&known.joins));
        if let Some(forget_at) = forget_at {
            self.expire(&id, forget_at);
        }
        self.graph.insert(TopologyNode { id, name, joins, unverified: forget_at.is_some() });
    }

    pub(super) fn remove(&mut self, id: &N) -> Option<TopologyNode<N>> {
        let node = self.graph.remove(id)?;
        self.edges -= edges(&node.joins);
        self.no_longer_expires(id);
        Some(node)
    }
}
