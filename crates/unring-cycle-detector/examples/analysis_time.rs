//! How long one analysis takes, with ids as long as real ones. To be run with `--release`.
#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use unring_cycle_detector::{Config, Detector, Join, SetJoinsError};

/// Repeatable numbers (Steele, Lea and Flood 2014, SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 1).unwrap_or(0) % bound
    }
}

fn id(node: usize) -> String {
    format!("12D3KooWBu3fmjZgSmLkQ2p1n8wXq6QkXoXgq4Y1vJ7s{node:08}")
}

/// Joins by position, analysed from inside (node 0) and from outside.
fn measure(what: &str, edges: &[(usize, usize)]) -> Result<(), SetJoinsError> {
    for (from_where, local) in [("member", id(0)), ("stranger", "none".to_owned())] {
        let mut config = Config::new(local);
        (config.max_nodes, config.max_edges) = (10_000, 200_000);
        let mut detector = Detector::new(config);
        let mut joins: Vec<Vec<Join<String>>> = Vec::new();
        let mut random = Random(7);
        for &(from, to) in edges {
            joins.resize_with(joins.len().max(from + 1).max(to + 1), Vec::new);
            joins[from].push(Join {
                address: format!("{to}:7946"),
                targets: BTreeSet::from([id(to)]),
                since_unix_ms: u64::try_from(random.below(1_000_000)).unwrap_or(0),
            });
        }
        for (node, joins) in joins.into_iter().enumerate() {
            detector.set_joins(Duration::ZERO, id(node), String::new(), joins)?;
        }
        let mut best = Duration::MAX;
        for round in 0..15 {
            // Makes it look again, at the same graph.
            detector.mark_unverified(Duration::ZERO, &id(round));
            let started = Instant::now();
            detector.poll(Duration::from_secs(60 * (1 + u64::try_from(round).unwrap_or(0))), 0);
            best = best.min(started.elapsed());
        }
        let ring = detector.rings().first();
        let (members, cuts) = ring.map_or((0, 0), |ring| (ring.members.len(), ring.cuts.len()));
        println!(
            "{what:38} {from_where:8} {best:>12.1?}, rings {:4}, first of {members} with {cuts} cuts",
            detector.rings().len(),
        );
    }
    Ok(())
}

/// A circle through all nodes, and `extra` further joins of each.
fn tangle(nodes: usize, extra: usize) -> Vec<(usize, usize)> {
    let mut random = Random(1);
    let mut edges = BTreeSet::new();
    for from in 0..nodes {
        edges.insert((from, (from + 1) % nodes));
        while edges.range((from, 0)..(from + 1, 0)).count() <= extra {
            let to = random.below(nodes);
            if to != from {
                edges.insert((from, to));
            }
        }
    }
    edges.into_iter().collect()
}

/// Circles of some nodes each in which everyone is joined to everyone.
fn meshes(count: usize, nodes: usize) -> Vec<(usize, usize)> {
    let all = |first: usize| {
        (first..first + nodes)
            .flat_map(move |from| (first..first + nodes).map(move |to| (from, to)))
    };
    (0..count).flat_map(|mesh| all(mesh * nodes)).filter(|(from, to)| from != to).collect()
}

fn main() -> Result<(), SetJoinsError> {
    measure("1000 nodes, 1000 joins, one circle", &tangle(1000, 0))?;
    measure("1000 nodes, 2000 joins, one ring", &tangle(1000, 1))?;
    measure("1000 nodes, 3000 joins, one ring", &tangle(1000, 2))?;
    measure("4096 nodes, 4096 joins, one circle", &tangle(4096, 0))?;
    measure("4096 nodes, 8192 joins, one ring", &tangle(4096, 1))?;
    measure("4096 nodes, 12288 joins, one ring", &tangle(4096, 2))?;
    measure("4096 nodes, 65536 joins, one ring", &tangle(4096, 15))?;
    measure("4092 nodes, 45012 joins, 341 meshes", &meshes(341, 12))?;
    measure("4096 nodes, 4096 joins, 2048 pairs", &meshes(2048, 2))?;
    measure("100 nodes, 300 joins, one ring", &tangle(100, 2))?;
    measure("40 nodes, 120 joins, one ring", &tangle(40, 2))
}
