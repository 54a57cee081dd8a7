//! The book by itself: what it keeps does not depend on the order in which it comes.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use unring_peer::{Identity, PeerId, SignedRecord, UnixMillis, limits};

use super::support::*;
use crate::book::{Book, Introducer, Judgement, KeptOut};
use crate::config::MAX_CLOCK_SKEW;
use crate::now::Now;

const NODES: usize = 4;
const VERSIONS: usize = 5;

/// Of each node, versions 1 to 5; version 3 is valid for a day, the others for half an hour.
static RECORDS: LazyLock<Vec<SignedRecord>> = LazyLock::new(|| {
    let identities: Vec<_> = (0..NODES).map(|_| Identity::generate()).collect();
    let first = identities[0].peer_id();
    let versions = |identity| {
        (1..=VERSIONS as u64).map(move |seq| {
            record_with(identity, seq, |record| {
                if seq == 3 {
                    record.ttl = DAY;
                } else {
                    record.joins = vec![join("a", &[first]), join("b", &[first])];
                }
            })
        })
    };
    identities.iter().flat_map(versions).collect()
});

fn book(capacity: usize) -> Book {
    Book::new(NonZeroUsize::new(capacity).expect("not zero"))
}

fn by(peer: &Identity) -> Introducer {
    Introducer { peer: Some(peer.peer_id()), stream: None }
}

const ANONYMOUS: Introducer = Introducer { peer: None, stream: None };

/// Offers a record as the engine does.
fn offer(
    book: &mut Book,
    now: UnixMillis,
    record: &SignedRecord,
    introducer: Introducer,
    share: usize,
) -> Result<Judgement, KeptOut> {
    let judgement = book.judge(now, &unverified(record))?;
    if judgement == Judgement::Wanted {
        book.room_for(&record.record().peer_id, introducer, share)?;
        let now = Now { mono: seconds(0), unix: now };
        book.insert(now, record.clone(), introducer);
    }
    Ok(judgement)
}

fn content(book: &Book) -> BTreeMap<PeerId, u64> {
    book.iter().map(|record| (record.record().peer_id, record.record().seq)).collect()
}

/// What a book without bounds and expiry would hold.
fn newest(offered: &[usize]) -> BTreeMap<PeerId, u64> {
    let mut newest = BTreeMap::new();
    for record in offered.iter().map(|index| RECORDS[*index].record()) {
        let seq = newest.entry(record.peer_id).or_insert(0);
        *seq = record.seq.max(*seq);
    }
    newest
}

