//! Renewals: they wait to go together, not for long, and never in the way of what is new.

use unring_peer::{Identity, SignedRecord, UnixMillis};

use super::support::*;
use crate::config::{HEARTBEAT_INTERVAL, RENEWAL_HOP_SHARE, SHORTEST_BEAT, UPSTREAM_HOLD};
use crate::renewal::may_wait;
use crate::{Action, StreamId};

const TTL: std::time::Duration = std::time::Duration::from_secs(30 * 60);

/// One that says what every other version says, signed half a ttl before it is [`renewed`].
fn old(node: &Harness, identity: &Identity) -> SignedRecord {
    let issued_at = UnixMillis::new(node.now.unix.get() - 15 * 60 * 1000);
    record_with(identity, 1, |record| record.issued_at = issued_at)
}

/// The same, signed now.
fn renewed(node: &Harness, identity: &Identity) -> SignedRecord {
    record_with(identity, 2, |record| record.issued_at = node.now.unix)
}

/// How many records each push on `stream` held.
fn pushes(actions: &[Action], on: StreamId) -> Vec<usize> {
    let pushes = actions.iter().filter_map(|action| match action {
        Action::Push { stream, batch } if *stream == on => Some(batch.records.len()),
        _ => None,
    });
    pushes.collect()
}

/// A node with an upstream and a watcher, to both of which it has told these, and that has just sent to both.
fn between(known: &[Identity]) -> (Harness, StreamId, StreamId) {
    let (above, below) = (Identity::generate(), Identity::generate());
    let mut node = Harness::with(&["a"], |config| config.record_ttl = DAY);
    let up = node.open_stream(&above);
    let down = node.watcher(&below, &record(&below, 1));
    node.stream_records(up, &[], true);
    let known: Vec<_> = known.iter().map(|identity| old(&node, identity)).collect();
    node.stream_records(down, &known, false);
    node.run(UPSTREAM_HOLD);
    node.run(millis(1));
    (node, up, down)
}

#[test]
fn a_renewal_goes_with_the_next_heartbeat_and_takes_others_along() {
    let nodes: Vec<_> = (0..9).map(|_| Identity::generate()).collect();
    let (mut node, up, _) = between(&nodes);
    let below = Identity::generate();
    let other = node.watcher(&below, &record(&below, 1));
    node.run(millis(1));
    for identity in &nodes {
        let renewed = renewed(&node, identity);
        node.stream_records(up, &[renewed], false);
        assert!(pushes(&node.run(seconds(1)), other).is_empty(), "it waits");
    }
    let sent = pushes(&node.run(HEARTBEAT_INTERVAL), other);
    assert_eq!(sent.first(), Some(&nodes.len()), "all at once: {sent:?}");
}

#[test]
fn what_is_new_does_not_wait_and_takes_renewals_along() {
    let [still, new, changed] = [(); 3].map(|()| Identity::generate());
    let (mut node, up, down) = between(&[still.clone(), changed.clone()]);
    node.run(seconds(1));
    let renewal = renewed(&node, &still);
    node.stream_records(up, &[renewal], false);
    assert!(pushes(&node.run(seconds(1)), down).is_empty());
    node.stream_records(up, &[record(&new, 1)], false);
    assert_eq!(pushes(&node.run(millis(0)), down), [2]);
    node.stream_records(up, &[record(&changed, 2)], false);
    assert_eq!(pushes(&node.run(millis(0)), down), [1]);
}

#[test]
fn what_the_other_end_says_while_a_renewal_waits_is_not_sent_to_it() {
    let nodes: Vec<_> = (0..2).map(|_| Identity::generate()).collect();
    let (mut node, up, down) = between(&nodes);
    let both: Vec<_> = nodes.iter().map(|identity| renewed(&node, identity)).collect();
    node.stream_records(down, &both, false);
    node.run(seconds(5));
    node.stream_records(up, &both[..1], false);
    let sent = pushed(&node.run(HEARTBEAT_INTERVAL), up);
    assert_eq!(sent, [(nodes[1].peer_id(), 2)]);
}

#[test]
fn an_upstream_is_told_half_an_interval_after_it_spoke() {
    let (mut node, up, _) = between(&[]);
    node.silence = true;
    node.stream_records(up, &[], false);
    let first = pushes(&node.run(SHORTEST_BEAT - millis(2)), up);
    assert!(first.is_empty(), "not sooner than this");
    assert_eq!(pushes(&node.run(millis(2)), up), [0]);
    // It spoke a little later than we did last: its turn is half an interval after that.
    node.run(seconds(7));
    node.stream_records(up, &[], false);
    assert_eq!(pushes(&node.run(HEARTBEAT_INTERVAL / 2 - seconds(1)), up).len(), 0);
    assert_eq!(pushes(&node.run(seconds(1)), up).len(), 1);
}

#[test]
fn all_waits_of_a_renewal_stay_within_a_third_of_its_ttl() {
    let identity = Identity::generate();
    for (ttl, hops) in [(TTL, 10), (TTL, 100), (TTL, 10_000), (seconds(3), 1000), (DAY, 10_000)] {
        let before = record_with(&identity, 1, |record| record.ttl = ttl);
        let renewed = record_with(&identity, 2, |record| {
            (record.ttl, record.issued_at) = (ttl, EPOCH.saturating_add(ttl / 3));
        });
        let signed = renewed.record().issued_at;
        let mut now = signed;
        for _ in 0..hops {
            let wait = may_wait(Some(before.record()), renewed.record(), now);
            assert!(wait <= HEARTBEAT_INTERVAL && wait <= ttl / 3 / RENEWAL_HOP_SHARE);
            now = now.saturating_add(wait);
        }
        let took = now.saturating_since(signed);
        assert!(took <= ttl / 3, "{hops} hops of {ttl:?} took {took:?}");
        let late = signed.saturating_add(ttl / 3);
        assert!(may_wait(Some(before.record()), renewed.record(), late).is_zero());
    }
    // Nothing that tells anything waits at all, nor what was signed anew for another reason than its age.
    let version = |seq, after: std::time::Duration, says: &str| {
        record_with(&identity, seq, |record| {
            record.issued_at = EPOCH.saturating_add(after);
            record.version = says.to_owned();
        })
    };
    let (before, now) = (version(1, TTL / 3, "1"), EPOCH.saturating_add(TTL));
    let wait = |record: &SignedRecord| may_wait(Some(before.record()), record.record(), now);
    assert!(!wait(&version(2, TTL, "1")).is_zero());
    assert!(wait(&version(2, TTL, "2")).is_zero());
    assert!(wait(&version(2, TTL / 2, "1")).is_zero());
    assert!(may_wait(None, before.record(), now).is_zero());
    // Nor what was signed so late that others forget the node while it waits.
    let until = before.record().expires_at();
    let late = record_with(&identity, 2, |record| {
        record.issued_at = UnixMillis::new(until.get() - 60_000);
        record.version = "1".to_owned();
    });
    assert!(may_wait(Some(before.record()), late.record(), late.record().issued_at).is_zero());
}
