//! Upstreams that fail, cannot stream, lead back here or change.

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use unring_peer::{Identity, UnixMillis};

use super::support::*;
use crate::config::{POLL_INTERVAL, RECURSIVE_INTERVAL, STREAM_AGAIN, TARGET_WINDOW};
use crate::upstream::Upstream;
use crate::{Action, CallFailure, Incomplete, LastResult, Link, Scope};

fn refused() -> CallFailure {
    CallFailure::new("connection refused")
}

/// Lets every attempt to open a stream end as `end` does; when they were made within `duration`.
fn attempts(
    node: &mut Harness,
    duration: Duration,
    mut end: impl FnMut(&mut Harness, crate::StreamId),
) -> Vec<Duration> {
    let stop = node.now.mono + duration;
    let mut times = Vec::new();
    while let Some(due) = node.engine.next_timer(node.now).filter(|due| *due <= stop) {
        node.skip(due.saturating_sub(node.now.mono));
        node.engine.all_are_heard(node.now);
        node.engine.on_timer(node.now);
        for (stream, _) in opened(&node.actions()) {
            times.push(node.now.mono);
            end(node, stream);
        }
    }
    node.skip(stop - node.now.mono);
    times
}

fn pauses(times: &[Duration]) -> Vec<Duration> {
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn a_failed_upstream_is_left_alone_for_a_while() {
    let peer = Identity::generate();
    let mut node = Harness::new(&["a"]);
    node.engine.set_connected_peers(node.now, 1);
    let (_, calls) = node.forwarded(None, recursive(None));
    node.call_failed(calls[0].call);
    let (_, answer) = answers(node.actions()).pop().expect("an answer");
    assert_eq!(answer.incomplete, [Incomplete::UpstreamFailed].into());

    let answer = node.answered(None, recursive(None));
    assert_eq!(answer.incomplete, [Incomplete::UpstreamFailed].into());
    let why = answer.upstreams[0].error.as_deref().expect("a reason");
    assert_eq!(why, "not asked again yet: refused");
    assert!(node.actions().is_empty());

    node.skip(seconds(1));
    let (_, calls) = node.forwarded(None, recursive(None));
    node.call_failed(calls[0].call);
    node.skip(seconds(1));
    node.answered(None, recursive(None));
    node.skip(seconds(1));
    let (_, calls) = node.forwarded(None, recursive(None));
    node.call_done(calls[0].call, &peer, &[]);
    // A success starts over: the next failure costs a second, not four.
    let (_, calls) = node.forwarded(None, recursive(None));
    node.call_failed(calls[0].call);
    node.skip(seconds(1));
    node.forwarded(None, recursive(None));
}

#[test]
fn no_caller_can_have_an_upstream_taken_for_failed() {
    let mut node = Harness::new(&["a"]);
    node.engine.set_connected_peers(node.now, 1);
    for (budget, blamed) in [(millis(100), false), (BUDGET, true)] {
        node.request_within(None, recursive(None), budget).expect("no trace, no error");
        let call = calls(node.actions()).pop().expect("it is asked");
        node.skip(call.timeout);
        node.call_failed(call.call);
        assert_eq!(
            node.request(None, recursive(None))
                .is_ok_and(|it| { matches!(it, crate::Disposition::Answered(_)) }),
            blamed,
            "{budget:?}"
        );
        let _sent = node.actions();
    }
}

#[test]
fn attempts_become_rare_and_a_lost_connection_hurries_them() {
    for (connected, first, longest) in [(1, seconds(1), seconds(300)), (0, millis(50), seconds(10))]
    {
        let mut node = Harness::with(&["a"], |_| {});
        node.engine.set_connected_peers(node.now, connected);
        let times = attempts(&mut node, seconds(3600), |node, stream| {
            node.engine.on_stream_closed(node.now, stream, &refused());
        });
        let pauses = pauses(&times);
        assert!(pauses[0] >= first.mul_f64(0.75) && pauses[0] <= first, "{pauses:?}");
        let last = *pauses.last().expect("many");
        assert!(last >= longest.mul_f64(0.75) && last <= longest, "{pauses:?}");

        node.engine.set_connected_peers(node.now, 2);
        node.engine.set_connected_peers(node.now, 1);
        assert!(matches!(node.engine.upstreams(node.now)[0].link, Link::Waiting { .. }));
        let failed = LastResult::Failed("connection refused".to_owned());
        let view = node.engine.upstreams(node.now).remove(0);
        assert_eq!(view.last.map(|(_, last)| last), Some(failed));
        let tried = u64::try_from(times.len()).expect("few");
        assert_eq!((view.answers, view.failures), (0, tried));
    }
}

#[test]
fn a_stream_that_ends_at_once_is_opened_ever_more_rarely() {
    let peer = Identity::generate();
    let mut node = Harness::with(&["a"], |_| {});
    node.engine.set_connected_peers(node.now, 1);
    let times = attempts(&mut node, seconds(3600), |node, stream| {
        node.engine.on_stream_opened(node.now, stream, peer.peer_id(), true);
        node.engine.on_stream_closed(node.now, stream, &refused());
    });
    assert!(times.len() < 30, "{} attempts in an hour", times.len());

    // One that lasted is missed, and opened again soon.
    let times = attempts(&mut node, seconds(600), |node, stream| {
        node.engine.on_stream_opened(node.now, stream, peer.peer_id(), true);
    });
    assert_eq!(times.len(), 1);
    let Link::Streaming(stream) = node.engine.upstreams(node.now)[0].link else {
        panic!("it is open")
    };
    let lost = node.now.mono;
    node.engine.on_stream_closed(node.now, stream, &refused());
    let times = attempts(&mut node, seconds(2), |_, _| {});
    assert!(times[0] - lost <= seconds(1));
}

#[test]
fn an_upstream_that_cannot_stream_is_polled() {
    let peer = Identity::generate();
    let mut node = Harness::with(&["a"], |_| {});
    let unsupported = CallFailure { unsupported: true, ..refused() };
    let (stream, _) = opened(&node.run(millis(100)))[0];
    node.engine.on_stream_closed(node.now, stream, &unsupported);
    let poll = |node: &mut Harness| {
        let start = node.now.mono;
        let polls = loop {
            let actions = node.run(millis(100));
            for (stream, _) in opened(&actions) {
                node.engine.on_stream_closed(node.now, stream, &unsupported);
            }
            let polls = calls(actions);
            if !polls.is_empty() {
                break polls;
            }
        };
        assert!(polls.len() == 1 && node.now.mono - start <= POLL_INTERVAL);
        assert_eq!(polls[0].request.scope, Scope::Local);
        assert!(polls[0].request.caller_record.is_some(), "the upstream hears of us");
        polls[0].call
    };
    for round in 1..=5 {
        let call = poll(&mut node);
        node.call_done(call, &peer, &[record(&peer, round)]);
        assert_eq!(node.known(), [(peer.peer_id(), round)].into());
    }
    // It answers no more: what comes back may be able to stream.
    let call = poll(&mut node);
    node.call_failed(call);
    assert_eq!(opened(&node.run(POLL_INTERVAL)).len(), 1);
}

#[test]
fn a_polled_upstream_that_can_stream_is_polled_no_more() {
    let peer = Identity::generate();
    let mut node = Harness::with(&["a"], |_| {});
    let (stream, _) = opened(&node.run(millis(100)))[0];
    let unsupported = CallFailure { unsupported: true, ..refused() };
    node.engine.on_stream_closed(node.now, stream, &unsupported);
    let locals = |actions: Vec<Action>| {
        let polls = calls(actions).into_iter().filter(|call| call.request.scope == Scope::Local);
        polls.map(|call| call.call).collect::<Vec<_>>()
    };
    let polls = locals(node.run(seconds(1)));
    node.call_done(polls[0], &peer, &[record(&peer, 1)]);
    // It answers each poll, so that nothing but the time makes us try again.
    let mut polls = 0;
    let stream = loop {
        let actions = node.run(seconds(1));
        if let Some((stream, _)) = opened(&actions).first() {
            break *stream;
        }
        for call in locals(actions) {
            polls += 1;
            node.call_done(call, &peer, &[record(&peer, 1)]);
        }
        assert!(polls <= STREAM_AGAIN.as_secs() / 20, "it is polled for ever");
    };
    node.engine.on_stream_opened(node.now, stream, peer.peer_id(), false);
    node.stream_records(stream, &[record(&peer, 1)], true);
    assert!(locals(node.run(seconds(3600))).is_empty());
    assert_eq!(node.engine.upstreams(node.now)[0].link, Link::Streaming(stream));
}

#[test]
fn streams_that_never_last_give_way_to_polls() {
    let peer = Identity::generate();
    let mut node = Harness::with(&["a"], |_| {});
    let (mut streams, mut polls) = (0, 0);
    for _ in 0..600 {
        let actions = node.run(seconds(1));
        for (stream, _) in opened(&actions) {
            streams += 1;
            node.engine.on_stream_opened(node.now, stream, peer.peer_id(), false);
            node.engine.on_stream_closed(node.now, stream, &refused());
        }
        for call in calls(actions) {
            polls += usize::from(call.request.scope == Scope::Local);
            node.call_done(call.call, &peer, &[record(&peer, 1)]);
        }
    }
    assert!((15..=30).contains(&polls), "{polls} polls in ten minutes");
    assert!((8..=14).contains(&streams), "{streams} attempts");
}

#[test]
fn a_join_that_leads_back_here_is_a_loop_and_is_left_alone() {
    let me = Identity::generate();
    let mut node = Harness::with_identity(me.clone(), 0, &["self"], |_| {});
    let times = attempts(&mut node, seconds(3600), |node, stream| {
        node.engine.on_stream_opened(node.now, stream, me.peer_id(), true);
        assert!(node.actions().iter().any(|action| matches!(action, Action::CloseStream { .. })));
    });
    assert!(times.len() >= TARGET_WINDOW, "a shared address may lead elsewhere the next time");
    assert!(times.len() < TARGET_WINDOW + 18, "{} streams to itself in an hour", times.len());
    let answer = node.answered(None, recursive(None));
    assert_eq!(answer.incomplete, [Incomplete::Loop].into());
    assert!(answer.is_complete(), "nothing is missing");
    assert_eq!(node.engine.rings().len(), 1);
}

#[test]
fn one_recursive_request_at_the_start_and_one_a_minute_when_joins_change() {
    let mut node = Harness::with(&["a"], |_| {});
    let recursive = |actions| {
        let all = calls(actions).into_iter();
        all.filter(|call| call.request.scope == Scope::Recursive).count()
    };
    assert_eq!(recursive(node.run(millis(100))), 1, "at once, with a little jitter");
    node.engine.set_upstreams(node.now, configured(&["a", "b"]));
    node.engine.set_upstreams(node.now, configured(&["a", "c"]));
    node.engine.set_upstreams(node.now, configured(&["a", "c"]));
    assert_eq!(recursive(node.run(RECURSIVE_INTERVAL - millis(200))), 0);
    assert_eq!(recursive(node.run(millis(300))), 2, "one request, to both");
    assert_eq!(recursive(node.run(seconds(3600))), 0);
}

#[test]
fn a_removed_upstream_is_forgotten_with_its_stream_and_calls() {
    let (a, b) = (Identity::generate(), Identity::generate());
    let mut node = Harness::with(&["a"], |config| config.refresh = false);
    let (_, calls) = node.forwarded(None, recursive(None));
    let before = node.own_seq();
    node.engine.set_upstreams(node.now, configured(&["b"]));
    node.persist();
    assert!(node.own_seq() > before, "our record says so");
    node.call_done(calls[0].call, &a, &[record(&a, 1)]);
    assert_eq!(answers(node.actions()).len(), 1);
    let upstreams = node.engine.upstreams(node.now);
    assert_eq!(upstreams.len(), 1);
    assert!(upstreams[0].targets.is_empty() && upstreams[0].in_flight == 0);

    let mut node = Harness::with(&["a"], |_| {});
    let stream = node.open_stream(&b);
    assert_eq!(node.engine.open_streams(), 1);
    node.engine.set_upstreams(node.now, configured(&[]));
    let closed =
        |action: &Action| matches!(action, Action::CloseStream { stream: id, .. } if *id == stream);
    assert!(node.actions().iter().any(closed));
    assert_eq!(node.engine.open_streams(), 0);
    // What still comes on it is nobody's.
    node.stream_records(stream, &[record(&b, 1)], true);
    node.engine.on_stream_closed(node.now, stream, &refused());
    assert!(node.known().is_empty());
}

#[test]
fn an_upstream_where_a_request_came_back_is_spared_by_our_own() {
    let next = Identity::generate();
    let mut node = Harness::with(&["a"], |_| {});
    node.open_stream(&next);
    let (_, sent) = node.forwarded(None, recursive(None));
    node.run(RECURSIVE_INTERVAL - seconds(10));
    let mut back = sent[0].request.trace.clone().expect("a trace");
    back.path.push(crate::Hop { peer: next.peer_id(), stamp: crate::Stamp::NONE });
    node.answered(Some(next.peer_id()), recursive(Some(back)));

    let asked = |node: &mut Harness, upstreams: &[&str]| {
        node.engine.set_upstreams(node.now, configured(upstreams));
        let all = calls(node.run(RECURSIVE_INTERVAL)).into_iter();
        all.filter(|call| call.request.scope == Scope::Recursive).count()
    };
    assert_eq!(asked(&mut node, &["a", "b"]), 1, "b alone");
    assert_eq!(node.engine.open_streams(), 1, "the stream stays");
    assert_eq!(asked(&mut node, &["a", "b", "c"]), 3, "its pause is over");
}

#[test]
fn an_address_that_leads_elsewhere_is_looked_at_again_at_once() {
    let mut rng = StdRng::seed_from_u64(1);
    let (before, after) = (Identity::generate().peer_id(), Identity::generate().peer_id());
    let mut upstream = Upstream::new("https://a:1".into(), UnixMillis::new(1), Duration::ZERO);
    for _ in 0..TARGET_WINDOW {
        upstream.succeeded(Duration::ZERO, before, true);
    }
    upstream.succeeded(Duration::ZERO, after, true);
    let mut now = Duration::ZERO;
    let mut probes = 0;
    while now < Duration::from_secs(2) {
        if upstream.start_probe(now, &mut rng) {
            probes += 1;
            upstream.succeeded(now, after, true);
            upstream.probe_done(now, false, &mut rng);
        }
        now += Duration::from_millis(50);
    }
    assert!(probes >= TARGET_WINDOW - 1, "{probes} probes");
    assert_eq!(upstream.targets(), [after].into(), "the node that was replaced is forgotten");
}

#[test]
fn an_upstream_that_asks_for_time_gets_it() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut upstream = Upstream::new("https://a:1".into(), UnixMillis::new(1), Duration::ZERO);
    let failure = CallFailure { retry_after: Some(Duration::from_secs(60)), ..refused() };
    upstream.failed(Duration::ZERO, &failure, true, &mut rng);
    assert!(upstream.is_failed(Duration::from_secs(59)));
    assert!(!upstream.is_failed(Duration::from_secs(60)));
}