proptest! {
    #[test]
    fn merging_is_commutative_idempotent_and_monotone(
        offered in vec(0..NODES * VERSIONS, 0..40),
        swaps in vec((0..40_usize, 0..40_usize), 0..40),
    ) {
        let mut shuffled = offered.clone();
        for (a, b) in swaps {
            if a < offered.len() && b < offered.len() {
                shuffled.swap(a, b);
            }
        }
        let (mut one, mut other) = (book(10), book(10));
        for (book, order) in [(&mut one, &offered), (&mut other, &shuffled)] {
            let mut version = 0;
            for index in order.iter().chain(order) {
                let before = content(book);
                let record = &RECORDS[*index];
                let judgement = offer(book, EPOCH, record, ANONYMOUS, 10).expect("room");
                let (peer, seq) = (record.record().peer_id, record.record().seq);
                let known = before.get(&peer).copied().unwrap_or_default();
                let expected = match seq.cmp(&known) {
                    std::cmp::Ordering::Less => Judgement::Older,
                    std::cmp::Ordering::Equal => Judgement::Known,
                    std::cmp::Ordering::Greater => Judgement::Wanted,
                };
                prop_assert_eq!(judgement, expected);
                prop_assert!(content(book)[&peer] >= known);
                prop_assert_eq!(book.version() > version, judgement == Judgement::Wanted);
                version = book.version();
            }
        }
        prop_assert_eq!(content(&one), newest(&offered));
        prop_assert_eq!(content(&one), content(&other));
    }

    #[test]
    fn the_dead_stay_dead_whatever_is_passed_on(
        offered in vec((0..NODES * VERSIONS, 0..120_u64), 1..60),
    ) {
        // Minutes pass while records, old and new, come again and again.
        let (mut book, mut now) = (book(10), EPOCH);
        let mut newest = BTreeMap::new();
        for (index, minutes) in offered {
            now = now.saturating_add(seconds(minutes * 60 / 8));
            book.expire(now);
            let record = &RECORDS[index];
            let (peer, seq) = (record.record().peer_id, record.record().seq);
            if offer(&mut book, now, record, ANONYMOUS, 10) == Ok(Judgement::Wanted) {
                let before = newest.insert(peer, seq);
                prop_assert!(before.is_none_or(|before| before <= seq), "{before:?} then {seq}");
            }
            for known in book.iter() {
                prop_assert!(known.record().expires_at() > now);
            }
        }
    }

    #[test]
    fn the_books_indexes_agree(
        offered in vec((0..NODES * VERSIONS, 0..3_usize, 0..40_u64), 0..60),
    ) {
        let callers: Vec<_> = RECORDS.iter().step_by(VERSIONS).take(2)
            .map(|record| Introducer { peer: Some(record.record().peer_id), stream: None })
            .chain([ANONYMOUS]).collect();
        let (mut book, mut now) = (book(3), EPOCH);
        for (index, caller, minutes) in offered {
            now = now.saturating_add(seconds(minutes * 60));
            let _whatever = offer(&mut book, now, &RECORDS[index], callers[caller], 2);
            prop_assert!(book.len() <= 3);
            prop_assert_eq!(book.iter().count(), book.len());
            prop_assert_eq!(book.changes_since(0).count(), book.len());
            let (topology, others) = (book.topology(), book.others());
            prop_assert_eq!(topology.len() + others.len(), book.len());
            for record in book.iter() {
                let peer = record.record().peer_id;
                let joined = |by: &SignedRecord| {
                    let by = by.record();
                    by.peer_id != peer && by.joins.iter().any(|join| join.targets.contains(&peer))
                };
                let is_topology = book.iter().any(joined);
                let shelf = if is_topology { topology } else { others };
                prop_assert!(shelf.contains(record), "each on its shelf");
            }
            if minutes % 2 == 0 {
                book.expire(now);
                prop_assert!(book.next_expiry().is_none_or(|at| at > now));
            }
        }
        book.expire(EPOCH.saturating_add(DAY * 2));
        prop_assert_eq!((book.len(), book.next_expiry()), (0, None));
        prop_assert!(book.is_clean(), "{:?}", book);
    }
}

#[test]
fn a_shorter_ttl_is_not_undone_by_an_older_record() {
    let node = Identity::generate();
    let long = record_with(&node, 1, |record| record.ttl = DAY);
    let short = record_with(&node, 2, |record| record.ttl = seconds(10));
    let mut book = book(2);
    let offered = |book: &mut Book, at, record| offer(book, at, record, ANONYMOUS, 2);
    assert_eq!(offered(&mut book, EPOCH, &short), Ok(Judgement::Wanted));
    let later = EPOCH.saturating_add(seconds(10));
    assert_eq!(book.expire(later), [node.peer_id()]);
    assert_eq!(offered(&mut book, later, &long), Ok(Judgement::Older));
    assert_eq!(offered(&mut book, later, &short), Err(KeptOut::Expired));
    // Our clock was ahead and is set back: the same record is as good as ever.
    assert_eq!(offered(&mut book, EPOCH, &short), Ok(Judgement::Wanted));
    book.expire(later);
    // The node is back.
    let back = record_with(&node, 3, |record| record.issued_at = later);
    assert_eq!(offered(&mut book, later, &back), Ok(Judgement::Wanted));
    // Once nothing older can be valid, nothing is remembered.
    let long_after = later.saturating_add(DAY);
    book.expire(long_after);
    assert_eq!(book.graves().len(), 1);
    book.expire(long_after.saturating_add(limits::MAX_TTL));
    assert_eq!(book.graves().len(), 0);
}

#[test]
fn graves_are_bounded_and_the_oldest_go() {
    let nodes: Vec<_> = (0..4).map(|_| Identity::generate()).collect();
    let mut book = book(3);
    let mut now = EPOCH;
    for node in &nodes {
        let short = record_with(node, 2, |record| {
            (record.issued_at, record.ttl) = (now, seconds(1));
        });
        offer(&mut book, now, &short, by(node), 3).expect("room");
        now = now.saturating_add(seconds(1));
        book.expire(now);
    }
    assert_eq!(book.graves().len(), 3);
    let older = |node| record_with(node, 1, |record| record.ttl = DAY);
    assert_eq!(book.judge(now, &unverified(&older(&nodes[0]))), Ok(Judgement::Wanted));
    assert_eq!(book.judge(now, &unverified(&older(&nodes[1]))), Ok(Judgement::Older));
}

