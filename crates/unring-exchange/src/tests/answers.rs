//! Which records an answer holds.

use std::collections::BTreeSet;

use unring_peer::{Identity, PeerId, SignedRecord};

use super::support::*;
use crate::config::MAX_ANSWER_RECORDS;
use crate::{Answer, Request};

fn subjects(answer: &Answer) -> Vec<PeerId> {
    answer.records.iter().map(|record| record.record().peer_id).collect()
}

/// A node that has heard these records from its upstream.
fn knowing(records: &[SignedRecord]) -> Harness {
    let mut node = Harness::new(&["a"]);
    let (_, calls) = node.forwarded(None, recursive(None));
    node.call_done(calls[0].call, &Identity::generate(), records);
    let _answered = node.actions();
    node
}

fn asking(max_peers: usize) -> Request {
    Request { max_peers, ..local() }
}

#[test]
fn those_that_others_join_come_first_and_the_rest_is_a_sample() {
    let hubs: Vec<_> = (0..3).map(|_| Identity::generate()).collect();
    let mut records: Vec<_> = hubs.iter().map(|hub| record(hub, 1)).collect();
    let leaves: Vec<_> = (0..200).map(|_| Identity::generate()).collect();
    records.extend(leaves.iter().zip(0..).map(|(leaf, number)| {
        let joins = vec![join("hub", &[hubs[number % 3].peer_id()])];
        record_with(leaf, 1, |record| record.joins = joins)
    }));
    let mut node = knowing(&records);
    let hubs: BTreeSet<_> = hubs.iter().map(Identity::peer_id).collect();
    for (wanted, sampled) in [(0, 100), (1, 1), (7, 7), (200, 200), (usize::MAX, 200)] {
        let subjects = subjects(&node.answered(None, asking(wanted)));
        assert_eq!(subjects[0], node.me());
        assert_eq!(subjects[1..4].iter().copied().collect::<BTreeSet<_>>(), hubs);
        assert_eq!(subjects.len(), 4 + sampled, "wanted {wanted}");
        assert_eq!(subjects.iter().collect::<BTreeSet<_>>().len(), subjects.len());
    }
    let samples: BTreeSet<_> =
        (0..20).map(|_| subjects(&node.answered(None, asking(1)))[4]).collect();
    assert!(samples.len() > 5, "a sample, not always the same: {}", samples.len());
}

#[test]
fn the_asker_hears_of_its_own_newest_record() {
    let asker = Identity::generate();
    let mut records: Vec<_> = (0..50).map(|_| record(&Identity::generate(), 1)).collect();
    records.push(record(&asker, 9));
    let mut node = knowing(&records);
    let caller_record = Some(unverified(&record(&asker, 3)));
    let request = Request { caller_record, ..asking(1) };
    let answer = node.answered(Some(asker.peer_id()), request);
    assert_eq!(answer.records.len(), 3);
    assert_eq!(answer.records[1].record().seq, 9);
    assert_eq!(subjects(&answer)[1], asker.peer_id());
}

#[test]
fn an_answer_is_bounded_and_still_holds_the_askers_own() {
    let nodes: Vec<_> = (0..MAX_ANSWER_RECORDS + 50).map(|_| Identity::generate()).collect();
    let asker = nodes.last().expect("many");
    // Everybody joins the one before: all carry the topology.
    let mut previous = asker.peer_id();
    let chain = nodes.iter().map(|node| {
        let joins = vec![join("next", &[std::mem::replace(&mut previous, node.peer_id())])];
        record_with(node, 1, |record| record.joins = joins)
    });
    let mut node = knowing(&chain.collect::<Vec<_>>());
    let answer = node.answered(Some(asker.peer_id()), asking(0));
    assert_eq!(answer.records.len(), MAX_ANSWER_RECORDS);
    assert_eq!(subjects(&answer)[..2], [node.me(), asker.peer_id()]);
}

#[test]
fn a_recursive_answer_names_the_rings_that_it_brought() {
    let next = Identity::generate();
    let mut node = Harness::new(&["a"]);
    let back = vec![join("me", &[node.me()])];
    let closes = record_with(&next, 1, |record| record.joins = back);
    for (round, ring) in [(1, true), (2, false), (3, true)] {
        // Much sooner than the detector analyses by itself.
        let (_, calls) = node.forwarded(None, recursive(None));
        let joins = if ring { closes.record().joins.clone() } else { Vec::new() };
        let changed = record_with(&next, round, |record| record.joins = joins);
        node.call_done(calls[0].call, &next, &[changed]);
        assert_eq!(answers(node.actions()).len(), 1);
        assert_eq!(node.engine.rings().len(), usize::from(ring), "round {round}");
    }
}
