//! The file: what is written is there again, and what cannot be read is set aside.

mod crash;
mod damage;
mod layouts;
mod shelf;

use std::time::Duration;

use unring_peer::{Identity, NodeRecord, SignedRecord, UnixMillis};

use super::*;

const NOW: UnixMillis = UnixMillis::new(1_790_000_000_000);

fn record(identity: &Identity, seq: u64, ttl: Duration) -> SignedRecord {
    let record =
        NodeRecord { seq, issued_at: NOW, ttl, ..NodeRecord::new(identity.peer_id(), "peer") };
    SignedRecord::sign(identity, record).unwrap()
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn open(dir: &Path) -> Opened {
    Database::open_or_set_aside(dir, NOW).unwrap()
}

/// The names in a folder, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_written_is_there_after_a_restart() {
    let (dir, peer) = (tempfile::tempdir().unwrap(), Identity::generate());
    let Opened { database, loaded, set_aside } = open(dir.path());
    assert!(loaded.seq == 0 && loaded.book.is_empty() && set_aside.is_none());
    let record = record(&peer, 7, minutes(30));
    let mut shelf = Shelf::new(10, &loaded);
    let upstreams = vec![
        ("a".to_owned(), UnixMillis::new(5), vec![peer.peer_id()]),
        ("b".to_owned(), NOW, vec![]),
    ];
    let changes = Changes {
        seq: Some(42),
        upstreams: Some(upstreams),
        met: Some(vec![(peer.peer_id(), NOW)]),
        book: shelf.plan(NOW, vec![record.clone()]),
        rings: None,
    };
    database.write(&changes).unwrap();
    drop(database);

    let Opened { database, loaded, set_aside } = open(dir.path());
    assert_eq!((loaded.seq, set_aside), (42, None));
    let joins = [("a".to_owned(), UnixMillis::new(5)), ("b".to_owned(), NOW)];
    assert_eq!(loaded.joins, joins.into());
    assert_eq!(loaded.targets["a"], [peer.peer_id()]);
    assert_eq!(loaded.met, [(peer.peer_id(), NOW)].into());
    assert_eq!(loaded.book[0].clone().verify().unwrap(), record, "byte for byte");
    assert_eq!(names(dir.path()), [FILE]);
    // An upstream that is not configured any more is forgotten with its targets.
    let none = Changes { upstreams: Some(Vec::new()), ..Changes::default() };
    database.write(&none).unwrap();
    drop(database);
    let loaded = open(dir.path()).loaded;
    assert!(loaded.joins.is_empty() && loaded.targets.is_empty());
    assert_eq!(loaded.seq, 42);
}

#[test]
fn two_nodes_cannot_share_a_database() {
    let dir = tempfile::tempdir().unwrap();
    let _first = open(dir.path());
    let error = Database::open_or_set_aside(dir.path(), NOW).unwrap_err();
    assert!(matches!(error, DatabaseError::Open { .. }) && error.is_for_operator(), "{error}");
    assert_eq!(names(dir.path()), [FILE]);
}

#[test]
fn what_a_crash_left_of_a_first_start_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let new = dir.path().join(format!("{FILE}.new"));
    for left in [&b""[..], b"half", &[0; 8192]] {
        let _ = fs::remove_file(dir.path().join(FILE));
        fs::write(&new, left).unwrap();
        assert_eq!(open(dir.path()).set_aside, None);
        assert_eq!(names(dir.path()), [FILE]);
    }
}

#[test]
fn a_file_that_somebody_else_truncated_or_wrote_to_is_noticed() {
    let whole = {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path()));
        fs::read(dir.path().join(FILE)).unwrap()
    };
    let changes: [fn(&fs::File, &[u8]); 3] = [
        |file, _| file.set_len(100).unwrap(),
        |file, _| file.set_len(0).unwrap(),
        |mut file, whole| {
            use std::io::Write as _;
            // A clock tick later, as far as files have one.
            std::thread::sleep(std::time::Duration::from_millis(20));
            file.write_all(whole).unwrap();
        },
    ];
    for change in changes {
        let dir = tempfile::tempdir().unwrap();
        let database = open(dir.path()).database;
        for seq in 1..20 {
            database.set_seq(seq).unwrap();
            assert!(database.is_in_place(), "what we write ourselves is no news");
        }
        let file = fs::OpenOptions::new().write(true).open(database.file()).unwrap();
        change(&file, &whole);
        assert!(!database.is_in_place());
    }
}

#[test]
fn a_file_that_was_deleted_or_replaced_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).database;
    assert!(first.is_in_place());
    fs::remove_file(first.file()).unwrap();
    assert!(!first.is_in_place());
    let second = open(dir.path()).database;
    assert!(second.is_in_place() && !first.is_in_place());
}