#[test]
fn where_an_address_led_is_said_until_it_is_reached_again() {
    let target = Identity::generate().peer_id();
    let mut node = Harness::new(&["https://a:1"]);
    node.engine.restore_targets(node.now, &[("https://a:1".to_owned(), vec![target])].into());
    node.persist();
    let own = node.engine.own_record().expect("signed at the start").record();
    assert_eq!(own.joins[0].targets, [target].into());
}

#[test]
fn a_poll_that_fails_late_does_not_touch_the_stream_since() {
    let peer = Identity::generate();
    // Two polls are under way at once.
    let mut node = Harness::with(&["a"], |config| config.request_timeout = seconds(90));
    let (stream, _) = opened(&node.run(millis(100)))[0];
    let unsupported = CallFailure { unsupported: true, ..refused() };
    node.engine.on_stream_closed(node.now, stream, &unsupported);
    let polls: Vec<_> = calls(node.run(POLL_INTERVAL + seconds(1)))
        .into_iter()
        .filter(|call| call.request.scope == Scope::Local)
        .collect();
    assert_eq!(polls.len(), 2);
    node.call_failed(polls[0].call);
    let stream = node.open_stream(&peer);
    node.call_failed(polls[1].call);
    assert_eq!(node.engine.upstreams(node.now)[0].link, Link::Streaming(stream));
}
