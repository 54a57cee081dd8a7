//! Law L2: what is not free is not waited for. And what enters the dedup store, and what does not.

use std::num::NonZeroUsize;

use unring_peer::Identity;

use super::support::*;
use crate::config::MAX_PENDING;
use crate::{Config, InboundId, Incomplete};

fn one_slot(config: &mut Config) {
    config.refresh = false;
    config.slots_per_upstream = NonZeroUsize::MIN;
}

/// Sends request number `id` of an origin of its own; whether it waits for upstreams.
fn forwarded(node: &mut Harness, origin: &Identity, id: u8) -> Option<(InboundId, Vec<Call>)> {
    use crate::Disposition::{Answered, Pending};
    match node.request(Some(origin.peer_id()), recursive(Some(trace(origin, id)))) {
        Ok(Pending(inbound)) => Some((inbound, calls(node.actions()))),
        Ok(Answered(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn at_most_so_many_in_flight_and_the_next_is_answered_at_once() {
    let origin = Identity::generate();
    let mut node = Harness::with(&["a", "b"], |config| {
        config.refresh = false;
        config.slots_per_upstream = NonZeroUsize::new(3).expect("not zero");
    });
    let mut in_flight = Vec::new();
    for id in 0..3 {
        let (_, calls) = forwarded(&mut node, &origin, id).expect("a slot is free");
        in_flight.extend(calls);
    }
    assert_eq!(in_flight.len(), 6);
    assert!(node.engine.upstreams(node.now).iter().all(|upstream| upstream.in_flight == 3));

    let answer = node.answered(Some(origin.peer_id()), recursive(Some(trace(&origin, 9))));
    assert_eq!(answer.incomplete, [Incomplete::Busy].into());
    assert!(answer.retry_after.is_some(), "it says when to come back");
    assert_eq!(answer.upstreams.len(), 2);
    assert!(node.actions().is_empty());
    assert_eq!((node.engine.counters().busy, node.engine.counters().sent), (1, 6));

    // One answer frees one slot, towards one upstream; the other stays busy.
    node.call_done(in_flight[0].call, &Identity::generate(), &[]);
    let (_, calls) = forwarded(&mut node, &origin, 9).expect("what was busy was not entered");
    assert_eq!(calls.len(), 1);
    let upstreams = node.engine.upstreams(node.now);
    assert!(upstreams.iter().all(|upstream| upstream.in_flight == 3));
}

#[test]
fn every_end_of_a_call_frees_its_slot() {
    let origin = Identity::generate();
    let mut node = Harness::with(&["a"], one_slot);
    let (_, answered) = forwarded(&mut node, &origin, 1).expect("free");
    node.call_done(answered[0].call, &origin, &[]);
    let (inbound, cancelled) = forwarded(&mut node, &origin, 2).expect("free");
    node.engine.on_request_cancelled(inbound);
    assert!(forwarded(&mut node, &origin, 3).is_none(), "the call goes on");
    node.call_failed(cancelled[0].call);
    node.call_failed(cancelled[0].call);
    node.skip(seconds(60));
    let (_, late) = forwarded(&mut node, &origin, 4).expect("free");
    // Its request is answered without it; the slot is free when it ends.
    assert_eq!(answers(node.run(BUDGET)).len(), 1);
    assert!(forwarded(&mut node, &origin, 5).is_none());
    node.call_done(late[0].call, &origin, &[]);
    forwarded(&mut node, &origin, 6).expect("free");
}

#[test]
fn a_free_upstream_is_asked_while_another_is_busy() {
    let [origin, peer] = [(); 2].map(|()| Identity::generate());
    let mut node = Harness::with(&["a"], one_slot);
    forwarded(&mut node, &origin, 1).expect("free");
    node.engine.set_upstreams(node.now, configured(&["a", "b"]));
    let (inbound, calls) = forwarded(&mut node, &origin, 2).expect("b is free");
    assert_eq!(calls.len(), 1);
    node.call_done(calls[0].call, &peer, &[]);
    let (done, answer) = answers(node.actions()).pop().expect("an answer");
    assert_eq!((done, answer.incomplete.clone()), (inbound, [Incomplete::Busy].into()));
    assert!(!answer.is_complete() && answer.retry_after.is_some());
    assert_eq!(answer.upstreams.len(), 2);
}

#[test]
fn requests_that_wait_are_bounded() {
    let origin = Identity::generate();
    let mut node = Harness::with(&["a"], |config| {
        config.refresh = false;
        config.slots_per_upstream = NonZeroUsize::MAX;
    });
    for _ in 0..MAX_PENDING {
        node.forwarded(None, recursive(None));
    }
    let answer = node.answered(None, recursive(None));
    assert_eq!(answer.incomplete, [Incomplete::Busy].into());
    assert!(forwarded(&mut node, &origin, 1).is_none());
}

#[test]
fn only_what_is_forwarded_is_remembered() {
    let origin = Identity::generate();
    let mut node = Harness::new(&[]);
    for _ in 0..2 {
        assert!(forwarded(&mut node, &origin, 1).is_none());
    }
    assert_eq!(node.engine.counters().duplicates, 0, "there was nobody to ask");
    assert_eq!(node.verified.traces.get(), 0);
    node.engine.set_upstreams(node.now, configured(&["a"]));
    forwarded(&mut node, &origin, 1).expect("now there is");
    assert!(forwarded(&mut node, &origin, 1).is_none());
    assert_eq!(node.engine.counters().duplicates, 1);
    assert_eq!(node.verified.traces.get(), 1, "a duplicate costs no signature");
}

#[test]
fn a_duplicate_is_seen_as_long_as_it_would_be_accepted() {
    let origin = Identity::generate();
    let mut node = Harness::new(&["a"]);
    let (skew, request_id) = (crate::config::MAX_CLOCK_SKEW, trace(&origin, 1).request_id);
    let issued_at = EPOCH.saturating_add(skew);
    let request = recursive(Some(crate::Trace::start(&origin, request_id, issued_at, 64)));
    let caller = Some(origin.peer_id());
    node.forwarded(caller, request.clone());
    node.skip(skew * 2);
    let answer = node.answered(caller, request.clone());
    assert_eq!(answer.incomplete, [Incomplete::Duplicate].into());
    node.skip(skew * 2 + millis(1));
    let answer = node.answered(caller, request);
    assert_eq!(answer.incomplete, [Incomplete::ClockSkew].into(), "forgotten, but too old");
}

#[test]
fn a_full_dedup_store_answers_from_the_book() {
    let (alice, bob) = (Identity::generate(), Identity::generate());
    let mut node = Harness::with(&["a"], |config| {
        config.refresh = false;
        config.slots_per_upstream = NonZeroUsize::MAX;
        config.dedup_capacity = NonZeroUsize::new(8).expect("not zero");
        config.dedup_per_caller = NonZeroUsize::new(4).expect("not zero");
    });
    let full = |node: &mut Harness, origin: &Identity, id| {
        let request = recursive(Some(trace(origin, id)));
        let answer = node.answered(Some(origin.peer_id()), request);
        assert_eq!(answer.incomplete, [Incomplete::DedupFull].into());
        assert!(!answer.is_complete());
    };
    (0..4).for_each(|id| drop(forwarded(&mut node, &alice, id).expect("her share")));
    full(&mut node, &alice, 4);
    // A newcomer may use three quarters of the store, one whose record is known may use it all.
    (0..2).for_each(|id| drop(forwarded(&mut node, &bob, id).expect("room for newcomers")));
    full(&mut node, &bob, 2);
    node.watcher(&bob, &record(&bob, 1));
    (2..4).for_each(|id| drop(forwarded(&mut node, &bob, id).expect("a known origin")));
    let carol = Identity::generate();
    node.watcher(&carol, &record(&carol, 1));
    full(&mut node, &carol, 0);
    assert_eq!(node.engine.counters().dedup_full, 3);
    // What was entered is still a duplicate.
    let answer = node.answered(Some(alice.peer_id()), recursive(Some(trace(&alice, 0))));
    assert_eq!(answer.incomplete, [Incomplete::Duplicate].into());
}

#[test]
fn the_timer_takes_out_what_expired_so_that_no_request_pays_for_it() {
    let origin = Identity::generate();
    let mut node = Harness::with(&["a"], |config| config.refresh = false);
    for id in 0..3 {
        let (_, calls) = forwarded(&mut node, &origin, id).expect("a slot is free");
        node.call_done(calls[0].call, &Identity::generate(), &[]);
    }
    assert_eq!(node.engine.remembered_requests(), 3);
    node.run(DAY / 24);
    assert_eq!(node.engine.remembered_requests(), 0, "nobody asked anything meanwhile");
}
