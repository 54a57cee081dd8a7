//! Who joins whom.

use std::collections::BTreeSet;

use crate::brute::Graph;

/// How many nodes a cluster may have: each takes three ports, a log and some 25 MiB on this one machine.
pub const MAX_NODES: usize = 200;

/// The topologies that need no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Each node joins the next, the last the first. A ring of one is a node joined to itself.
    Ring,
    /// Each node joins the next, the last nobody.
    Line,
    /// Every other node joins the first.
    Star,
    /// Each node but the first joins its parent in a binary tree.
    Tree,
    /// Each node joins every other.
    Mesh,
    /// Each node joins one to three of all nodes, itself included, as the seed says.
    Random,
}

/// Nodes and their joins.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    /// What to call it: the shape, or the file it was read from.
    pub name: String,
    /// The nodes, in order.
    pub nodes: Vec<NodeSpec>,
}

/// One node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSpec {
    /// Its name, unique.
    pub name: String,
    /// What it joins, without duplicates.
    pub upstreams: Vec<Upstream>,
    /// Configuration beyond what the cluster itself sets; merged into the node's file.
    pub config: toml::Table,
}

/// What a node joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// The node at this index.
    Node(usize),
    /// An address as it is written, such as a proxy's. Where it leads is not known here.
    Url(String),
}

impl Shape {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Line => "line",
            Self::Star => "star",
            Self::Tree => "tree",
            Self::Mesh => "mesh",
            Self::Random => "random",
        }
    }

    /// The shape of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ring, Self::Line, Self::Star, Self::Tree, Self::Mesh, Self::Random]
            .into_iter()
            .find(|shape| shape.name() == name)
    }

    /// The topology of this shape with nodes `node-1` to `node-N`. Only `Random` looks at the seed; the same seed
    /// gives the same joins on every machine and in every version.
    pub fn build(self, nodes: usize, seed: u64) -> Topology {
        let mut dice = SplitMix64(seed);
        let joins = |node: usize| -> Vec<usize> {
            match self {
                Self::Ring => vec![(node + 1) % nodes],
                Self::Line => Vec::from_iter((node + 1 < nodes).then_some(node + 1)),
                Self::Star => Vec::from_iter((node > 0).then_some(0)),
                Self::Tree => Vec::from_iter((node > 0).then(|| (node - 1) / 2)),
                Self::Mesh => (0..nodes).filter(|&other| other != node).collect(),
                Self::Random => random_joins(nodes, &mut dice),
            }
        };
        let specs = (0..nodes).map(joins).enumerate().map(|(node, to)| NodeSpec {
            name: format!("node-{}", node + 1),
            upstreams: to.into_iter().map(Upstream::Node).collect(),
            config: toml::Table::new(),
        });
        Topology { name: self.name().to_owned(), nodes: specs.collect() }
    }
}

impl Topology {
    /// How many directed joins there are: the most messages that one request may cost.
    pub fn joins(&self) -> usize {
        self.nodes.iter().map(|node| node.upstreams.len()).sum()
    }

    /// The joins between nodes. Those to a literal URL are not in it.
    pub fn graph(&self) -> Graph {
        let joins = self.nodes.iter().enumerate().flat_map(|(from, node)| {
            node.upstreams.iter().filter_map(move |upstream| match upstream {
                Upstream::Node(to) => Some((from, *to)),
                Upstream::Url(_) => None,
            })
        });
        Graph::new(self.nodes.len(), joins)
    }

    /// Whether it has joins whose other end is not known here, so that the graph shows only a part.
    pub fn has_literal_upstreams(&self) -> bool {
        let mut upstreams = self.nodes.iter().flat_map(|node| &node.upstreams);
        upstreams.any(|upstream| matches!(upstream, Upstream::Url(_)))
    }
}

fn random_joins(nodes: usize, dice: &mut SplitMix64) -> Vec<usize> {
    let wanted = (1 + dice.below(3)).min(nodes);
    let mut joins = BTreeSet::new();
    while joins.len() < wanted {
        joins.insert(dice.below(nodes));
    }
    joins.into_iter().collect()
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014). Ours, so that a
/// seed means the same topology whatever a random number crate does in its next version.
#[derive(Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is small: the bias of the remainder does not matter here.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % end).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
