//! Rings, witnesses and cuts against brute force.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proptest::{
    prelude::*,
    test_runner::{Config as RunnerConfig, RngSeed},
};

use super::{
    brute_force::{self, Expected, Graph},
    parse,
};
use crate::{Config, Detector, Join, JoinGraph, Ring, RingKind, find_rings};

fn graph(text: &str) -> Graph {
    let mut graph = Graph::new();
    for (from, join) in parse(text) {
        graph.entry(from).or_default().push(join);
    }
    graph
}

/// Everything that can be said of the rings of a graph of up to eight nodes.
fn check(graph: &Graph) {
    let rings = find_rings(graph);
    let found: Vec<Expected> = rings
        .iter()
        .map(|ring| Expected {
            members: ring.members.clone(),
            kind: ring.kind,
            witness: ring.witness.clone(),
        })
        .collect();
    assert_eq!(found, brute_force::rings(graph), "rings of {graph:?}");
    for ring in &rings {
        check_cuts(graph, ring);
    }
    check_parts(graph, &rings);
}

fn check_cuts(graph: &Graph, ring: &Ring<u32>) {
    for cut in &ring.cuts {
        let is_configured = |join: &Join<u32>| {
            (&join.address, join.since_unix_ms) == (&cut.address, cut.since_unix_ms)
                && join.targets == BTreeSet::from([cut.to])
        };
        assert!(graph[&cut.from].iter().any(is_configured), "no plain join {cut:?} in {graph:?}");
    }
    assert!(
        ring.cuts.is_sorted_by_key(|cut| std::cmp::Reverse(cut.since_unix_ms)),
        "newest first: {ring:?}"
    );
    let pairs: BTreeSet<(u32, u32)> = ring.cuts.iter().map(|cut| (cut.from, cut.to)).collect();
    match ring.kind {
        RingKind::Shared => assert_eq!(pairs, BTreeSet::new()),
        RingKind::SelfJoin => {
            assert_eq!(pairs, BTreeSet::from([(ring.members[0], ring.members[0])]))
        }
        RingKind::Plain => {
            let layer = brute_force::edges(graph, RingKind::Plain);
            assert!(
                brute_force::is_acyclic(&layer, &ring.members, &pairs),
                "{ring:?} of {graph:?}"
            );
            assert!(!brute_force::is_acyclic(&layer, &ring.members, &BTreeSet::new()));
            assert_eq!(pairs, brute_force::best_cuts(graph, &ring.members), "cuts in {graph:?}");
        }
    }
    // All joins that make a pair are named, each once.
    for &(from, to) in &pairs {
        let joins = graph[&from].iter().filter(|join| join.targets == BTreeSet::from([to])).count();
        assert_eq!(ring.cuts.iter().filter(|cut| (cut.from, cut.to) == (from, to)).count(), joins);
    }
}

/// With all cuts of all rings made, no two nodes are apart that were together.
fn check_parts(graph: &Graph, rings: &[Ring<u32>]) {
    let before = brute_force::edges(graph, RingKind::Shared);
    let mut left = graph.clone();
    for cut in rings.iter().flat_map(|ring| &ring.cuts) {
        left.get_mut(&cut.from)
            .unwrap()
            .retain(|join| join.address != cut.address || join.is_shared());
    }
    let after = brute_force::edges(&left, RingKind::Shared);
    let nodes: BTreeSet<u32> =
        graph.keys().copied().chain(before.iter().flat_map(|&(from, to)| [from, to])).collect();
    assert_eq!(
        brute_force::parts(&nodes, &before),
        brute_force::parts(&nodes, &after),
        "parts of {graph:?}"
    );
    let plain_rings =
        find_rings(&left).into_iter().filter(|ring| ring.kind != RingKind::Shared).count();
    assert_eq!(plain_rings, 0, "rings left in {left:?}");
}

/// All 4096 graphs of four nodes without joins to oneself, with ages that tie, another pattern for each graph.
fn graphs_of_four_nodes() -> impl Iterator<Item = Graph> {
    let pairs: Vec<(u32, u32)> =
        (0..4).flat_map(|from| (0..4).map(move |to| (from, to))).filter(|(a, b)| a != b).collect();
    (0_u64..1 << pairs.len()).map(move |set| {
        let mut graph: Graph = (0..4).map(|node| (node, Vec::new())).collect();
        for (bit, &(from, to)) in pairs.iter().enumerate().filter(|(bit, _)| set & (1 << bit) != 0)
        {
            let since_unix_ms = (set * 7 + u64::try_from(bit).unwrap() * 13) % 5;
            let join =
                Join { address: to.to_string(), targets: BTreeSet::from([to]), since_unix_ms };
            graph.get_mut(&from).unwrap().push(join);
        }
        graph
    })
}

#[test]
fn every_graph_of_four_nodes() {
    for graph in graphs_of_four_nodes() {
        check(&graph);
        check_circuits(&graph);
    }
}

