use std::collections::BTreeMap;
use std::time::Duration;

use super::{Judgement, NodeObserved, Observed, judge};
use crate::logs::{LogSummary, RingWarning};
use crate::messages::RequestCost;
use crate::report::{CutReport, InOrder};
use crate::statusz::{Cut, Member, Peer, Ring, Statusz, Upstream};
use crate::topology::{Shape, Topology};

mod rings;

fn member(topology: &Topology, node: usize) -> Member {
    Member { peer_id: format!("peer-{}", node + 1), name: topology.nodes[node].name.clone() }
}

/// The ring that these nodes form in this order, with a cut at its first join.
fn ring(topology: &Topology, witness: &[usize]) -> Ring {
    let witness: Vec<Member> = witness.iter().map(|&node| member(topology, node)).collect();
    let (from, to) = (witness[0].clone(), witness[1 % witness.len()].clone());
    let names: Vec<&str> = witness.iter().map(|member| member.name.as_str()).collect();
    Ring {
        id: names.join("+"),
        kind: "plain".into(),
        members: witness.clone(),
        witness,
        cuts: vec![Cut { from, to }],
    }
}

/// A run in which everything is as it must be: `rings` by their witnesses, reported and warned of by their members.
fn perfect(topology: Topology, rings: &[&[usize]]) -> Observed {
    let graph = topology.graph();
    let node = |index: usize| {
        let own: Vec<Ring> = rings
            .iter()
            .filter(|witness| witness.contains(&index))
            .map(|witness| ring(&topology, witness))
            .collect();
        let ring_warnings = own.iter().map(|ring| RingWarning {
            ring: ring.id.clone(),
            event: "ring_found".into(),
            witness: "its witness".into(),
        });
        let log =
            LogSummary { lines: 5, ring_warnings: ring_warnings.collect(), legacy_warnings: 0 };
        let others = graph.component(index);
        let others: Vec<String> =
            others.into_iter().map(|other| member(&topology, other).peer_id).collect();
        let mut status = Statusz { name: topology.nodes[index].name.clone(), ..Statusz::default() };
        status.peers = others.iter().cloned().map(|peer_id| Peer { peer_id }).collect();
        status.libp2p.connected_peers = others;
        status.rings = own;
        status.budget.limit_percent = 5.0;
        NodeObserved {
            peer_id: member(&topology, index).peer_id,
            status: Ok(status),
            ended_early: None,
            unclean_exit: None,
            p2p_cpu_percent: Some(5.0),
            rss_mib: Some(64.0),
            log,
            log_file: format!("/t/{}/unring.log", topology.nodes[index].name).into(),
            status_file: format!("/t/{}/statusz.json", topology.nodes[index].name).into(),
        }
    };
    let nodes = (0..topology.nodes.len()).map(node).collect();
    let sent_by = (0..topology.joins()).map(|node| (node, 1)).collect();
    let dearest = Some(RequestCost { request: ("peer-1".into(), "00ff".into()), sent_by });
    Observed { topology, ran: Duration::from_secs(12), nodes, triggered: 6, dearest }
}

fn ring_of_three() -> Observed {
    perfect(Shape::Ring.build(3, 0), &[&[0, 1, 2]])
}

fn status(observed: &mut Observed, node: usize) -> &mut Statusz {
    observed.nodes[node].status.as_mut().unwrap()
}

/// Changes the perfect ring of three and expects exactly these failures.
fn check(change: impl FnOnce(&mut Observed), expected: &[&str]) -> Judgement {
    let mut observed = ring_of_three();
    change(&mut observed);
    let judgement = judge(&observed);
    assert_eq!(judgement.failures, expected);
    judgement
}

#[test]
fn a_perfect_ring_passes_at_its_limits() {
    let judgement = check(|_| {}, &[]);
    let invariants = &judgement.invariants;
    assert_eq!((invariants.messages_per_trigger_max, invariants.joins), (3, 3));
    assert!(invariants.all_reachable_known && invariants.connected);
    assert_eq!((invariants.rings_expected, invariants.rings_found), (1, 1));
    let ring = &judgement.rings[0];
    assert_eq!(ring.nodes, ["node-1", "node-2", "node-3"]);
    assert_eq!(ring.witness, ["node-1", "node-2", "node-3"]);
    assert_eq!(ring.cut, Some(CutReport { from: "node-1".into(), to: "node-2".into() }));
    let once = ["node-1", "node-2", "node-3"].map(|name| (name.to_owned(), 1));
    assert_eq!(ring.warnings_per_node, InOrder(once.into()));
}

#[test]
fn topologies_without_a_ring_pass_without_one() {
    for shape in [Shape::Line, Shape::Star, Shape::Tree] {
        let judgement = judge(&perfect(shape.build(5, 0), &[]));
        assert_eq!(judgement.failures, [] as [&str; 0], "{shape:?}");
        assert_eq!(judgement.invariants.rings_found, 0);
    }
}

