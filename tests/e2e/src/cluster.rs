//! Several nodes in a folder of their own.

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};

use tempfile::TempDir;

use crate::node::Node;
use crate::status::Status;
use crate::wait::eventually;

/// Nodes `node-1`, `node-2`... All are killed when this is dropped, and the folder is removed.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    _dir: TempDir,
}

impl Cluster {
    /// Nodes that are not running and join nobody.
    pub fn new(nodes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let nodes = (1..=nodes).map(|at| Node::new(dir.path(), &format!("node-{at}"))).collect();
        Self { nodes, _dir: dir }
    }

    /// Nodes that are not running, each of which joins the next and the last one the first.
    pub fn ring(nodes: usize) -> Self {
        let mut cluster = Self::new(nodes);
        let urls: Vec<String> = cluster.iter().map(Node::url).collect();
        for (at, node) in cluster.iter_mut().enumerate() {
            node.join([urls[(at + 1) % urls.len()].clone()]);
        }
        cluster
    }

    /// Starts all nodes and waits until they are ready; their peer ids.
    pub fn start(&mut self) -> Vec<String> {
        self.nodes.iter_mut().for_each(Node::start);
        self.nodes.iter_mut().map(|node| node.ready().peer_id).collect()
    }

    /// Waits until each node knows and is connected to all others.
    pub fn connected(&self, peer_ids: &[String]) -> Vec<Status> {
        let others = |me: usize| -> BTreeSet<String> {
            let all = peer_ids.iter().enumerate();
            all.filter(|(at, _)| *at != me).map(|(_, id)| id.clone()).collect()
        };
        self.nodes.iter().enumerate().map(|(at, node)| node.connected_to(&others(at))).collect()
    }

    /// Waits until every node has warned of a ring.
    pub fn warned(&self) {
        for node in &self.nodes {
            eventually(&format!("{} warns of a ring", node.name()), || {
                if node.ring_warnings().is_empty() { Err("not yet".into()) } else { Ok(()) }
            });
        }
    }
}

impl Deref for Cluster {
    type Target = [Node];

    fn deref(&self) -> &[Node] {
        &self.nodes
    }
}

impl DerefMut for Cluster {
    fn deref_mut(&mut self) -> &mut [Node] {
        &mut self.nodes
    }
}
