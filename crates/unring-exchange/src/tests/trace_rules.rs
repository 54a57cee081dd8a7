//! What a request must carry, and what becomes of it.

use unring_peer::Identity;

use super::support::*;
use crate::{Hop, Incomplete, InvalidTrace, MAX_PATH, Request, Stamp, Trace};

/// What the engine says of a request with this trace when `caller` brings it.
fn refusal(trace: Trace, caller: Option<&Identity>) -> (InvalidTrace, Harness) {
    let mut node = Harness::new(&["up"]);
    let caller = caller.map(Identity::peer_id);
    let error = node.request(caller, recursive(Some(trace))).expect_err("to be refused");
    assert!(node.actions().is_empty(), "nothing was sent or stored");
    assert_eq!(node.engine.counters().invalid_traces, 1);
    assert_eq!(node.engine.counters().served, 0);
    (error, node)
}

fn hop(peer: &Identity) -> Hop {
    Hop { peer: peer.peer_id(), stamp: Stamp::new([9; 16]) }
}

#[test]
fn the_last_hop_must_be_the_caller() {
    let [origin, relay, caller] = [(); 3].map(|()| Identity::generate());
    let mut stolen = trace(&origin, 1);
    let (error, _) = refusal(stolen.clone(), Some(&caller));
    let [last, caller_id] = [&origin, &caller].map(Identity::peer_id);
    assert_eq!(error, InvalidTrace::LastHopNotCaller { last, caller: caller_id });

    stolen.path = vec![hop(&caller), hop(&relay)];
    let (error, node) = refusal(stolen, Some(&caller));
    let last = relay.peer_id();
    assert_eq!(error, InvalidTrace::LastHopNotCaller { last, caller: caller_id });
    assert_eq!(node.verified.traces.get(), 0, "no signature was checked for it");
}

#[test]
fn a_trace_without_an_authenticated_caller_is_refused() {
    let (error, _) = refusal(trace(&Identity::generate(), 1), None);
    assert_eq!(error, InvalidTrace::AnonymousCaller);
}

#[test]
fn the_key_must_be_that_of_the_origin() {
    let [origin, other] = [(); 2].map(|()| Identity::generate());
    let forged = Trace { origin_key: other.public_key(), ..trace(&origin, 1) };
    let (error, _) = refusal(forged, Some(&origin));
    let [origin, key_of] = [origin, other].map(|identity| identity.peer_id());
    assert_eq!(error, InvalidTrace::OtherKey { origin, key_of });
}

#[test]
fn the_origin_must_have_signed_id_and_time() {
    let origin = Identity::generate();
    let request_id = trace(&origin, 1).request_id;
    let broken = Trace { signature: vec![0; 64], ..trace(&origin, 1) };
    let later = Trace { issued_at: EPOCH.saturating_add(seconds(1)), ..trace(&origin, 1) };
    let renamed = Trace { request_id, ..trace(&origin, 2) };
    for forged in [broken, later, renamed] {
        let (error, mut node) = refusal(forged, Some(&origin));
        assert_eq!(error, InvalidTrace::Signature { origin: origin.peer_id(), request_id });
        // It did not enter the request as seen: the real one still goes on.
        let caller = Some(origin.peer_id());
        assert_eq!(node.forwarded(caller, recursive(Some(trace(&origin, 1)))).1.len(), 1);
    }
}

#[test]
fn a_path_beyond_its_cap_is_refused_and_one_at_it_stays_here() {
    let [origin, relay] = [(); 2].map(|()| Identity::generate());
    let long = |hops| Trace { path: vec![hop(&relay); hops], ..trace(&origin, 1) };
    let (error, _) = refusal(long(MAX_PATH + 1), Some(&relay));
    assert_eq!(error, InvalidTrace::PathTooLong { got: MAX_PATH + 1 });

    let mut node = Harness::new(&["up"]);
    let answer = node.answered(Some(relay.peer_id()), recursive(Some(long(MAX_PATH))));
    assert_eq!(answer.incomplete, [Incomplete::HopLimit].into());
    let (_, calls) = node.forwarded(Some(relay.peer_id()), recursive(Some(long(MAX_PATH - 1))));
    assert_eq!(calls[0].request.trace.as_ref().expect("a trace").path.len(), MAX_PATH);
}