#[test]
fn signed_times_decide() {
    let node = Identity::generate();
    let issued = |at| record_with(&node, 1, |record| record.issued_at = at);
    let ahead = EPOCH.saturating_add(MAX_CLOCK_SKEW);
    let judge = |record: &SignedRecord| book(1).judge(EPOCH, &unverified(record));
    assert_eq!(judge(&issued(ahead)), Ok(Judgement::Wanted));
    assert_eq!(judge(&issued(ahead.saturating_add(millis(1)))), Err(KeptOut::ClockSkew));
    assert_eq!(judge(&issued(UnixMillis::new(u64::MAX))), Err(KeptOut::ClockSkew));
    let half_an_hour_ago = UnixMillis::new(EPOCH.get() - 30 * 60 * 1000);
    assert_eq!(judge(&issued(half_an_hour_ago)), Err(KeptOut::Expired));
    let just_valid = half_an_hour_ago.saturating_add(millis(1));
    assert_eq!(judge(&issued(just_valid)), Ok(Judgement::Wanted));
}

#[test]
fn hearsay_leaves_room_for_those_who_call() {
    let [hub, caller] = [(); 2].map(|()| Identity::generate());
    let mut book = book(20);
    let hearsay =
        |book: &mut Book| offer(book, EPOCH, &record(&Identity::generate(), 1), by(&hub), 20);
    for _ in 0..18 {
        hearsay(&mut book).expect("room");
    }
    assert_eq!(hearsay(&mut book), Err(KeptOut::BookFull));
    let own = |book: &mut Book, node: &Identity| offer(book, EPOCH, &record(node, 1), by(node), 20);
    assert_eq!(own(&mut book, &caller), Ok(Judgement::Wanted));
    assert_eq!(own(&mut book, &hub), Ok(Judgement::Wanted));
    assert_eq!(own(&mut book, &Identity::generate()), Err(KeptOut::BookFull));
    // A newer record of a known node takes no room.
    let newer = record(&caller, 2);
    assert_eq!(offer(&mut book, EPOCH, &newer, by(&hub), 20), Ok(Judgement::Wanted));
}

#[test]
fn an_introducer_has_a_share_and_updates_do_not_count() {
    let [one, other] = [(); 2].map(|()| Identity::generate());
    let nodes: Vec<_> = (0..5).map(|_| Identity::generate()).collect();
    for introducer in [by(&one), ANONYMOUS] {
        let mut book = book(100);
        let bring = |book: &mut Book, node: &Identity, seq, introducer| {
            offer(book, EPOCH, &record(node, seq), introducer, 2)
        };
        for node in &nodes[..2] {
            bring(&mut book, node, 1, introducer).expect("its share");
        }
        assert_eq!(bring(&mut book, &nodes[2], 1, introducer), Err(KeptOut::IntroducerFull));
        // Its own record is not hearsay, and news of known nodes are always welcome, whoever brought them first.
        bring(&mut book, &one, 1, by(&one)).expect("its own");
        bring(&mut book, &nodes[3], 1, by(&other)).expect("another's share");
        assert_eq!(bring(&mut book, &nodes[3], 2, introducer), Ok(Judgement::Wanted));
        assert_eq!(bring(&mut book, &nodes[0], 2, by(&other)), Ok(Judgement::Wanted));
        // Who brought a node first is charged until it calls itself or is gone.
        assert_eq!(bring(&mut book, &nodes[2], 1, introducer), Err(KeptOut::IntroducerFull));
        bring(&mut book, &nodes[0], 3, by(&nodes[0])).expect("it calls");
        assert_eq!(bring(&mut book, &nodes[2], 1, introducer), Ok(Judgement::Wanted));
        assert_eq!(bring(&mut book, &nodes[4], 1, introducer), Err(KeptOut::IntroducerFull));
        book.expire(EPOCH.saturating_add(DAY));
        assert!(book.is_clean());
    }
}
