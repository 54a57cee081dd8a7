//! Every digraph of four nodes, each node asking once, cold: the messages, the records, the rings.
#![expect(clippy::expect_used, reason = "a test")]

use std::collections::BTreeSet;
use std::time::Duration;

use unring_peer::Identity;
use unring_sim::{Trusting, World, identity};

const NODES: usize = 4;
const NAMES: [&str; NODES] = ["n0", "n1", "n2", "n3"];

/// The joins of digraph number `graph`: bit by bit, each ordered pair of different nodes.
fn joins(graph: usize) -> Vec<(usize, usize)> {
    let pairs = (0..NODES)
        .flat_map(|from| (0..NODES).filter(move |to| *to != from).map(move |to| (from, to)));
    pairs.enumerate().filter(|(bit, _)| graph >> bit & 1 == 1).map(|(_, pair)| pair).collect()
}

/// Who can be reached from whom, by Warshall's algorithm.
fn reach(joins: &[(usize, usize)]) -> [[bool; NODES]; NODES] {
    let mut reach = [[false; NODES]; NODES];
    for (from, to) in joins {
        reach[*from][*to] = true;
    }
    for via in 0..NODES {
        for from in 0..NODES {
            for to in 0..NODES {
                reach[from][to] |= reach[from][via] && reach[via][to];
            }
        }
    }
    reach
}

fn check(graph: usize, start: usize, identities: &[Identity]) {
    let joins = joins(graph);
    let mut world = World::new(Trusting, Duration::from_millis(1));
    for (node, name) in NAMES.iter().enumerate() {
        let upstreams: Vec<_> =
            joins.iter().filter(|(from, _)| *from == node).map(|(_, to)| NAMES[*to]).collect();
        world.add(name, identities[node].clone(), &upstreams, |config| {
            config.refresh = false;
        });
    }
    let client = world.ask(start, Duration::from_secs(10));
    world.run_until_quiet(Duration::from_secs(20));
    let case = format!("digraph {graph} {joins:?}, asking n{start}");
    let answered = world.answer(client).unwrap_or_else(|| panic!("{case}: no answer"));
    assert!(answered.answer.is_complete(), "{case}: {:?}", answered.answer.incomplete);
    assert!(
        world.traffic.recursive <= joins.len() as u64,
        "{case}: {} messages",
        world.traffic.recursive
    );

    let reach = reach(&joins);
    let found: BTreeSet<_> =
        answered.answer.records.iter().map(|record| record.record().peer_id).collect();
    for node in 0..NODES {
        let expected = node == start || reach[start][node];
        assert_eq!(
            found.contains(&identities[node].peer_id()),
            expected,
            "{case}: record of n{node}"
        );
    }

    let number = |peer| {
        identities.iter().position(|identity| identity.peer_id() == peer).expect("a node of ours")
    };
    let rings = world.node(start).engine().expect("it runs").rings();
    for ring in rings {
        let witness: Vec<_> = ring.witness.iter().map(|peer| number(*peer)).collect();
        for (index, from) in witness.iter().enumerate() {
            let to = witness[(index + 1) % witness.len()];
            assert!(joins.contains(&(*from, to)), "{case}: witness {witness:?} is no circuit");
        }
    }
    let own_ring: BTreeSet<_> =
        (0..NODES).filter(|node| reach[start][*node] && reach[*node][start]).collect();
    let reported = rings
        .iter()
        .map(|ring| ring.members.iter().map(|peer| number(*peer)).collect::<BTreeSet<_>>());
    let reported: Vec<_> = reported.filter(|members| members.contains(&start)).collect();
    let expected: Vec<_> = [own_ring].into_iter().filter(|members| !members.is_empty()).collect();
    assert_eq!(reported, expected, "{case}: rings of n{start}");
}

fn check_all(graphs: impl Iterator<Item = usize>) {
    let identities: Vec<_> = (0..NODES).map(identity).collect();
    for graph in graphs {
        for start in 0..NODES {
            check(graph, start, &identities);
        }
    }
}

#[test]
fn half_of_all_digraphs_of_four_nodes() {
    check_all((0..4096).step_by(2));
}

#[test]
fn the_other_half() {
    check_all((1..4096).step_by(2));
}
