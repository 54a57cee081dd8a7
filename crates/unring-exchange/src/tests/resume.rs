//! Streams that go on where an earlier one ended.

use unring_peer::{Identity, PeerId};

use super::support::*;
use crate::config::STABLE_STREAM;
use crate::{Action, Batch, CallFailure, Position, StreamId};

/// The batches pushed on a stream.
fn batches(actions: &[Action], on: StreamId) -> Vec<&Batch<unring_peer::SignedRecord>> {
    let batches = actions.iter().filter_map(|action| match action {
        Action::Push { stream, batch } if *stream == on => Some(batch),
        _ => None,
    });
    batches.collect()
}

fn close(node: &mut Harness, stream: StreamId) {
    node.engine.on_stream_closed(node.now, stream, &CallFailure::new("lost"));
}

/// A tool watches from `resume` on: what it gets at once, whether that was resumed, and where it is then.
fn watch(node: &mut Harness, resume: Option<Position>) -> (Vec<(PeerId, u64)>, bool, Position) {
    let stream = node.engine.on_watcher(node.now, None, None, resume).expect("room");
    let actions = node.run(millis(0));
    let batches = batches(&actions, stream);
    let last = batches.last().expect("a first word at once");
    assert!(last.snapshot_complete);
    assert!(batches.iter().all(|batch| batch.resumed == last.resumed));
    let result = (pushed(&actions, stream), last.resumed, last.position);
    close(node, stream);
    result
}

#[test]
fn a_watcher_gets_what_changed_since_and_nothing_when_nothing_did() {
    let (a, b) = (Identity::generate(), Identity::generate());
    let mut node = Harness::new(&[]);
    let source = node.watcher(&a, &record(&a, 1));
    node.stream_records(source, &[record(&b, 1)], false);
    let (all, resumed, position) = watch(&mut node, None);
    assert_eq!((all.len(), resumed), (3, false));
    assert_eq!(watch(&mut node, Some(position)), (vec![], true, position));
    node.stream_records(source, &[record(&b, 2), record(&b, 3)], false);
    let (changed, resumed, after) = watch(&mut node, Some(position));
    assert_eq!((changed, resumed), (vec![(b.peer_id(), 3)], true));
    // Our own record is a change like any other.
    node.engine.set_addresses(node.now, vec!["/ip4/10.0.0.1/tcp/1".parse().unwrap()], None);
    assert_eq!(watch(&mut node, Some(after)).0, [(node.me(), node.own_seq())]);
    assert_eq!(node.engine.counters().streams_resumed, 3);
}

#[test]
fn a_position_of_another_life_or_of_the_future_gets_a_snapshot_and_is_told() {
    let mut node = Harness::new(&[]);
    let position = watch(&mut node, None).2;
    for wrong in [
        Position { epoch: position.epoch ^ 1, ..position },
        Position { version: position.version + 1, ..position },
        Position { version: u64::MAX, ..position },
    ] {
        let (all, resumed, _) = watch(&mut node, Some(wrong));
        assert_eq!((all.len(), resumed), (1, false), "{wrong:?}");
    }
    let other = Harness::with(&[], |config| config.seed = [8; 32]);
    assert_ne!(other.engine.epoch(), node.engine.epoch());
}

#[test]
fn who_has_not_seen_the_version_that_expired_starts_over() {
    let (a, b) = (Identity::generate(), Identity::generate());
    let mut node = Harness::new(&[]);
    let source = node.watcher(&a, &record(&a, 1));
    node.stream_records(source, &[record(&b, 1)], false);
    let before = watch(&mut node, None).2;
    // A newer one with a shorter ttl: whoever has the older alone would keep it for half an hour.
    let short = record_with(&b, 2, |record| record.ttl = seconds(20));
    node.stream_records(source, &[short], false);
    let with_it = watch(&mut node, Some(before)).2;
    node.run(seconds(21));
    assert_eq!(node.known(), [(a.peer_id(), 1)].into());
    assert!(watch(&mut node, Some(with_it)).1, "it has let it go by itself");
    assert!(!watch(&mut node, Some(before)).1);
}

/// Everything that `from` pushes on `on` is heard by `to` on `at`.
fn carry(actions: &[Action], on: StreamId, to: &mut Harness, at: StreamId) -> usize {
    let mut records = 0;
    for batch in batches(actions, on) {
        records += batch.records.len();
        let batch = batch.clone().map_records(|records| records.iter().map(unverified).collect());
        to.engine.on_stream_records(to.now, at, batch, 0);
    }
    records
}

/// Lets both run for a minute and carries what they say, over the stream that is open or opened; records that crossed.
fn exchange(
    up: &mut Harness,
    down: &mut Harness,
    stream: &mut Option<(StreamId, StreamId)>,
) -> usize {
    let mut records = 0;
    for _ in 0..240 {
        let actions = down.run(millis(250));
        for action in &actions {
            if let Action::OpenStream { stream: below, caller_record, resume, .. } = action {
                let record = Some(unverified(caller_record));
                let above = up.engine.on_watcher(up.now, Some(down.me()), record, *resume);
                *stream = Some((above.expect("room"), *below));
                down.engine.on_stream_opened(down.now, *below, up.me(), true);
            }
        }
        let Some((above, below)) = *stream else { continue };
        records += carry(&actions, below, up, above);
        let actions = up.run(millis(250));
        records += carry(&actions, above, down, below);
    }
    records
}

