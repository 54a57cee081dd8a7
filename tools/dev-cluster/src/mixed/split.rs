//! Which nodes are K3s's servers, and what becomes of the joins.

use crate::topology::{NodeSpec, Topology, Upstream};

use super::MAX_LEGACY;

/// A topology with some of its nodes taken out.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// The nodes that are left, and the joins between them.
    pub unring: Topology,
    /// The servers of K3s, by name.
    pub legacy: Vec<String>,
    /// Of each node that is left, the servers that it joins.
    pub joins_of_unring: Vec<Vec<usize>>,
    joins_of_legacy: Vec<Vec<Join>>,
    /// Rings of nodes and servers of which no node can know: between any two servers of it that follow each other there is a node,
    /// which asks nobody for those that ask it.
    pub hidden: usize,
}

/// What a server of K3s joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Join {
    /// A node.
    Unring(usize),
    /// Another server.
    Legacy(usize),
}

/// Why a topology cannot be split.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// No server, too many, or nobody left.
    #[error("legacy={legacy}: expected 1 to {most}", most = (*nodes - 1).min(MAX_LEGACY))]
    Count {
        /// How many servers.
        legacy: usize,
        /// Of how many nodes.
        nodes: usize,
    },
    /// They would storm without any help.
    #[error("legacy={legacy}: there would be a ring of servers of K3s alone, which storms")]
    Storm {
        /// How many servers.
        legacy: usize,
    },
}

/// Makes `legacy` of the nodes servers of K3s, spread evenly from the last one down: of a ring of three and two of them the
/// first is left, of a ring of four every other.
///
/// # Errors
/// There would be a storm, or nobody left to prevent it.
pub fn split(topology: &Topology, legacy: usize) -> Result<Split, SplitError> {
    let nodes = topology.nodes.len();
    if legacy == 0 || legacy >= nodes || legacy > MAX_LEGACY {
        return Err(SplitError::Count { legacy, nodes });
    }
    let is_legacy = |node: usize| (node + 1) * legacy / nodes > node * legacy / nodes;
    // Where each node is in its own list.
    let place =
        |node: usize| (0..node).filter(|&other| is_legacy(other) == is_legacy(node)).count();
    let mut split = Split {
        unring: Topology { name: format!("{} mixed", topology.name), nodes: Vec::new() },
        legacy: Vec::new(),
        joins_of_unring: Vec::new(),
        joins_of_legacy: Vec::new(),
        hidden: 0,
    };
    for (index, node) in topology.nodes.iter().enumerate() {
        let to = node.upstreams.iter().filter_map(|upstream| match upstream {
            Upstream::Node(to) => Some(*to),
            Upstream::Url(_) => None,
        });
        let joins: Vec<Join> = to
            .map(|to| if is_legacy(to) { Join::Legacy(place(to)) } else { Join::Unring(place(to)) })
            .collect();
        if is_legacy(index) {
            split.legacy.push(node.name.clone());
            split.joins_of_legacy.push(joins);
            continue;
        }
        let legacy = joins.iter().filter_map(|join| match join {
            Join::Legacy(to) => Some(*to),
            Join::Unring(_) => None,
        });
        split.joins_of_unring.push(legacy.collect());
        let upstreams = node.upstreams.iter().filter_map(|upstream| match upstream {
            Upstream::Node(to) if is_legacy(*to) => None,
            Upstream::Node(to) => Some(Upstream::Node(place(*to))),
            Upstream::Url(url) => Some(Upstream::Url(url.clone())),
        });
        split.unring.nodes.push(NodeSpec { upstreams: upstreams.collect(), ..node.clone() });
    }
    let rings = topology.graph().rings().into_iter().map(|ring| ring.members);
    let hidden = rings.filter(|members| {
        let (legacy, unring): (Vec<usize>, Vec<usize>) =
            members.iter().partition(|node| is_legacy(**node));
        let sees = |node: usize| !split.rings_of(place(node)).is_empty();
        !legacy.is_empty() && !unring.into_iter().any(sees)
    });
    split.hidden = hidden.count();
    match split.calls_of_a_request() {
        Some(_) => Ok(split),
        None => Err(SplitError::Storm { legacy }),
    }
}