#[test]
fn a_used_up_hop_limit_stays_here_and_is_not_remembered() {
    let origin = Identity::generate();
    let caller = Some(origin.peer_id());
    let mut node = Harness::new(&["up"]);
    let used_up = Trace { hop_limit: 0, ..trace(&origin, 1) };
    for _ in 0..2 {
        let answer = node.answered(caller, recursive(Some(used_up.clone())));
        assert_eq!(answer.incomplete, [Incomplete::HopLimit].into());
        assert!(!answer.is_complete());
    }
    assert_eq!(node.engine.counters().hop_limit, 2);
    assert_eq!(node.verified.traces.get(), 0);
    let (_, calls) = node.forwarded(caller, recursive(Some(trace(&origin, 1))));
    let sent = calls[0].request.trace.as_ref().expect("a trace");
    assert_eq!(sent.hop_limit, 63, "copied and decremented");
    assert_eq!(sent.path.last().expect("a hop").peer, node.me());
    assert_eq!(sent.signature, trace(&origin, 1).signature);
}

#[test]
fn a_request_from_another_time_stays_here() {
    let origin = Identity::generate();
    let limit = seconds(5 * 60);
    let cases = [(DAY, true), (limit + millis(1), true), (limit, false)];
    for (off, skewed) in cases {
        let late = EPOCH.get() - u64::try_from(off.as_millis()).expect("fits");
        let times = [EPOCH.saturating_add(off), unring_peer::UnixMillis::new(late)];
        for (id, issued_at) in (1..).zip(times) {
            let mut node = Harness::new(&["up"]);
            let request_id = trace(&origin, id).request_id;
            let request = recursive(Some(Trace::start(&origin, request_id, issued_at, 64)));
            if skewed {
                let answer = node.answered(Some(origin.peer_id()), request);
                assert_eq!(answer.incomplete, [Incomplete::ClockSkew].into());
                assert_eq!(node.engine.counters().clock_skew, 1);
                assert!(node.actions().is_empty());
            } else {
                node.forwarded(Some(origin.peer_id()), request);
            }
        }
    }
}

#[test]
fn the_same_id_with_other_content_is_a_duplicate() {
    let origin = Identity::generate();
    let caller = Some(origin.peer_id());
    let mut node = Harness::new(&["up"]);
    node.forwarded(caller, recursive(Some(trace(&origin, 1))));
    let issued_at = EPOCH.saturating_add(seconds(1));
    let other = Trace::start(&origin, trace(&origin, 1).request_id, issued_at, 200);
    let answer = node.answered(caller, recursive(Some(other)));
    assert_eq!(answer.incomplete, [Incomplete::Duplicate].into());
    assert!(answer.is_complete(), "the first one asks further");
    assert_eq!((node.engine.counters().duplicates, node.engine.counters().sent), (1, 1));
    // Another origin may use the same id.
    let other = Identity::generate();
    node.forwarded(Some(other.peer_id()), recursive(Some(trace(&other, 1))));
}

#[test]
fn our_name_in_a_path_proves_nothing() {
    let [origin, attacker] = [(); 2].map(|()| Identity::generate());
    let mut node = Harness::new(&["up"]);
    let mut poisoned = trace(&origin, 1);
    let me = Hop { peer: node.me(), stamp: Stamp::new([9; 16]) };
    poisoned.path = vec![me, me, hop(&attacker)];
    let (_, calls) = node.forwarded(Some(attacker.peer_id()), recursive(Some(poisoned)));
    assert_eq!(calls.len(), 1, "it goes on");
    assert_eq!((node.engine.counters().forged_stamps, node.engine.counters().loops), (2, 0));
}