fn break_off(up: &mut Harness, down: &mut Harness, stream: &mut Option<(StreamId, StreamId)>) {
    let (above, below) = stream.take().expect("it is open");
    close(up, above);
    close(down, below);
}

#[test]
fn between_nodes_nothing_crosses_again_in_either_direction() {
    let mut up = Harness::with(&[], |_| {});
    let mut down = Harness::with(&["a"], |_| {});
    let (leaf, far) = (Identity::generate(), Identity::generate());
    let leaf_stream = down.watcher(&leaf, &record(&leaf, 1));
    let far_stream = up.watcher(&far, &record(&far, 1));
    let mut stream = None;
    assert!(exchange(&mut up, &mut down, &mut stream) >= 3);
    for (up_news, down_news) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        break_off(&mut up, &mut down, &mut stream);
        if up_news > 0 {
            let seq = 10 + up.now.mono.as_secs();
            up.stream_records(far_stream, &[record(&far, seq)], false);
        }
        if down_news > 0 {
            let seq = 10 + down.now.mono.as_secs();
            down.stream_records(leaf_stream, &[record(&leaf, seq)], false);
        }
        let crossed = exchange(&mut up, &mut down, &mut stream);
        assert_eq!(crossed, up_news + down_news, "{up_news} above, {down_news} below");
        assert!(up.known().is_superset(&[(down.me(), down.own_seq())].into()));
    }
    let known = |node: &Harness| {
        node.known()
            .into_iter()
            .filter(|(peer, _)| *peer != up.me() && *peer != down.me())
            .collect::<Vec<_>>()
    };
    assert_eq!(known(&up), known(&down));
}

#[test]
fn an_upstream_that_was_started_anew_hears_everything_again() {
    let mut up = Harness::with(&[], |_| {});
    let mut down = Harness::with(&["a"], |_| {});
    let leaf = Identity::generate();
    down.watcher(&leaf, &record(&leaf, 1));
    let mut stream = None;
    exchange(&mut up, &mut down, &mut stream);
    break_off(&mut up, &mut down, &mut stream);
    // Another node behind the same address.
    let mut other = Harness::with(&[], |config| config.seed = [8; 32]);
    other.now = up.now;
    exchange(&mut other, &mut down, &mut stream);
    assert!(other.known().contains(&(leaf.peer_id(), 1)));
    assert!(other.known().contains(&(up.me(), up.own_seq())), "what the first had brought as well");
}

/// What an upstream says at once, without records of its own.
fn says(node: &mut Harness, on: StreamId, position: Position, resumed: bool, complete: bool) {
    let batch = Batch { snapshot_complete: complete, resumed, position, ..Batch::default() };
    node.engine.on_stream_records(node.now, on, batch, 0);
}

/// The next stream to the upstream `above`, and where it is to go on.
fn next_stream(node: &mut Harness, above: &Identity) -> (StreamId, Option<Position>) {
    let actions = node.run(seconds(11));
    let wanted = actions.iter().find_map(|action| match action {
        Action::OpenStream { stream, resume, .. } => Some((*stream, *resume)),
        _ => None,
    });
    let (stream, resume) = wanted.expect("a stream is wanted");
    node.engine.on_stream_opened(node.now, stream, above.peer_id(), true);
    (stream, resume)
}

#[test]
fn a_snapshot_that_broke_off_is_not_gone_on_with() {
    let above = Identity::generate();
    let mut node = Harness::with(&["a"], |_| {});
    node.silence = true;
    let at = |version| Position { epoch: 9, version };
    let (stream, _) = next_stream(&mut node, &above);
    says(&mut node, stream, at(5), false, false);
    // Long enough not to be taken for an upstream that cannot stream.
    node.run(STABLE_STREAM);
    close(&mut node, stream);
    let (stream, resume) = next_stream(&mut node, &above);
    assert_eq!(resume, None, "the upstream would leave out what our last life had brought it");
    says(&mut node, stream, at(6), false, true);
    node.run(STABLE_STREAM);
    close(&mut node, stream);
    let (stream, resume) = next_stream(&mut node, &above);
    assert_eq!(resume, Some(at(6)));
    says(&mut node, stream, at(7), true, false);
    close(&mut node, stream);
    assert_eq!(next_stream(&mut node, &above).1, Some(at(7)), "it went on from a whole one");
}

#[test]
fn what_an_upstreams_last_life_brought_is_told_to_the_next() {
    let (above, far) = (Identity::generate(), Identity::generate());
    let mut node = Harness::with(&["a"], |_| {});
    node.silence = true;
    let (stream, _) = next_stream(&mut node, &above);
    node.stream_records(stream, &[record(&far, 1)], false);
    says(&mut node, stream, Position { epoch: 1, version: 1 }, false, true);
    node.run(seconds(1));
    close(&mut node, stream);
    // It has started anew without its disk, and is lost again before it was told anything.
    let (stream, _) = next_stream(&mut node, &above);
    says(&mut node, stream, Position { epoch: 2, version: 1 }, false, true);
    close(&mut node, stream);
    let (stream, _) = next_stream(&mut node, &above);
    says(&mut node, stream, Position { epoch: 2, version: 1 }, true, true);
    assert!(pushed(&node.run(seconds(1)), stream).contains(&(far.peer_id(), 1)));
}
