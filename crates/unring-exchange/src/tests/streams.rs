//! Streams of records: what is sent on which, when, and what is not.

use std::collections::BTreeSet;

use unring_peer::{Identity, PeerId};

use super::support::*;
use crate::config::{
    MAX_ANONYMOUS_STREAMS, MAX_PUSH_RECORDS, MAX_STREAMS, MAX_STREAMS_PER_CALLER, UPSTREAM_HOLD,
};
use crate::{Action, CallFailure, StreamId, StreamRefused};

/// How many records each push on `stream` held, and whether it completed the snapshot.
fn pushes(actions: &[Action], on: StreamId) -> Vec<(usize, bool)> {
    let pushes = actions.iter().filter_map(|action| match action {
        Action::Push { stream, batch } if *stream == on => {
            Some((batch.records.len(), batch.snapshot_complete))
        }
        _ => None,
    });
    pushes.collect()
}

/// A node with an open stream to its upstream, which has told all it knows, and one watcher.
struct Between {
    node: Harness,
    upstream: Identity,
    up: StreamId,
    downstream: Identity,
    down: StreamId,
}

fn between() -> Between {
    let (upstream, downstream) = (Identity::generate(), Identity::generate());
    let mut node = Harness::with(&["a"], |_| {});
    let up = node.open_stream(&upstream);
    node.stream_records(up, &[record(&upstream, 1)], true);
    let down = node.watcher(&downstream, &record(&downstream, 1));
    let actions = node.run(seconds(1));
    assert_eq!(
        pushed(&actions, down).into_iter().collect::<BTreeSet<_>>(),
        [(node.me(), node.own_seq()), (upstream.peer_id(), 1)].into(),
        "a snapshot without the watcher's own record"
    );
    let sent_up: BTreeSet<_> = pushed(&actions, up).into_iter().map(|(peer, _)| peer).collect();
    assert_eq!(sent_up, [node.me(), downstream.peer_id()].into(), "all that it lacks");
    assert!(pushed(&node.run(seconds(60)), down).is_empty(), "nothing is said twice");
    Between { node, upstream, up, downstream, down }
}

#[test]
fn a_snapshot_comes_at_once_and_says_where_it_ends() {
    let (caller, upstream) = (Identity::generate(), Identity::generate());
    let mut node = Harness::new(&["a"]);
    let (_, calls) = node.forwarded(None, recursive(None));
    let many: Vec<_> =
        (0..MAX_PUSH_RECORDS + 10).map(|_| record(&Identity::generate(), 1)).collect();
    node.call_done(calls[0].call, &upstream, &many);
    let stream = node.watcher(&caller, &record(&caller, 1));
    let now = node.now.mono;
    let actions = node.run(millis(0));
    assert_eq!(node.now.mono, now);
    assert_eq!(pushes(&actions, stream), [(MAX_PUSH_RECORDS, false), (11, true)]);
    let all: BTreeSet<_> = pushed(&actions, stream).into_iter().collect();
    assert_eq!(all.len(), MAX_PUSH_RECORDS + 11);
    assert!(all.contains(&(node.me(), node.own_seq())));
    assert!(!all.contains(&(caller.peer_id(), 1)));

    // An anonymous client with nothing to say gets the same.
    let anonymous = node.engine.on_watcher(node.now, None, None, None).expect("room");
    assert_eq!(pushed(&node.run(millis(0)), anonymous).len(), MAX_PUSH_RECORDS + 12);
}

#[test]
fn news_go_down_at_once_and_up_after_a_hold_and_never_back() {
    let Between { mut node, up, down, .. } = between();
    let (above, below) = (Identity::generate(), Identity::generate());
    node.stream_records(up, &[record(&above, 1)], false);
    let actions = node.run(millis(0));
    assert_eq!(pushed(&actions, down), [(above.peer_id(), 1)]);
    assert!(pushed(&node.run(seconds(1)), up).is_empty(), "it brought it");

    node.stream_records(down, &[record(&below, 1)], false);
    assert!(pushed(&node.run(UPSTREAM_HOLD - millis(1)), up).is_empty());
    let actions = node.run(millis(1));
    assert_eq!(pushed(&actions, up), [(below.peer_id(), 1)]);
    assert!(pushed(&node.run(seconds(1)), down).is_empty(), "it brought it");
    // Said again by either side, it goes nowhere.
    node.stream_records(down, &[record(&below, 1)], false);
    node.stream_records(up, &[record(&below, 1)], false);
    assert!(node.run(seconds(1)).iter().all(|action| !matches!(action, Action::Push { .. })));
    // A newer one does.
    node.stream_records(up, &[record(&below, 2)], false);
    assert_eq!(pushed(&node.run(seconds(1)), down), [(below.peer_id(), 2)]);
}

#[test]
fn what_the_upstream_says_meanwhile_is_not_sent_to_it() {
    let Between { mut node, up, down, .. } = between();
    let nodes: Vec<_> = (0..3).map(|_| Identity::generate()).collect();
    let all = |seq| nodes.iter().map(|node| record(node, seq)).collect::<Vec<_>>();
    node.stream_records(down, &all(5), false);
    node.run(millis(100));
    // It has the first, an older version of the second, and nothing of the third.
    node.stream_records(up, &[record(&nodes[0], 5), record(&nodes[1], 4)], false);
    let sent: BTreeSet<_> = pushed(&node.run(seconds(1)), up).into_iter().collect();
    assert_eq!(sent, [(nodes[1].peer_id(), 5), (nodes[2].peer_id(), 5)].into());
    // That it had the first says nothing of the next version.
    node.stream_records(down, &all(6), false);
    assert_eq!(pushed(&node.run(seconds(1)), up).len(), 3);
}