#[test]
fn a_request_that_costs_more_messages_than_joins() {
    let judgement = check(
        |observed| {
            let sent_by = BTreeMap::from([(0, 0), (1, 3), (2, 1)]);
            observed.dearest =
                Some(RequestCost { request: ("peer-2".into(), "00ff".into()), sent_by });
        },
        &[
            "the request 00ff of node-2 cost 4 messages, expected at most 3 (one per join): sent by node-2 3, node-3 1; \
           see exchange.recent in their statusz.json and this id in their logs",
        ],
    );
    assert_eq!(judgement.invariants.messages_per_trigger_max, 4);
}

#[test]
fn requests_that_nobody_lists() {
    check(
        |observed| observed.dearest = None,
        &[
            "no node lists any of 6 requests that were answered, expected each of them, or else their messages cannot \
           be counted; see exchange.recent in statusz.json of each node",
        ],
    );
    let mut alone = perfect(Shape::Line.build(1, 0), &[]);
    alone.dearest = None;
    assert_eq!(judge(&alone).failures, [] as [&str; 0], "it has nobody to send to");
}

#[test]
fn a_node_that_does_not_know_what_it_reaches() {
    let judgement = check(
        |observed| {
            let status = status(observed, 0);
            status.peers.pop();
            let last_error = Some("connection refused".to_owned());
            status.upstreams =
                vec![Upstream { address: "https://u".into(), last_error, ..Upstream::default() }];
        },
        &[
            "node-1 does not know node-3, expected every node that it reaches along joins, seen node-2; \
           see peers in /t/node-1/statusz.json and /t/node-1/unring.log; \
           its upstream https://u said: connection refused",
        ],
    );
    assert!(!judgement.invariants.all_reachable_known && judgement.invariants.connected);
}

#[test]
fn a_node_need_not_know_what_it_does_not_reach_but_must_be_connected_to_it() {
    let mut observed = perfect(Shape::Line.build(2, 0), &[]);
    status(&mut observed, 1).peers.clear();
    assert_eq!(judge(&observed).failures, [] as [&str; 0]);
    status(&mut observed, 1).libp2p.connected_peers.clear();
    let judgement = judge(&observed);
    assert_eq!(
        judgement.failures,
        [
            "node-2 has no libp2p connection to node-1, expected one to every node that joins connect it with, seen none; \
          see libp2p.connected_peers in /t/node-2/statusz.json and /t/node-2/unring.log"
        ]
    );
    assert!(judgement.invariants.all_reachable_known && !judgement.invariants.connected);
}

#[test]
fn more_cpu_than_the_budget() {
    check(
        |observed| observed.nodes[0].p2p_cpu_percent = Some(5.014),
        &["node-1 used 5.01 % of a core for P2P, expected at most its budget of 5 %; \
           see budget and exchange in /t/node-1/statusz.json"],
    );
    let with_budget = |observed: &mut Observed, percent: f64| {
        status(observed, 0).budget.limit_percent = percent;
        observed.nodes[0].p2p_cpu_percent = Some(7.0);
    };
    check(|observed| with_budget(observed, 8.0), &[]);
    let mut observed = ring_of_three();
    with_budget(&mut observed, 0.0);
    assert_eq!(
        judge(&observed).failures.len(),
        1,
        "a node that does not say its budget has the default one"
    );
}

#[test]
fn more_memory_than_is_fit() {
    check(
        |observed| observed.nodes[2].rss_mib = Some(64.1),
        &[
            "node-3 holds 64.1 MiB of memory, expected at most 64 MiB; see peers and libp2p in /t/node-3/statusz.json",
        ],
    );
}

#[test]
fn a_node_that_ends_by_itself() {
    let judgement = check(
        |observed| {
            observed.nodes[1].ended_early = Some("signal 9".into());
            observed.nodes[1].status = Err("no answer".into());
            observed.nodes[1].log.ring_warnings.clear();
        },
        &[
            "node-2 ended by itself (signal 9), expected to run to the end; see the end of /t/node-2/unring.log",
        ],
    );
    assert!(!judgement.invariants.all_reachable_known && !judgement.invariants.connected);
}

#[test]
fn a_node_that_does_not_answer_or_does_not_drain() {
    check(
        |observed| observed.nodes[1].status = Err("no answer: timed out".into()),
        &[
            "node-2 did not answer GET /statusz at the end: no answer: timed out; see the end of /t/node-2/unring.log",
        ],
    );
    check(
        |observed| observed.nodes[1].unclean_exit = Some("exit code 3".into()),
        &[
            "node-2 ended with exit code 3 after SIGTERM, expected exit code 0; see the end of /t/node-2/unring.log",
        ],
    );
}