/// Nodes 0 to 3 with one address each, which leads to all that the node joins and to a node that joins nobody.
#[test]
fn a_ring_of_shared_joins_alone_has_no_cut() {
    let mut rings_seen = 0;
    for mut graph in graphs_of_four_nodes() {
        for joins in graph.values_mut().filter(|joins| !joins.is_empty()) {
            let mut targets: BTreeSet<u32> =
                joins.iter().flat_map(|join| join.targets.iter().copied()).collect();
            targets.insert(9);
            *joins = vec![Join { address: "vip".into(), targets, since_unix_ms: 0 }];
        }
        check(&graph);
        for ring in find_rings(&graph) {
            assert_eq!((ring.kind, ring.cuts.len()), (RingKind::Shared, 0), "{graph:?}");
            rings_seen += 1;
        }
    }
    assert!(rings_seen > 2000, "{rings_seen}");
}

/// As an operator does who makes the one cut that a warning names, and then sees the next warning.
#[test]
fn the_first_cut_made_again_and_again_ends_all_rings_and_leaves_the_cluster_whole() {
    for graph in graphs_of_four_nodes() {
        cut_one_by_one(graph);
    }
}

fn cut_one_by_one(mut graph: Graph) {
    let nodes: BTreeSet<u32> = graph.keys().copied().collect();
    let parts = |graph: &Graph| {
        let edges = brute_force::edges(graph, RingKind::Shared);
        let ends = edges.iter().flat_map(|&(from, to)| [from, to]);
        brute_force::parts(&nodes.iter().copied().chain(ends).collect(), &edges)
    };
    let before = parts(&graph);
    let total: usize = graph.values().map(Vec::len).sum();
    for _ in 0..=total {
        let rings = find_rings(&graph);
        let Some(cut) = rings.iter().find_map(|ring| ring.cuts.first()) else {
            assert!(rings.iter().all(|ring| ring.kind == RingKind::Shared), "{graph:?}");
            return;
        };
        let joins = graph.get_mut(&cut.from).unwrap();
        let at = joins.iter().position(|join| {
            join.address == cut.address && join.targets == BTreeSet::from([cut.to])
        });
        joins.remove(at.unwrap());
        if cut.from != cut.to {
            assert_eq!(parts(&graph), before, "{cut:?} split {graph:?}");
        }
    }
    panic!("more cuts than joins");
}

fn check_circuits(graph: &Graph) {
    let mut joins = JoinGraph::new();
    for (&node, of_node) in graph {
        joins.set_joins(node, of_node.clone());
    }
    for ring in joins.rings() {
        let layer = brute_force::edges(graph, ring.kind);
        let mut expected = brute_force::circuits(&layer, &ring.members);
        let mut found = joins.circuits(&ring, expected.len());
        assert!(!found.truncated);
        assert!(joins.circuits(&ring, expected.len() - 1).truncated, "{graph:?}");
        found.circuits.sort();
        expected.sort();
        assert_eq!(found.circuits, expected, "{graph:?}");
    }
}

/// Up to eight nodes with plain and shared joins, joins to themselves, to nodes without a record and to nowhere, and
/// several joins between the same two nodes.
fn any_graph() -> impl Strategy<Value = Graph> {
    let join = (prop::collection::btree_set(0_u32..9, 0..3), 0_u64..6);
    let node = prop::collection::vec(join, 0..4);
    prop::collection::vec(node, 1..=8).prop_map(|nodes| {
        let join = |(position, (targets, since_unix_ms)): (usize, (BTreeSet<u32>, u64))| Join {
            address: format!("address-{position}"),
            targets,
            since_unix_ms,
        };
        let nodes =
            nodes.into_iter().map(|joins| joins.into_iter().enumerate().map(join).collect());
        (0_u32..).zip(nodes).collect()
    })
}

proptest! {
    #![proptest_config(RunnerConfig { cases: 2000, rng_seed: RngSeed::Fixed(1), ..RunnerConfig::default() })]

    #[test]
    fn random_graphs(graph in any_graph()) {
        check(&graph);
        cut_one_by_one(graph);
    }

    /// What a ring is called and what is cut does not depend on how nodes are numbered otherwise, only on the ids.
    #[test]
    fn other_nodes_change_nothing(graph in any_graph(), extra in 0_u32..9) {
        let rings = find_rings(&graph);
        // A node that nobody joins, in front of or behind all others.
        let mut larger: Graph = graph.iter().map(|(&node, joins)| (node + 1, shifted(joins))).collect();
        let loose = if extra % 2 == 0 { 0 } else { 100 };
        larger.insert(loose, vec![Join { address: "x".into(), targets: BTreeSet::from([extra + 1]), since_unix_ms: 9 }]);
        let shape = |ring: &Ring<u32>, by: u32| {
            let cuts: Vec<_> = ring.cuts.iter().map(|cut| (cut.from - by, cut.to - by, cut.address.clone())).collect();
            (ring.kind, ring.witness.iter().map(|node| node - by).collect::<Vec<_>>(), cuts)
        };
        let before: Vec<_> = rings.iter().map(|ring| shape(ring, 0)).collect();
        let after: Vec<_> = find_rings(&larger).iter().map(|ring| shape(ring, 1)).collect();
        prop_assert_eq!(before, after);
    }
}