#[test]
fn a_stamp_of_ours_taken_elsewhere_proves_nothing() {
    let [origin, attacker] = [(); 2].map(|()| Identity::generate());
    let mut node = Harness::new(&["up"]);
    let (_, calls) = node.forwarded(Some(origin.peer_id()), recursive(Some(trace(&origin, 1))));
    let stamped = calls[0].request.trace.clone().expect("a trace");
    // Our stamp on request 1, moved to request 2, and to another place in the path of request 1.
    let moved = Trace { path: stamped.path.clone(), ..trace(&origin, 2) };
    let mut shifted = stamped;
    shifted.path.insert(0, hop(&attacker));
    for (mut replayed, forwarded) in [(moved, true), (shifted, false)] {
        replayed.path.push(hop(&attacker));
        let request = recursive(Some(replayed));
        if forwarded {
            node.forwarded(Some(attacker.peer_id()), request);
        } else {
            let answer = node.answered(Some(attacker.peer_id()), request);
            assert_eq!(answer.incomplete, [Incomplete::Duplicate].into(), "not a loop");
        }
    }
    assert_eq!((node.engine.counters().forged_stamps, node.engine.counters().loops), (2, 0));
}

#[test]
fn a_request_that_comes_back_is_a_loop() {
    let [origin, next] = [(); 2].map(|()| Identity::generate());
    let mut node = Harness::new(&["up"]);
    let (_, calls) = node.forwarded(Some(origin.peer_id()), recursive(Some(trace(&origin, 1))));
    let mut back = calls[0].request.trace.clone().expect("a trace");
    back.path.push(hop(&next));
    let answer = node.answered(Some(next.peer_id()), recursive(Some(back)));
    assert_eq!(answer.incomplete, [Incomplete::Loop].into());
    assert!(answer.is_complete(), "a ring takes nothing away");
    assert_eq!(answer.records.len(), 1, "it is answered from the book");
    assert_eq!((node.engine.counters().loops, node.engine.counters().sent), (1, 1));
    assert_eq!(node.engine.counters().duplicates, 0);
}

#[test]
fn a_plain_client_makes_us_the_origin() {
    let mut node = Harness::new(&["up"]);
    let (_, calls) = node.forwarded(None, recursive(None));
    let sent = calls[0].request.trace.clone().expect("a trace");
    assert_eq!((sent.origin, sent.hop_limit), (node.me(), 63));
    assert_eq!(sent.path.len(), 1, "our own stamp shows us the loop");
    sent.verify().expect("we signed it");
    let (_, again) = node.forwarded(None, recursive(None));
    let again = again[0].request.trace.clone().expect("a trace");
    assert_ne!(again.request_id, sent.request_id, "each is a request of its own");
    let next = Identity::generate();
    let mut back = sent;
    back.path.push(hop(&next));
    let answer = node.answered(Some(next.peer_id()), recursive(Some(back)));
    assert_eq!(answer.incomplete, [Incomplete::Loop].into());
}

#[test]
fn a_restarted_node_does_not_know_its_stamps() {
    let [origin, me, next] = [(); 3].map(|()| Identity::generate());
    let start = |seed| {
        Harness::with_identity(me.clone(), 0, &["up"], |config| {
            config.refresh = false;
            config.seed = [seed; 32];
        })
    };
    let request = recursive(Some(trace(&origin, 1)));
    let (_, calls) = start(1).forwarded(Some(origin.peer_id()), request);
    let mut back = calls[0].request.trace.clone().expect("a trace");
    back.path.push(hop(&next));
    let mut restarted = start(2);
    let (_, calls) = restarted.forwarded(Some(next.peer_id()), recursive(Some(back)));
    assert_eq!(restarted.engine.counters().forged_stamps, 1);
    let limit = calls[0].request.trace.as_ref().expect("a trace").hop_limit;
    assert_eq!(limit, 62, "the hop limit bounds what the restart costs");
}

#[test]
fn a_local_request_is_answered_from_the_book() {
    let caller = Identity::generate();
    let mut node = Harness::new(&["up"]);
    let caller_record = Some(unverified(&record(&caller, 1)));
    let request = Request { caller_record, ..local() };
    let answer = node.answered(Some(caller.peer_id()), request);
    assert!(answer.is_complete() && answer.upstreams.is_empty() && answer.request_id.is_none());
    assert_eq!(node.known(), [(caller.peer_id(), 1)].into(), "the hub of a star learns its leaves");
    assert_eq!(node.engine.counters().served, 1);
}
