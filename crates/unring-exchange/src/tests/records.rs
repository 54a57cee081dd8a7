//! Records that others bring: what is kept, what it costs, and who may bring how much.

use std::num::NonZeroUsize;

use bytes::Bytes;
use unring_peer::{Identity, UnverifiedRecord};

use super::support::*;
use crate::{Action, Batch, Request};

/// A record whose signature does not verify.
fn forged(node: &Identity, seq: u64) -> UnverifiedRecord {
    let mut envelope = record(node, seq).envelope().to_vec();
    *envelope.last_mut().expect("not empty") ^= 1;
    UnverifiedRecord::decode(Bytes::from(envelope), Bytes::new()).expect("it can be read")
}

fn capacity(records: usize) -> impl FnOnce(&mut crate::Config) {
    move |config| {
        config.refresh = false;
        config.book_capacity = NonZeroUsize::new(records).expect("not zero");
    }
}

#[test]
fn only_news_costs_a_signature() {
    let [node, caller] = [(); 2].map(|()| Identity::generate());
    let mut me = Harness::new(&[]);
    let stream = me.watcher(&caller, &record(&caller, 1));
    me.stream_records(stream, &[record(&node, 5)], false);
    assert_eq!(me.verified.records.get(), 2);
    me.stream_records(stream, &[record(&node, 5), record(&node, 4), record(&caller, 1)], false);
    let expired = record_with(&node, 6, |record| record.ttl = millis(1));
    me.skip(millis(1));
    let ahead = record_with(&node, 7, |record| record.issued_at = EPOCH.saturating_add(DAY));
    me.stream_records(stream, &[expired, ahead], false);
    assert_eq!(me.verified.records.get(), 2);
    let counters = me.engine.counters();
    assert_eq!((counters.records_kept, counters.records_known), (2, 3));
    assert_eq!((counters.records_expired, counters.clock_skew), (1, 1));
    assert_eq!(me.known(), [(node.peer_id(), 5), (caller.peer_id(), 1)].into());
}

#[test]
fn a_forged_record_does_not_cost_the_others() {
    let [node, other, caller] = [(); 3].map(|()| Identity::generate());
    let mut me = Harness::new(&[]);
    let stream = me.watcher(&caller, &record(&caller, 1));
    let records = vec![forged(&node, 9), unverified(&record(&other, 1))];
    let batch = Batch { records, ..Batch::default() };
    me.engine.on_stream_records(me.now, stream, batch, 3);
    assert_eq!(me.known(), [(other.peer_id(), 1), (caller.peer_id(), 1)].into());
    assert_eq!(me.engine.counters().records_invalid, 4, "one forged, three unreadable");
    // The forged one has not taken the place of the real one.
    me.stream_records(stream, &[record(&node, 2)], false);
    assert!(me.known().contains(&(node.peer_id(), 2)));
}

#[test]
fn a_full_book_costs_no_signature() {
    let caller = Identity::generate();
    let mut me = Harness::with(&[], capacity(8));
    let stream = me.watcher(&caller, &record(&caller, 1));
    let strangers: Vec<_> = (0..10).map(|_| record(&Identity::generate(), 1)).collect();
    me.stream_records(stream, &strangers, false);
    assert_eq!(me.engine.peers_known(), 3, "itself and a quarter");
    assert_eq!(me.verified.records.get(), 3);
    assert_eq!(me.engine.counters().records_full, 8);
}

#[test]
fn an_upstream_may_bring_all_and_anonymous_callers_share_a_quarter() {
    let upstream = Identity::generate();
    let mut me = Harness::with(&["a"], capacity(40));
    for _ in 0..20 {
        let caller_record = Some(unverified(&record(&Identity::generate(), 1)));
        me.answered(None, Request { caller_record, ..local() });
    }
    assert_eq!(me.engine.peers_known(), 10);
    let (_, calls) = me.forwarded(None, recursive(None));
    let strangers: Vec<_> = (0..50).map(|_| record(&Identity::generate(), 1)).collect();
    me.call_done(calls[0].call, &upstream, &strangers);
    assert_eq!(me.engine.peers_known(), 36, "all but the tenth for those who call");
    let caller = Identity::generate();
    me.watcher(&caller, &record(&caller, 1));
    assert_eq!(me.engine.peers_known(), 37);
}

#[test]
fn a_dead_node_leaves_at_its_signed_time_and_does_not_return() {
    let [node, caller] = [(); 2].map(|()| Identity::generate());
    let mut me = Harness::new(&[]);
    let stream = me.watcher(&caller, &record(&caller, 1));
    let mortal = record_with(&node, 1, |record| record.ttl = seconds(90));
    me.run(seconds(60));
    me.stream_records(stream, std::slice::from_ref(&mortal), false);
    let _changes = me.actions();
    let changed =
        |actions: &[Action]| actions.iter().any(|action| matches!(action, Action::BookChanged));
    assert!(!changed(&me.run(seconds(29))));
    let peers = me.engine.peers(me.now);
    let left = peers.iter().find(|peer| peer.record.record().peer_id == node.peer_id());
    assert_eq!(left.expect("it is known").expires_in, seconds(1));
    assert!(changed(&me.run(seconds(1))), "libp2p is told");
    assert_eq!(me.known(), [(caller.peer_id(), 1)].into());
    me.stream_records(stream, &[mortal], false);
    assert_eq!(me.engine.peers_known(), 1);
    assert_eq!(me.engine.counters().records_expired, 2);
}

#[test]
fn an_answer_holds_nothing_expired_though_the_timer_is_late() {
    let node = Identity::generate();
    let mut me = Harness::new(&[]);
    me.watcher(&node, &record_with(&node, 1, |record| record.ttl = seconds(10)));
    me.skip(seconds(10));
    assert_eq!(me.answered(None, local()).records.len(), 1, "our own");
}

#[test]
fn the_dead_make_room_in_the_detector() {
    let upstream = Identity::generate();
    let mut me = Harness::with(&["a"], capacity(40));
    let bring = |me: &mut Harness, issued_at| {
        let (_, calls) = me.forwarded(None, recursive(None));
        let issued = |record: &mut unring_peer::NodeRecord| record.issued_at = issued_at;
        let strangers: Vec<_> =
            (0..36).map(|_| record_with(&Identity::generate(), 1, issued)).collect();
        me.call_done(calls[0].call, &upstream, &strangers);
    };
    for round in 1..=5 {
        let now = me.now.unix;
        bring(&mut me, now);
        assert_eq!(me.engine.peers_known(), 36);
        assert_eq!(me.engine.counters().records_full, 0, "round {round}");
        let nodes = me.engine.topology().nodes;
        assert!(nodes.len() <= 81, "round {round}: {}", nodes.len());
        assert_eq!(nodes.iter().filter(|node| !node.unverified).count(), 37);
        me.run(seconds(1800));
        assert_eq!(me.engine.peers_known(), 0);
        assert!(me.engine.topology().nodes.len() > 36, "kept as unverified while there is room");
    }
}