fn shifted(joins: &[Join<u32>]) -> Vec<Join<u32>> {
    joins
        .iter()
        .map(|join| Join {
            targets: join.targets.iter().map(|to| to + 1).collect(),
            ..join.clone()
        })
        .collect()
}

fn detector_of(graph: &Graph) -> Detector<u32> {
    let mut detector = Detector::new(Config::new(1));
    for (&node, joins) in graph {
        detector.set_joins(Duration::ZERO, node, String::new(), joins.clone()).unwrap();
    }
    detector.poll(Duration::ZERO, 0);
    detector
}

proptest! {
    #![proptest_config(RunnerConfig { cases: 500, rng_seed: RngSeed::Fixed(3), ..RunnerConfig::default() })]

    #[test]
    fn circuits_are_complete_or_say_that_they_are_not(graph in any_graph(), max in 0_usize..20) {
        let detector = detector_of(&graph);
        for ring in detector.rings().iter().filter(|ring| ring.kind != RingKind::SelfJoin) {
            let mut expected = brute_force::circuits(&brute_force::edges(&graph, ring.kind), &ring.members);
            let all = detector.circuits(ring, expected.len());
            prop_assert!(!all.truncated);
            let some = detector.circuits(ring, max);
            prop_assert_eq!(some.truncated, expected.len() > max);
            prop_assert_eq!(&some.circuits[..], &all.circuits[..max.min(expected.len())]);
            expected.sort();
            let mut sorted = all.circuits;
            sorted.sort();
            prop_assert_eq!(sorted, expected);
        }
    }
}

#[test]
fn a_mesh_with_endless_circuits_gives_as_many_as_asked() {
    let join =
        |to: u32| Join { address: to.to_string(), targets: BTreeSet::from([to]), since_unix_ms: 0 };
    let mesh: Graph =
        (0..30).map(|node| (node, (0..30).filter(|&to| to != node).map(join).collect())).collect();
    let detector = detector_of(&mesh);
    let circuits = detector.circuits(&detector.rings()[0], 1000);
    assert!(circuits.truncated);
    assert_eq!(circuits.circuits.iter().collect::<BTreeSet<_>>().len(), 1000);
}

#[test]
fn a_join_to_oneself_is_one_circuit() {
    let detector = detector_of(&graph("1>1 1>2"));
    assert_eq!(detector.circuits(&detector.rings()[0], 9).circuits, [[1]]);
    assert!(detector.circuits(&detector.rings()[0], 0).truncated);
}

#[test]
fn the_newest_join_of_a_ring_of_three_is_cut() {
    for (ring, cut) in [
        ("1>2@1 2>3@2 3>1@3", (3, 1)),
        ("1>2@9 2>3@2 3>1@3", (1, 2)),
        ("1>2@1 2>3@5 3>1@3", (2, 3)),
    ] {
        let rings = find_rings(&graph(ring));
        assert_eq!(
            rings[0].cuts.iter().map(|cut| (cut.from, cut.to)).collect::<Vec<_>>(),
            [cut],
            "{ring}"
        );
    }
}

#[test]
fn two_joins_between_the_same_nodes_are_dearer_than_one() {
    let mut graph = graph("1>2@9 2>3@1 3>1@2");
    graph.get_mut(&1).unwrap().push(Join {
        address: "other".into(),
        targets: BTreeSet::from([2]),
        since_unix_ms: 8,
    });
    assert_eq!(
        find_rings(&graph)[0].cuts.iter().map(|cut| (cut.from, cut.to)).collect::<Vec<_>>(),
        [(3, 1)]
    );
}

#[test]
fn a_ring_id_is_frozen() {
    let rings = find_rings(&graph("1>2 2>1"));
    assert_eq!(rings[0].id.to_string(), "c0313151eb4bfce5");
    assert_eq!(find_rings(&graph("1>2@5 2>1@7 2>9"))[0].id, rings[0].id, "members alone decide");
}

#[test]
fn a_long_ring_needs_no_deep_stack() {
    let n = 10_000;
    let join = |to: u32| Join {
        address: String::new(),
        targets: BTreeSet::from([to]),
        since_unix_ms: u64::from(to),
    };
    let ring: BTreeMap<u32, Vec<Join<u32>>> =
        (0..n).map(|node| (node, vec![join((node + 1) % n)])).collect();
    // A test thread has 2 MiB of stack.
    let rings = find_rings(&ring);
    assert_eq!(rings.len(), 1);
    assert_eq!(rings[0].witness.len(), 10_000);
}