#[test]
fn each_record_is_held_for_its_own_time() {
    let Between { mut node, up, down, .. } = between();
    let nodes: Vec<_> = (0..4).map(|_| Identity::generate()).collect();
    let mut sent = Vec::new();
    for node_below in &nodes {
        node.stream_records(down, &[record(node_below, 1)], false);
        let now = pushed(&node.run(UPSTREAM_HOLD / 2), up);
        assert!(now.len() <= 1, "one that came later is not sent with an earlier one");
        sent.extend(now);
    }
    // The last one is still held, and the upstream says it.
    node.stream_records(up, &[record(&nodes[3], 1)], false);
    sent.extend(pushed(&node.run(seconds(1)), up));
    assert_eq!(sent, [0, 1, 2].map(|index: usize| (nodes[index].peer_id(), 1)));
}

#[test]
fn an_upstream_speaks_first() {
    let (upstream, above, below) =
        (Identity::generate(), Identity::generate(), Identity::generate());
    let mut node = Harness::with(&["a"], |_| {});
    node.watcher(&below, &record(&below, 1));
    let up = node.open_stream(&upstream);
    assert!(pushed(&node.run(seconds(60)), up).is_empty(), "its snapshot is not complete");
    node.stream_records(up, &[record(&above, 1), record(&below, 1)], false);
    assert!(pushed(&node.run(seconds(60)), up).is_empty());
    node.stream_records(up, &[], true);
    let sent: Vec<_> = pushed(&node.run(seconds(60)), up);
    assert_eq!(sent, [(node.me(), node.own_seq())], "all else it has said itself");
}

#[test]
fn our_own_news_go_both_ways_but_not_back_to_who_has_them() {
    let Between { mut node, up, down, .. } = between();
    let rename = |node: &mut Harness, port: u16| {
        let address = format!("/ip4/10.0.0.1/tcp/{port}").parse().expect("an address");
        node.engine.set_addresses(node.now, vec![address], None);
        node.persist();
        [(node.me(), node.own_seq())]
    };
    let own = rename(&mut node, 1);
    let actions = node.run(UPSTREAM_HOLD - millis(1));
    assert_eq!(pushed(&actions, down), own);
    assert!(pushed(&actions, up).is_empty());
    assert_eq!(pushed(&node.run(millis(1)), up), own);
    // In a ring it comes back from the upstream before the hold is over.
    let own = rename(&mut node, 2);
    assert_eq!(pushed(&node.run(millis(100)), down), own);
    let record = node.engine.own_record().expect("signed").clone();
    node.stream_records(up, &[record], false);
    assert!(pushed(&node.run(seconds(1)), up).is_empty());
}

#[test]
fn a_record_signed_while_the_stream_was_opened_is_sent_too() {
    let upstream = Identity::generate();
    let mut node = Harness::with(&["a"], |_| {});
    let (stream, offered) = opened(&node.run(seconds(1)))[0];
    // That the address leads somewhere is news: our record is signed anew when the stream is open.
    node.engine.on_stream_opened(node.now, stream, upstream.peer_id(), true);
    node.persist();
    assert!(node.own_seq() > offered);
    node.stream_records(stream, &[record(&upstream, 1)], true);
    let sent = pushed(&node.run(seconds(1)), stream);
    assert_eq!(sent, [(node.me(), node.own_seq())], "the upstream had the one before");
}

#[test]
fn a_closed_stream_is_silent() {
    let Between { mut node, up, down, downstream, upstream } = between();
    let closed = CallFailure::new("over");
    node.engine.on_stream_closed(node.now, down, &closed);
    node.engine.on_stream_closed(node.now, up, &closed);
    assert_eq!(node.engine.open_streams(), 0);
    node.stream_records(down, &[record(&downstream, 2)], true);
    assert!(node.known().contains(&(downstream.peer_id(), 1)), "what comes late is not taken");
    // A new one starts over, with all that is known.
    let up = node.open_stream(&upstream);
    node.stream_records(up, &[record(&upstream, 1)], true);
    let sent: BTreeSet<_> = pushed(&node.run(seconds(1)), up).into_iter().collect();
    assert!(sent.contains(&(downstream.peer_id(), 1)) && !sent.contains(&(upstream.peer_id(), 1)));
}

#[test]
fn streams_are_bounded_in_total_and_per_caller() {
    let mut node = Harness::new(&[]);
    let open = |node: &mut Harness, caller: Option<PeerId>| {
        node.engine.on_watcher(node.now, caller, None, None)
    };
    let caller = Some(Identity::generate().peer_id());
    let first = open(&mut node, caller).expect("room");
    for _ in 1..MAX_STREAMS_PER_CALLER {
        open(&mut node, caller).expect("room");
    }
    assert!(node.actions().is_empty());
    open(&mut node, caller).expect("the oldest makes room");
    let actions = node.actions();
    assert!(
        matches!(actions[..], [Action::CloseStream { stream, .. }] if stream == first),
        "{actions:?}"
    );
    assert_eq!(node.engine.open_streams(), MAX_STREAMS_PER_CALLER);

    for _ in 0..MAX_ANONYMOUS_STREAMS {
        open(&mut node, None).expect("room");
    }
    let open_streams = node.engine.open_streams();
    let refused = Err(StreamRefused::TooMany { open: open_streams });
    assert_eq!(open(&mut node, None), refused);
    for _ in open_streams..MAX_STREAMS {
        open(&mut node, Some(Identity::generate().peer_id())).expect("room");
    }
    let refused = Err(StreamRefused::TooMany { open: MAX_STREAMS });
    assert_eq!(open(&mut node, Some(Identity::generate().peer_id())), refused);
    assert!(node.actions().is_empty());
}
