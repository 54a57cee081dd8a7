//! What comes back from disk, and what must not.

use std::num::NonZeroUsize;

use unring_peer::{Identity, SignedRecord, UnverifiedRecord};

use super::support::*;
use crate::{Grave, Restored};

fn from_disk(records: &[SignedRecord]) -> Vec<UnverifiedRecord> {
    records.iter().map(unverified).collect()
}

fn restore(node: &mut Harness, records: &[SignedRecord]) -> Restored {
    node.engine.restore_book(node.now, from_disk(records))
}

fn forged(record: &SignedRecord) -> UnverifiedRecord {
    let mut envelope = record.envelope().to_vec();
    *envelope.last_mut().expect("not empty") ^= 1;
    UnverifiedRecord::decode(envelope.into(), bytes::Bytes::new()).expect("it can be read")
}

#[test]
fn what_is_valid_comes_back_and_the_rest_is_counted() {
    let me = Identity::generate();
    let mut node = Harness::with_identity(me.clone(), 0, &[], |_| {});
    let [good, dead, ahead, lied, buried] = [(); 5].map(|()| Identity::generate());
    let expired = record_with(&dead, 1, |record| {
        record.issued_at = unring_peer::UnixMillis::new(EPOCH.get() - 31 * 60 * 1000);
    });
    let early = record_with(&ahead, 1, |record| {
        record.issued_at = EPOCH.saturating_add(seconds(6 * 60));
    });
    node.engine.restore_graves(node.now, [Grave::dug(EPOCH, buried.peer_id(), 8)]);
    let mut records =
        from_disk(&[record(&good, 3), expired, early, record(&buried, 7), record(&me, u64::MAX)]);
    records.push(forged(&record(&lied, 1)));
    let own = node.own_seq();
    let restored = node.engine.restore_book(node.now, records);
    let counted = Restored {
        kept: 1,
        expired: 1,
        clock_skew: 1,
        invalid: 1,
        superseded: 2,
        ..Restored::default()
    };
    assert_eq!(restored, counted);
    assert_eq!(restored.skipped(), 5);
    assert_eq!(node.known(), [(good.peer_id(), 3)].into());
    // A disk cannot raise our seq: only what others show can.
    node.persist();
    assert_eq!(node.own_seq(), own);
}

#[test]
fn what_the_disk_holds_never_beats_what_is_known() {
    let peer = Identity::generate();
    let mut node = Harness::new(&[]);
    node.watcher(&peer, &record(&peer, 5));
    let restored = restore(&mut node, &[record(&peer, 4), record(&peer, 5)]);
    assert_eq!((restored.kept, restored.superseded), (0, 2));
    assert_eq!(node.known(), [(peer.peer_id(), 5)].into());
    // And what comes later beats what the disk held, but does not when it is older.
    let other = Identity::generate();
    assert_eq!(restore(&mut node, &[record(&other, 5)]).kept, 1);
    let stream = node.watcher(&peer, &record(&peer, 5));
    node.stream_records(stream, &[record(&other, 4)], false);
    assert!(node.known().contains(&(other.peer_id(), 5)));
    node.stream_records(stream, &[record(&other, 6)], false);
    assert!(node.known().contains(&(other.peer_id(), 6)));
}

#[test]
fn what_was_restored_expires_at_its_signed_time_and_stays_dead() {
    let (peer, caller) = (Identity::generate(), Identity::generate());
    let mut node = Harness::new(&[]);
    restore(&mut node, &[record(&peer, 5)]);
    node.run(seconds(30 * 60));
    assert!(node.known().is_empty());
    let older = record_with(&peer, 4, |record| record.ttl = DAY);
    let stream =
        node.engine.on_watcher(node.now, Some(caller.peer_id()), None, None).expect("room");
    node.stream_records(stream, &[older], false);
    assert!(node.known().is_empty(), "an older one that would be valid longer");
}

#[test]
fn what_expired_while_the_node_was_down_stays_dead() {
    let (peer, liar, caller) = (Identity::generate(), Identity::generate(), Identity::generate());
    let mut node = Harness::new(&[]);
    let gone = |identity, seq| {
        record_with(identity, seq, |record| {
            record.issued_at = unring_peer::UnixMillis::new(EPOCH.get() - 60 * 1000);
            record.ttl = seconds(20);
        })
    };
    let on_disk = vec![unverified(&gone(&peer, 5)), forged(&gone(&liar, 5))];
    let restored = node.engine.restore_book(node.now, on_disk);
    assert_eq!((restored.expired, restored.invalid), (1, 1));
    // Somebody who has not heard of the newer one still has the one before, which is valid for longer.
    let older = |identity| record_with(identity, 4, |record| record.ttl = DAY);
    let stream =
        node.engine.on_watcher(node.now, Some(caller.peer_id()), None, None).expect("room");
    node.stream_records(stream, &[older(&peer), older(&liar)], false);
    assert_eq!(node.known(), [(liar.peer_id(), 4)].into(), "a disk that lies buries nobody");
    node.stream_records(stream, &[record(&peer, 6)], false);
    assert!(node.known().contains(&(peer.peer_id(), 6)));
}

