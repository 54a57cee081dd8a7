//! Streams on which nothing happens, and those whose other end is gone.

use unring_peer::Identity;

use super::support::*;
use crate::config::{HEARTBEAT_INTERVAL, STREAM_TIMEOUT};
use crate::{Action, Batch, Position, StreamEnd, StreamId};

/// How many batches were pushed on a stream, and how many of them without a record.
fn beats(actions: &[Action], on: StreamId) -> (usize, usize) {
    let batches = actions.iter().filter_map(|action| match action {
        Action::Push { stream, batch } if *stream == on => Some(batch),
        _ => None,
    });
    let batches: Vec<_> = batches.collect();
    (batches.len(), batches.iter().filter(|batch| batch.records.is_empty()).count())
}

fn silent(actions: &[Action]) -> Vec<StreamId> {
    let ended = actions.iter().filter_map(|action| match action {
        Action::CloseStream { stream, end: StreamEnd::Silent } => Some(*stream),
        _ => None,
    });
    ended.collect()
}

#[test]
fn a_quiet_stream_beats_both_ways_and_says_where_it_stands() {
    let (above, below) = (Identity::generate(), Identity::generate());
    let mut node = Harness::with(&["a"], |config| config.record_ttl = DAY);
    let up = node.open_stream(&above);
    node.stream_records(up, &[record(&above, 1)], true);
    let down = node.watcher(&below, &record(&below, 1));
    node.run(seconds(1));
    let actions = node.run(HEARTBEAT_INTERVAL * 20);
    for stream in [up, down] {
        assert_eq!(beats(&actions, stream), (20, 20), "{stream:?}");
    }
    let positions = actions.iter().filter_map(|action| match action {
        Action::Push { batch, .. } => Some(batch.position),
        _ => None,
    });
    let positions: Vec<_> = positions.collect();
    assert!(positions.iter().all(|position| *position == positions[0] && position.version > 0));
    assert_eq!(node.engine.counters().heartbeats, 40);
    // News are as good.
    for seq in 2..30 {
        node.stream_records(up, &[record(&above, seq)], false);
        let (pushes, empty) = beats(&node.run(HEARTBEAT_INTERVAL - millis(1)), down);
        assert_eq!((pushes, empty), (1, 0));
    }
}

#[test]
fn an_upstream_that_says_nothing_is_left_in_time_and_tried_again() {
    let above = Identity::generate();
    let mut node = Harness::with(&["a"], |_| {});
    let up = node.open_stream(&above);
    node.silence = true;
    node.run(seconds(20));
    node.stream_records(up, &[record(&above, 1)], true);
    assert!(silent(&node.run(STREAM_TIMEOUT - millis(1))).is_empty());
    let actions = node.run(millis(1));
    assert_eq!(silent(&actions), [up]);
    assert_eq!((node.engine.open_streams(), node.engine.counters().silent_streams), (0, 1));
    let [(again, _)] = opened(&node.run(seconds(10)))[..] else { panic!("another attempt") };
    // Before its snapshot is complete as well.
    node.engine.on_stream_opened(node.now, again, above.peer_id(), true);
    node.stream_records(again, &[record(&above, 2)], false);
    assert_eq!(silent(&node.run(STREAM_TIMEOUT)), [again]);
}

#[test]
fn a_tool_may_be_silent_and_a_node_may_not() {
    let (tool, peer) = (Identity::generate(), Identity::generate());
    let mut node = Harness::new(&[]);
    node.silence = true;
    let tool = node.watcher(&tool, &record(&tool, 1));
    let below = node.watcher(&peer, &record(&peer, 1));
    let position = Position { epoch: 0, version: 3 };
    let batch = Batch { position, ..Batch::default() };
    node.engine.on_stream_records(node.now, below, batch, 0);
    assert!(silent(&node.run(STREAM_TIMEOUT - millis(1))).is_empty());
    assert_eq!(silent(&node.run(seconds(3600))), [below]);
    assert!(beats(&node.run(HEARTBEAT_INTERVAL), tool).0 > 0, "it is still served");
}

#[test]
fn whoever_waits_to_be_read_is_not_silent() {
    let peer = Identity::generate();
    let mut node = Harness::new(&[]);
    node.silence = true;
    let below = node.watcher(&peer, &record(&peer, 1));
    let position = Position { epoch: 0, version: 3 };
    let batch = Batch { position, ..Batch::default() };
    node.engine.on_stream_records(node.now, below, batch, 0);
    for _ in 0..3 {
        assert!(silent(&node.run(STREAM_TIMEOUT - millis(1))).is_empty());
        node.engine.on_stream_heard(node.now, below);
    }
    assert_eq!(silent(&node.run(STREAM_TIMEOUT)), [below]);
}
