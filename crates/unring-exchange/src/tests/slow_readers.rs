//! Ends of streams that do not take what is pushed.

use unring_peer::Identity;

use super::support::*;
use crate::config::{MAX_UNREAD_BYTES, SLOW_CONSUMER_AFTER, SLOW_WHEN_FULL};
use crate::{Action, CallFailure, Link, StreamEnd, StreamId};

/// Streams that were ended for not being read, and how far behind they were.
fn let_go(actions: &[Action]) -> Vec<(StreamId, usize)> {
    let ended = actions.iter().filter_map(|action| match action {
        Action::CloseStream { stream, end: StreamEnd::SlowConsumer { behind } } => {
            Some((*stream, *behind))
        }
        _ => None,
    });
    ended.collect()
}

#[test]
fn who_does_not_read_gets_one_push_and_is_let_go_while_others_are_served() {
    let (reader, sleeper) = (Identity::generate(), Identity::generate());
    let mut node = Harness::new(&[]);
    let read = node.watcher(&reader, &record(&reader, 1));
    let unread = node.watcher(&sleeper, &record(&sleeper, 1));
    node.stalled.insert(unread);
    let actions = node.run(millis(1));
    assert_eq!(pushed(&actions, unread).len(), 2, "ourselves and the other");
    let start = node.now.mono;
    let mut gone = None;
    for seq in 2..100 {
        node.stream_records(read, &[record(&reader, seq)], false);
        node.engine.set_addresses(
            node.now,
            vec![format!("/ip4/10.0.0.{seq}/tcp/1").parse().unwrap()],
            None,
        );
        let actions = node.run(millis(200));
        assert!(pushed(&actions, unread).is_empty());
        assert_eq!(pushed(&actions, read), [(node.me(), node.own_seq())], "is not kept waiting");
        if let [ended] = let_go(&actions)[..] {
            gone = Some((ended, node.now.mono - start));
            break;
        }
    }
    let ((stream, behind), after) = gone.expect("it is let go");
    assert_eq!((stream, behind), (unread, 2), "each node's newest record alone is waiting");
    assert!(after >= SLOW_CONSUMER_AFTER && after < SLOW_CONSUMER_AFTER + seconds(1), "{after:?}");
    assert_eq!((node.engine.open_streams(), node.engine.counters().slow_consumers), (1, 1));
}

#[test]
fn who_reads_again_gets_the_newest_alone() {
    let (above, sleeper) = (Identity::generate(), Identity::generate());
    let mut node = Harness::with(&["a"], |_| {});
    let up = node.open_stream(&above);
    let slow = node.watcher(&sleeper, &record(&sleeper, 1));
    node.stalled.insert(slow);
    node.run(millis(1));
    for seq in 1..=50 {
        node.stream_records(up, &[record(&above, seq)], true);
        assert!(pushed(&node.run(millis(100)), slow).is_empty());
    }
    node.stalled.clear();
    assert!(node.engine.on_stream_taken(slow), "more is waiting");
    assert_eq!(pushed(&node.run(millis(0)), slow), [(above.peer_id(), 50)]);
    assert!(!node.engine.on_stream_taken(slow));
}

#[test]
fn an_upstream_that_does_not_read_is_left_and_tried_again() {
    let (above, below) = (Identity::generate(), Identity::generate());
    let mut node = Harness::with(&["a"], |_| {});
    let up = node.open_stream(&above);
    node.stalled.insert(up);
    node.stream_records(up, &[record(&above, 1)], true);
    node.run(seconds(1));
    let down = node.watcher(&below, &record(&below, 1));
    node.run(seconds(1));
    node.stream_records(down, &[record(&below, 2)], false);
    let actions = node.run(SLOW_CONSUMER_AFTER + seconds(1));
    assert_eq!(let_go(&actions), [(up, 1)]);
    let again = opened(&[actions, node.run(seconds(10))].into_iter().flatten().collect::<Vec<_>>());
    assert_eq!(again.len(), 1);
    node.engine.on_stream_closed(node.now, again[0].0, &CallFailure::new("refused"));
    assert!(matches!(node.engine.upstreams(node.now)[0].link, Link::Waiting { .. }));
}

#[test]
fn what_is_unread_on_all_streams_is_bounded() {
    let mut node = Harness::new(&["a"]);
    let (_, calls) = node.forwarded(None, recursive(None));
    let large = |_| {
        let id = Identity::generate();
        let targets: Vec<_> = (0..16).map(|_| id.peer_id()).collect();
        record_with(&id, 1, |record| {
            record.joins = (0..32).map(|n| join(&format!("{n:0>250}"), &targets[..1])).collect();
        })
    };
    let upstream = Identity::generate();
    let records: Vec<_> = (0..24).map(large).collect();
    let bytes: usize = records.iter().map(|record| record.wire_bytes()).sum();
    assert!(bytes > 200 * 1024, "{bytes}");
    node.call_done(calls[0].call, &upstream, &records);
    let streams = MAX_UNREAD_BYTES / bytes + 20;
    let opened: Vec<_> = (0..streams)
        .map(|_| {
            let caller = Some(Identity::generate().peer_id());
            let stream = node.engine.on_watcher(node.now, caller, None, None).expect("room");
            node.stalled.insert(stream);
            stream
        })
        .collect();
    let actions = node.run(millis(500));
    let served = |actions: &[Action]| {
        opened.iter().filter(|stream| !pushed(actions, **stream).is_empty()).count()
    };
    let first = served(&actions);
    assert!(first < streams && first * bytes <= MAX_UNREAD_BYTES + bytes, "{first} of {streams}");
    assert!(let_go(&actions).is_empty(), "nobody is slow yet");
    // Whoever waits gets the room of those that do not read.
    let actions = node.run(SLOW_WHEN_FULL);
    assert_eq!(served(&actions), let_go(&actions).len());
    assert_eq!(first + served(&actions), streams, "everybody was served");
}
