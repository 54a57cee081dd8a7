//! Which records are kept on disk.

use std::collections::BTreeMap;

use proptest::prelude::*;
use unring_exchange::Grave;

use super::*;

fn shelf(capacity: usize) -> Shelf {
    Shelf::new(capacity, &Loaded::default())
}

fn peers(records: &[SignedRecord]) -> Vec<unring_peer::PeerId> {
    records.iter().map(|record| record.record().peer_id).collect()
}

#[test]
fn what_expires_becomes_a_grave_and_a_newer_record_removes_it() {
    let (dir, peer) = (tempfile::tempdir().unwrap(), Identity::generate());
    let Opened { database, loaded, .. } = open(dir.path());
    let mut shelf = Shelf::new(4, &loaded);
    let mut write = |now, records| {
        let book = shelf.plan(now, records);
        database.write(&Changes { book, ..Changes::default() }).unwrap();
        (shelf.len(), shelf.is_due(now))
    };
    assert_eq!(write(NOW, vec![record(&peer, 5, minutes(10))]), (1, false));
    let dead = NOW.saturating_add(minutes(10));
    assert_eq!(write(dead, Vec::new()), (0, false));
    drop(database);

    let Opened { database, loaded, .. } = open(dir.path());
    let grave =
        Grave { peer: peer.peer_id(), seq: 5, until: dead.saturating_add(minutes(24 * 60)) };
    assert_eq!((loaded.book.len(), loaded.graves.as_slice()), (0, &[grave][..]));
    let mut shelf = Shelf::new(4, &loaded);
    let book = shelf.plan(dead, vec![record(&peer, 6, minutes(20))]);
    database.write(&Changes { book, ..Changes::default() }).unwrap();
    drop(database);

    let Opened { database, loaded, .. } = open(dir.path());
    assert_eq!((loaded.book.len(), loaded.graves.len()), (1, 0));
    // A grave does not stay for ever either.
    let mut shelf = Shelf::new(4, &loaded);
    for after in [minutes(20), minutes(25 * 60)] {
        let book = shelf.plan(NOW.saturating_add(after), Vec::new());
        database.write(&Changes { book, ..Changes::default() }).unwrap();
    }
    drop(database);
    let loaded = open(dir.path()).loaded;
    assert_eq!((loaded.book.len(), loaded.graves.len()), (0, 0));
}

#[test]
fn at_the_bound_what_expires_first_makes_room() {
    let mut shelf = shelf(2);
    let records: Vec<_> =
        [20, 10, 30].map(|ttl| record(&Identity::generate(), 1, minutes(ttl))).into();
    let plan = shelf.plan(NOW, records.clone());
    let mut kept = peers(&plan.written);
    kept.sort();
    let mut expected = peers(&[records[0].clone(), records[2].clone()]);
    expected.sort();
    assert_eq!((kept, shelf.len()), (expected, 2));
    assert_eq!(plan.removed, [records[1].record().peer_id.to_bytes()].into());
}

#[test]
fn bytes_on_disk_are_bounded() {
    let mut shelf = shelf(100_000);
    let big = |at: u64| {
        let identity = Identity::generate();
        let mut record = NodeRecord {
            seq: at,
            issued_at: NOW,
            ttl: minutes(30),
            ..NodeRecord::new(identity.peer_id(), "peer")
        };
        let long = "x".repeat(200);
        record.joins = (0..32)
            .map(|join| unring_peer::Join {
                address: format!("https://{join}.{long}"),
                targets: std::iter::once(identity.peer_id()).collect(),
                since: NOW,
            })
            .collect();
        SignedRecord::sign(&identity, record).unwrap()
    };
    let size = big(0).wire_bytes();
    let many = MAX_BOOK_BYTES / size + 10;
    let same = big(1);
    for at in 0..many as u64 {
        // The same bytes under the name of another node would be as good, and take no time to sign.
        shelf.plan(NOW, vec![if at % 64 == 0 { big(at) } else { same.clone() }]);
    }
    assert!(shelf.bytes() <= MAX_BOOK_BYTES);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The index in memory says what is really on disk, whatever happens in which order.
    #[test]
    fn the_index_is_what_is_on_disk(
        turns in prop::collection::vec(
            (0..40_u64, prop::collection::vec((0..6_usize, 1..4_u64, 1..90_u64), 0..5)),
            1..8,
        )
    ) {
        let identities: Vec<_> = (0..6).map(|_| Identity::generate()).collect();
        let dir = tempfile::tempdir().unwrap();
        let mut now = NOW;
        let mut newest: BTreeMap<_, u64> = BTreeMap::new();
        let mut opened = open(dir.path());
        let mut shelf = Shelf::new(4, &opened.loaded);
        for (pause, records) in turns {
            now = now.saturating_add(minutes(pause));
            // As the book gives them: one of each node, and only newer ones.
            let mut news = BTreeMap::new();
            for (at, step, ttl) in records {
                let seq = newest.entry(at).or_default();
                *seq += step;
                news.insert(at, record(&identities[at], *seq, minutes(ttl)));
            }
            let book = shelf.plan(now, news.into_values().collect());
            opened.database.write(&Changes { book, ..Changes::default() }).unwrap();
            drop(opened);
            opened = open(dir.path());
            let again = Shelf::new(4, &opened.loaded);
            prop_assert_eq!(shelf.contents(), again.contents());
            prop_assert!(shelf.len() <= 4);
            for record in &opened.loaded.book {
                prop_assert!(record.claimed().expires_at() > now);
            }
            for grave in &opened.loaded.graves {
                prop_assert!(opened.loaded.book.iter().all(|record| record.peer_id() != grave.peer));
            }
        }
    }
}
