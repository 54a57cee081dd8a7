//! Files that are no database any more: each is kept under another name, and a new one is made.

use std::os::unix::fs::symlink;

use super::*;

/// Bytes of the page that describes a redb file.
const FIRST_PAGE: usize = 4096;

/// A file with something in every table.
fn whole(peers: usize) -> (Vec<u8>, Vec<SignedRecord>) {
    let dir = tempfile::tempdir().unwrap();
    let Opened { database, loaded, .. } = open(dir.path());
    let records: Vec<_> =
        (0..peers).map(|_| record(&Identity::generate(), 3, minutes(30))).collect();
    let book = Shelf::new(peers, &loaded).plan(NOW, records.clone());
    let upstreams = Some(vec![("a".to_owned(), NOW, vec![records[0].record().peer_id])]);
    let rings = Some(unring_cycle_detector::RingMemory::default());
    let met = Some(vec![(records[0].record().peer_id, NOW)]);
    database.write(&Changes { seq: Some(42), upstreams, met, book, rings }).unwrap();
    drop(database);
    (fs::read(dir.path().join(FILE)).unwrap(), records)
}

/// Opens a folder with this file in it; whether it was set aside, and then, whether it is all there.
fn opened_with(bytes: &[u8]) -> (Opened, bool) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(FILE), bytes).unwrap();
    let opened = open(dir.path());
    assert!(opened.database.set_seq(50).is_ok(), "the new one can be used");
    let kept = opened.set_aside.as_ref().is_some_and(|set_aside| {
        // redb notes in its first page that a repair was begun; the rest stays as it was.
        let (left, pages) = (fs::read(&set_aside.to).unwrap(), FIRST_PAGE.min(bytes.len()));
        left.len() == bytes.len() && left[pages..] == bytes[pages..]
    });
    (opened, kept)
}

#[test]
fn garbage_and_parts_of_a_file_are_set_aside() {
    let (whole, _) = whole(20);
    let mut header = whole.clone();
    header[..512].fill(0xa5);
    let mut pages = whole.clone();
    pages[FIRST_PAGE..].fill(0xa5);
    let mut longer = whole.clone();
    longer.truncate(whole.len() - 1);
    let cases = [
        ("garbage", b"not a database, but long enough to look like one".to_vec()),
        ("zeros", vec![0; whole.len()]),
        ("a header of garbage", header),
        ("pages of garbage", pages),
        ("one byte less", longer),
        ("half of it", whole[..whole.len() / 2].to_vec()),
        ("its first page", whole[..FIRST_PAGE].to_vec()),
        ("its first bytes", whole[..100].to_vec()),
        ("one byte", whole[..1].to_vec()),
    ];
    for (what, damaged) in cases {
        let (opened, kept) = opened_with(&damaged);
        let set_aside = opened.set_aside.unwrap_or_else(|| panic!("{what} is taken for whole"));
        assert!(kept, "{what} is not kept as it was");
        assert!(set_aside.reason.contains("is damaged"), "{what}: {}", set_aside.reason);
        assert_eq!(
            set_aside.to.file_name().unwrap().to_str().unwrap(),
            format!("{FILE}.corrupt-{}", NOW.get())
        );
        assert_eq!((opened.loaded.seq, opened.loaded.book.len()), (0, 0), "{what}");
    }
}

#[test]
fn an_empty_file_is_a_new_one() {
    let (opened, _) = opened_with(b"");
    assert_eq!((opened.set_aside, opened.loaded.seq), (None, 0));
}

