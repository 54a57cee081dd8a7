//! Joins on a ring are looked at again, and a ring is spoken of only by those who have seen who closes it.

use std::time::Duration;

use unring_cycle_detector::{Event, RingKind, Voice};
use unring_peer::{Identity, SignedRecord};

use super::support::*;
use crate::config::{MAX_PROBES, PROBE_AGAIN, PROBE_INTERVAL, TARGET_WINDOW};
use crate::{Action, CallFailure, CallId};

/// A record of `peer` that joins the node under test.
fn closing(node: &Harness, peer: &Identity) -> SignedRecord {
    let joins = vec![join("me", &[node.me()])];
    record_with(peer, 1, |record| record.joins = joins)
}

fn said(actions: &[Action]) -> Vec<(RingKind, Voice)> {
    let events = actions.iter().filter_map(|action| match action {
        Action::Ring(event @ Event::RingFound { .. }) => Some((event.ring().kind, event.voice())),
        Action::Ring(event) => panic!("{event:?}"),
        _ => None,
    });
    events.collect()
}

/// The probes among `actions`.
fn probes(actions: &[Action]) -> Vec<CallId> {
    let probes = actions.iter().filter_map(|action| match action {
        Action::Probe { call, .. } => Some(*call),
        _ => None,
    });
    probes.collect()
}

/// Runs and ends each probe at once as `end` does; when they were sent.
fn run_probes(
    node: &mut Harness,
    duration: Duration,
    mut end: impl FnMut(&mut Harness, CallId),
) -> Vec<Duration> {
    let stop = node.now.mono + duration;
    let mut times = Vec::new();
    while let Some(due) = node.engine.next_timer(node.now).filter(|due| *due <= stop) {
        node.skip(due.saturating_sub(node.now.mono));
        node.engine.on_timer(node.now);
        for probe in probes(&node.actions()) {
            times.push(node.now.mono);
            end(node, probe);
        }
    }
    node.skip(stop - node.now.mono);
    times
}

/// A node that joins `peer`, which joins it back; nobody has called yet.
fn on_a_ring(peer: &Identity) -> Harness {
    let mut node = Harness::with(&["a"], |_| {});
    let stream = node.open_stream(peer);
    let closing = closing(&node, peer);
    node.stream_records(stream, &[closing], true);
    node
}

#[test]
fn nobody_can_sign_an_innocent_into_a_ring() {
    let attacker = Identity::generate();
    let mut node = on_a_ring(&attacker);
    let actions = node.run(seconds(3600 / 2 - 60));
    assert_eq!(node.engine.rings().len(), 1, "it is known, and shown to who asks");
    assert_eq!(said(&actions), [], "but we have not seen anybody who joins us");
    // A stranger that calls does not close it either.
    let stranger = Identity::generate();
    node.watcher(&stranger, &record(&stranger, 1));
    assert_eq!(said(&node.run(seconds(10))), []);
    node.engine.on_watcher(node.now, Some(attacker.peer_id()), None, None).expect("room");
    assert_eq!(said(&node.run(seconds(10))), [(RingKind::Plain, Voice::Warn)]);
}

#[test]
fn a_join_on_a_ring_is_looked_at_until_it_is_clear_where_it_leads() {
    let peer = Identity::generate();
    let mut node = on_a_ring(&peer);
    let start = node.now.mono;
    let times = run_probes(&mut node, seconds(3600 / 3), |node, probe| {
        node.engine.on_probe_done(node.now, probe, Ok(peer.peer_id()));
    });
    // The stream was the first look.
    let early: Vec<_> = times.iter().filter(|at| **at - start < seconds(2)).collect();
    assert_eq!(early.len(), TARGET_WINDOW - 1, "before a ring is announced: {times:?}");
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[..TARGET_WINDOW - 2].iter().all(|pause| *pause <= PROBE_INTERVAL));
    let late = &pauses[TARGET_WINDOW - 2..];
    assert!(!late.is_empty() && late.iter().all(|pause| *pause >= PROBE_AGAIN.mul_f64(0.75)));
    let upstream = &node.engine.upstreams(node.now)[0];
    assert_eq!(upstream.targets, [peer.peer_id()].into(), "a plain join");
}

#[test]
fn a_shared_address_is_recognised_before_the_ring_is_announced() {
    let (one, other) = (Identity::generate(), Identity::generate());
    let mut node = on_a_ring(&one);
    node.watcher(&one, &closing(&node, &one));
    let mut turn = 0;
    let mut heard = Vec::new();
    run_probes(&mut node, millis(1900), |node, probe| {
        turn += 1;
        let answerer = if turn % 2 == 0 { &one } else { &other };
        node.engine.on_probe_done(node.now, probe, Ok(answerer.peer_id()));
        heard.extend(said(&node.actions()));
    });
    heard.extend(said(&node.run(seconds(10))));
    assert_eq!(heard, [(RingKind::Shared, Voice::Info)]);
    assert_eq!(node.engine.upstreams(node.now)[0].targets.len(), 2);
}

#[test]
fn probes_that_fail_become_rare() {
    let peer = Identity::generate();
    let mut node = on_a_ring(&peer);
    let times = run_probes(&mut node, seconds(1500), |node, probe| {
        node.engine.on_probe_done(node.now, probe, Err(CallFailure::new("refused")))
    });
    assert!(times.len() <= 15, "{} probes in 25 minutes: {times:?}", times.len());
    // They say nothing about requests, and the next one that is answered starts over.
    node.forwarded(None, recursive(None));
}

#[test]
fn probes_without_an_answer_are_bounded() {
    let peer = Identity::generate();
    let mut node = on_a_ring(&peer);
    let times = run_probes(&mut node, seconds(25 * 60), |_, _| {});
    assert!(times.len() <= MAX_PROBES, "{} probes wait", times.len());
}

#[test]
fn a_join_that_left_its_ring_is_left_alone() {
    let peer = Identity::generate();
    let mut node = on_a_ring(&peer);
    run_probes(&mut node, seconds(60), |node, probe| {
        node.engine.on_probe_done(node.now, probe, Ok(peer.peer_id()))
    });
    node.watcher(&peer, &record(&peer, 2));
    let times = run_probes(&mut node, seconds(1500), |node, probe| {
        node.engine.on_probe_done(node.now, probe, Ok(peer.peer_id()));
    });
    assert_eq!(times, [], "its newer record no longer closes the ring");
    assert!(node.engine.rings().is_empty());
}

#[test]
fn an_address_that_led_elsewhere_is_left_alone_after_some_looks() {
    let (old, new) = (Identity::generate(), Identity::generate());
    let mut node = Harness::with(&["a"], |_| {});
    let stream = node.open_stream(&old);
    node.engine.on_stream_closed(node.now, stream, &crate::CallFailure::new("over"));
    let stream = node.open_stream(&new);
    let times = run_probes(&mut node, seconds(1500), |node, probe| {
        node.engine.on_probe_done(node.now, probe, Ok(new.peer_id()));
    });
    assert!((TARGET_WINDOW..=TARGET_WINDOW + 2).contains(&times.len()), "{times:?}");
    assert_eq!(node.engine.upstreams(node.now)[0].targets, [new.peer_id()].into());
    assert!(pushed(&node.run(seconds(1)), stream).is_empty(), "its upstream has not spoken yet");
}