impl Split {
    /// What a server joins.
    pub(super) fn servers(&self, legacy: usize) -> impl Iterator<Item = Join> {
        self.joins_of_legacy.get(legacy).into_iter().flatten().copied()
    }

    /// How many calls a request to each server makes, those of the servers behind it included: nodes make none. `None`
    /// where there is no end to them.
    pub(super) fn calls_of_a_request(&self) -> Option<Vec<u64>> {
        let mut calls = vec![0_u64; self.legacy.len()];
        // No path of servers is longer than there are servers, unless some of them are a ring.
        for _ in 0..=self.legacy.len() {
            let before = calls.clone();
            for (server, calls) in calls.iter_mut().enumerate() {
                let behind = |join| match join {
                    Join::Unring(_) => 1,
                    Join::Legacy(to) => before.get(to).map_or(1, |calls| calls.saturating_add(1)),
                };
                *calls = self.servers(server).map(behind).fold(0, u64::saturating_add);
            }
            if calls == before {
                return Some(calls);
            }
        }
        None
    }

    /// Rings of this node through servers alone: the first server of each, and the last.
    pub(super) fn rings_of(&self, unring: usize) -> Vec<(usize, usize)> {
        let first = self.joins_of_unring.get(unring).cloned().unwrap_or_default();
        let rings = first.iter().flat_map(|&first| {
            let mut reached = vec![first];
            let mut next = 0;
            while let Some(&server) = reached.get(next) {
                next += 1;
                for join in self.servers(server) {
                    if let Join::Legacy(to) = join
                        && !reached.contains(&to)
                    {
                        reached.push(to);
                    }
                }
            }
            let closes = |&last: &usize| self.servers(last).any(|to| to == Join::Unring(unring));
            reached.into_iter().filter(closes).map(move |last| (first, last)).collect::<Vec<_>>()
        });
        rings.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{SplitError, split};
    use crate::topology::Shape;

    #[test]
    fn servers_are_spread_and_joins_kept() {
        let ring = split(&Shape::Ring.build(3, 0), 2).unwrap();
        assert_eq!((ring.unring.nodes.len(), ring.unring.joins()), (1, 0));
        assert_eq!(
            (&ring.unring.nodes[0].name[..], &ring.legacy),
            ("node-1", &vec!["node-2".into(), "node-3".into()])
        );
        assert_eq!(ring.joins_of_unring, [[0]]);
        assert_eq!(ring.rings_of(0), [(0, 1)], "out by the first server, back by the last");
        assert_eq!((ring.calls_of_a_request(), ring.hidden), (Some(vec![2, 1]), 0));

        let every_other = split(&Shape::Ring.build(4, 0), 2).unwrap();
        assert_eq!(every_other.legacy, ["node-2", "node-4"]);
        assert_eq!(every_other.joins_of_unring, [[0], [1]]);
        assert!(every_other.rings_of(0).is_empty() && every_other.rings_of(1).is_empty());
        assert_eq!(every_other.hidden, 1);

        let line = split(&Shape::Line.build(4, 0), 1).unwrap();
        assert_eq!((line.unring.joins(), line.rings_of(2).len(), line.hidden), (2, 0, 0));
    }

    #[test]
    fn what_would_storm_is_refused() {
        let mesh = split(&Shape::Mesh.build(3, 0), 2).unwrap_err();
        assert_eq!(mesh, SplitError::Storm { legacy: 2 });
        for legacy in [0, 3] {
            let count = split(&Shape::Ring.build(3, 0), legacy).unwrap_err();
            assert_eq!(count.to_string(), format!("legacy={legacy}: expected 1 to 2"));
        }
    }
}
