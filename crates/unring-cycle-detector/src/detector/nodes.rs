//! The nodes known and their joins, bounded.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    config::{Config, FEW_TARGETS},
    model::{Join, NodeId},
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

#[derive(Debug, Clone)]
pub(super) struct Node<N> {
    pub(super) name: String,
    /// Sorted by address and targets, no such pair twice.
    pub(super) joins: Vec<Join<N>>,
    /// Set while the record is unverified.
    pub(super) forget_at: Option<Duration>,
}

impl<N> Node<N> {
    fn edges(&self) -> usize {
        self.joins.iter().map(|join| join.targets.len()).sum()
    }
}

#[derive(Debug)]
pub(super) struct Nodes<N> {
    by_id: BTreeMap<N, Node<N>>,
    /// Targets of all joins.
    edges: usize,
    /// When unverified nodes are forgotten.
    expiries: BTreeSet<(Duration, N)>,
}

impl<N: NodeId> Nodes<N> {
    pub(super) fn new() -> Self {
        Nodes { by_id: BTreeMap::new(), edges: 0, expiries: BTreeSet::new() }
    }

    pub(super) fn get(&self, id: &N) -> Option<&Node<N>> {
        self.by_id.get(id)
    }

    /// Sorted by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&N, &Node<N>)> {
        self.by_id.iter()
    }

    /// The node to be forgotten next, and when.
    pub(super) fn next_expiry(&self) -> Option<&(Duration, N)> {
        self.expiries.first()
    }

    pub(super) fn rename(&mut self, id: &N, name: String) {
        if let Some(known) = self.by_id.get_mut(id) {
            known.name = name;
        }
    }

    /// Whether it was verified until now.
    pub(super) fn mark_unverified(&mut self, id: &N, forget_at: Duration) -> bool {
        let Some(known) = self.by_id.get_mut(id).filter(|known| known.forget_at.is_none()) else {
            return false;
        };
        known.forget_at = Some(forget_at);
        self.expiries.insert((forget_at, id.clone()));
        true
    }

    /// Whether the local node is joined to it.
    fn is_local_target(&self, local: &N, node: &N) -> bool {
        self.by_id
            .get(local)
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
        let added: usize = joins.iter().map(|join| join.targets.len()).sum();
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
        let known = self.by_id.get(node);
        if known.is_none() && self.by_id.len() >= max_nodes {
            return Err(SetJoinsError::TooManyNodes { max: max_nodes });
        }
        let before = known.map_or(0, Node::edges);
        // A node that wants no more than it has takes nobody's room.
        if added > before && self.edges - before + added > max_edges {
            return Err(SetJoinsError::TooManyEdges { max: max_edges });
        }
        Ok(())
    }

    /// Replaces what was known.
    pub(super) fn insert(&mut self, id: N, node: Node<N>) {
        self.remove(&id);
        self.edges += node.edges();
        if let Some(forget_at) = node.forget_at {
            self.expiries.insert((forget_at, id.clone()));
        }
        self.by_id.insert(id, node);
    }

    pub(super) fn remove(&mut self, id: &N) -> Option<Node<N>> {
        let node = self.by_id.remove(id)?;
        self.edges -= node.edges();
        if let Some(forget_at) = node.forget_at {
            self.expiries.remove(&(forget_at, id.clone()));
        }
        Some(node)
    }
}
