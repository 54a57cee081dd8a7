//! Which records an answer holds.

use std::collections::BTreeSet;
use std::time::Duration;

use unring_peer::{Identity, PeerId, SignedRecord};

use super::support::*;
use crate::config::{MAX_ANSWER_RECORDS, MAX_SAMPLES};
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
    let own = |record: &&SignedRecord| record.record().peer_id == asker.peer_id();
    let seqs: Vec<_> = answer.records.iter().filter(own).map(|own| own.record().seq).collect();
    assert_eq!(seqs, [9], "once, whether or not it was drawn");
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
    let subjects = subjects(&node.answered(Some(asker.peer_id()), asking(0)));
    // One less when it was drawn with the others.
    assert!((MAX_ANSWER_RECORDS - 1..=MAX_ANSWER_RECORDS).contains(&subjects.len()));
    assert!(subjects.contains(&asker.peer_id()) && subjects.contains(&node.me()));
}

#[test]
fn answers_in_quick_succession_share_samples_and_a_change_ends_that() {
    let records: Vec<_> = (0..300).map(|_| record(&Identity::generate(), 1)).collect();
    let mut node = knowing(&records);
    let sample = |node: &mut Harness, max_peers| -> BTreeSet<PeerId> {
        let subjects = subjects(&node.answered(None, asking(max_peers)));
        assert_eq!(subjects.len(), 101);
        subjects.into_iter().collect()
    };
    let first: Vec<_> = (0..MAX_SAMPLES).map(|_| sample(&mut node, 0)).collect();
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), MAX_SAMPLES, "one for each");
    let next: Vec<_> = (0..MAX_SAMPLES).map(|_| sample(&mut node, 100)).collect();
    assert_eq!(next, first, "then the same again");
    let drawn: BTreeSet<_> = first.iter().flatten().collect();
    assert!(drawn.len() > 290, "together they tell nearly all: {}", drawn.len());

    let newcomer = Identity::generate();
    let caller_record = Some(unverified(&record(&newcomer, 1)));
    let request = Request { caller_record, ..asking(0) };
    let answer = node.answered(Some(newcomer.peer_id()), request);
    assert!(subjects(&answer).contains(&newcomer.peer_id()));
    assert!(!first.contains(&sample(&mut node, 0)), "drawn anew");
}

#[test]
fn nobody_is_told_of_a_record_that_expired_since_the_sample_was_drawn() {
    let short = Identity::generate();
    let short_lived = record_with(&short, 1, |record| record.ttl = Duration::from_secs(60));
    let mut node = knowing(&[short_lived, record(&Identity::generate(), 1)]);
    assert!(subjects(&node.answered(None, asking(0))).contains(&short.peer_id()));
    node.now.mono += Duration::from_secs(61);
    node.now.unix = node.now.unix.saturating_add(Duration::from_secs(61));
    assert!(!subjects(&node.answered(None, asking(0))).contains(&short.peer_id()));
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