#[test]
fn a_grave_outlasts_a_restart_and_no_longer_than_it_must() {
    let (peer, caller) = (Identity::generate(), Identity::generate());
    let old = |node: &mut Harness| {
        let record = record_with(&peer, 4, |record| {
            record.issued_at = node.now.unix;
            record.ttl = DAY;
        });
        let stream =
            node.engine.on_watcher(node.now, Some(caller.peer_id()), None, None).expect("room");
        node.stream_records(stream, &[record], false);
        !node.known().is_empty()
    };
    let mut node = Harness::new(&[]);
    // The disk may hold anything: a grave for ever would keep a node out for ever.
    let mut grave = Grave::dug(EPOCH, peer.peer_id(), 5);
    grave.until = unring_peer::UnixMillis::new(u64::MAX);
    node.engine.restore_graves(node.now, [grave]);
    assert!(!old(&mut node));
    node.run(DAY - seconds(1));
    node.engine.on_timer(node.now);
    assert!(!old(&mut node));
    node.skip(seconds(2));
    node.engine.on_timer(node.now);
    assert!(old(&mut node), "nothing signed before it expired is valid by now");
    // One that is over is not even read.
    let mut node = Harness::new(&[]);
    let over = Grave { peer: peer.peer_id(), seq: 5, until: EPOCH };
    node.engine.restore_graves(node.now, [over]);
    assert!(old(&mut node));
}

#[test]
fn a_smaller_book_keeps_what_is_valid_longest_and_leaves_room_for_callers() {
    let capacity = NonZeroUsize::new(20).expect("not zero");
    let mut node = Harness::with(&[], |config| {
        config.refresh = false;
        config.book_capacity = capacity;
    });
    let records: Vec<_> = (1..=40)
        .map(|minutes| {
            record_with(&Identity::generate(), minutes, |record| {
                record.ttl = seconds(60 * minutes);
            })
        })
        .collect();
    let restored = restore(&mut node, &records);
    assert_eq!((restored.kept, restored.full), (18, 22));
    assert!(node.known().iter().all(|(_, minutes)| *minutes > 22));
    let caller = Identity::generate();
    node.watcher(&caller, &record(&caller, 99));
    assert!(node.known().contains(&(caller.peer_id(), 99)));
}

#[test]
fn restored_records_use_up_nobodys_share() {
    let capacity = NonZeroUsize::new(100).expect("not zero");
    let mut node = Harness::with(&[], |config| {
        config.refresh = false;
        config.book_capacity = capacity;
    });
    let restored: Vec<_> = (0..60).map(|_| record(&Identity::generate(), 1)).collect();
    assert_eq!(restore(&mut node, &restored).kept, 60);
    let anonymous = node.engine.on_watcher(node.now, None, None, None).expect("room");
    let news: Vec<_> = (0..25).map(|_| record(&Identity::generate(), 1)).collect();
    node.stream_records(anonymous, &news, false);
    assert_eq!(node.known().len(), 85, "its quarter of the book");
}

#[test]
fn changes_are_read_in_slices_and_each_record_once_as_it_is_now() {
    let caller = Identity::generate();
    let mut node = Harness::new(&[]);
    let nodes: Vec<_> = (0..5).map(|_| Identity::generate()).collect();
    let stream = node.watcher(&caller, &record(&caller, 1));
    for seq in 1..=3 {
        let records: Vec<_> = nodes.iter().map(|node| record(node, seq)).collect();
        node.stream_records(stream, &records, false);
    }
    let engine = &node.engine;
    assert_eq!(engine.book_changes_pending(0), 6);
    let (mut version, mut read) = (0, Vec::new());
    for expected in [4, 2, 0, 0] {
        let (records, upto) = engine.book_changes(version, 4);
        assert_eq!(records.len(), expected);
        for record in &records {
            assert!(engine.is_unchanged_since(upto, &record.record().peer_id));
            assert!(!engine.is_unchanged_since(version, &record.record().peer_id));
        }
        read.extend(records.iter().map(|record| (record.record().peer_id, record.record().seq)));
        version = upto;
    }
    assert_eq!(version, engine.book_version());
    assert_eq!(read.into_iter().collect::<std::collections::BTreeSet<_>>(), node.known());
}