/// Whatever bit is wrong: either all is as it was, or the file is set aside whole. Never half of it, never other content.
#[test]
fn no_flipped_bit_is_taken_for_content() {
    let (whole, records) = whole(30);
    let header = (0..320).step_by(3).map(|at| (at, at % 8));
    // A stride that shares nothing with the size of a page, so that all parts of pages are met.
    let pages = (FIRST_PAGE..whole.len()).step_by((whole.len() / 120) | 1).map(|at| (at, at % 8));
    let (mut aside, mut tried) = (0, 0);
    for (at, bit) in header.chain(pages) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << bit;
        let (opened, kept) = opened_with(&flipped);
        tried += 1;
        if opened.set_aside.is_some() {
            assert!(kept, "byte {at}, bit {bit}");
            aside += 1;
            continue;
        }
        let mut found: Vec<_> = opened.loaded.book.iter().map(|found| found.envelope()).collect();
        let mut expected: Vec<_> = records.iter().map(|record| record.envelope()).collect();
        found.sort();
        expected.sort();
        assert!(opened.loaded.seq == 42 && found == expected, "byte {at}, bit {bit}");
    }
    assert!(aside > 10 && aside < tried, "{aside} of {tried}");
}

#[test]
fn what_is_no_file_is_set_aside() {
    type Make = fn(&Path);
    let cases: [(&str, Make); 4] = [
        ("a folder", |path| fs::create_dir(path).unwrap()),
        ("a link to nowhere", |path| symlink("nowhere", path).unwrap()),
        ("a link to itself", |path| symlink(FILE, path).unwrap()),
        ("a pipe", |path| {
            let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
            assert!(made.success());
        }),
    ];
    for (what, make) in cases {
        let dir = tempfile::tempdir().unwrap();
        make(&dir.path().join(FILE));
        let opened = open(dir.path());
        assert!(opened.set_aside.is_some(), "{what}");
        assert_eq!(names(dir.path()).len(), 2, "{what}");
        assert!(opened.database.is_in_place(), "{what}");
    }
}

#[test]
fn a_record_that_cannot_be_read_is_left_out_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (good, other) = (Identity::generate(), Identity::generate());
    let record = record(&good, 1, minutes(30));
    let write = |key: &[u8], envelope: &[u8]| {
        let database = open(dir.path()).database;
        let write = database.redb.begin_write().unwrap();
        write.open_table(tables::BOOK).unwrap().insert(key, (envelope, &b""[..])).unwrap();
        write.commit().unwrap();
    };
    write(&good.peer_id().to_bytes(), record.envelope());
    write(b"no id", b"no record");
    write(&other.peer_id().to_bytes(), record.envelope());
    let Opened { database, loaded, .. } = open(dir.path());
    assert_eq!((loaded.book.len(), loaded.unreadable.len()), (1, 2));
    let mut shelf = Shelf::new(10, &loaded);
    assert!(shelf.is_due(NOW));
    let book = shelf.plan(NOW, Vec::new());
    database.write(&Changes { book, ..Changes::default() }).unwrap();
    drop(database);
    let loaded = open(dir.path()).loaded;
    assert_eq!((loaded.book.len(), loaded.unreadable.len()), (1, 0));
}

#[test]
fn nothing_set_aside_is_ever_deleted_and_the_number_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let damage = || fs::write(dir.path().join(FILE), "garbage").unwrap();
    for count in 1..=MAX_SET_ASIDE {
        damage();
        // All at the same time: each gets a name of its own.
        assert!(open(dir.path()).set_aside.is_some());
        assert_eq!(names(dir.path()).len(), count + 1);
    }
    damage();
    let before = names(dir.path());
    let error = Database::open_or_set_aside(dir.path(), NOW).unwrap_err();
    assert!(matches!(error, DatabaseError::TooManySetAside { .. }), "{error}");
    assert!(!error.is_for_operator(), "the node runs without a database");
    assert!(error.to_string().contains("8 databases are set aside"), "{error}");
    assert_eq!(names(dir.path()), before);
    assert_eq!(fs::read(dir.path().join(FILE)).unwrap(), b"garbage");
    // Room again.
    fs::remove_file(dir.path().join(&before[1])).unwrap();
    assert!(open(dir.path()).set_aside.is_some());
}
