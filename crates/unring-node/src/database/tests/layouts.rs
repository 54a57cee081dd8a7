//! Files of other versions.

use redb::{Database as Redb, TableDefinition};

use super::*;

/// A file as layout 1 was: three tables beside the numbers, no records.
fn layout_one(dir: &Path, seq: u64, peer: &str) {
    let redb = Redb::create(dir.join(FILE)).unwrap();
    let write = redb.begin_write().unwrap();
    {
        let mut numbers = write.open_table(TableDefinition::<&str, u64>::new("numbers")).unwrap();
        numbers.insert("schema", 1).unwrap();
        numbers.insert("seq", seq).unwrap();
        let mut joins = write.open_table(TableDefinition::<&str, u64>::new("joins")).unwrap();
        joins.insert("https://a:1", 5).unwrap();
        let mut targets = write.open_table(TableDefinition::<&str, &str>::new("targets")).unwrap();
        targets.insert("https://a:1", peer).unwrap();
        let mut rings = write.open_table(TableDefinition::<&str, &[u8]>::new("rings")).unwrap();
        rings.insert("memory", br#"{"rings":[],"nodes":[]}"#.as_slice()).unwrap();
    }
    write.commit().unwrap();
}

#[test]
fn a_file_of_layout_1_is_brought_up_to_date_and_keeps_what_it_holds() {
    let (dir, peer) = (tempfile::tempdir().unwrap(), Identity::generate());
    layout_one(dir.path(), 77, &peer.peer_id().to_base58());
    for _ in 0..2 {
        let Opened { database, loaded, set_aside } = open(dir.path());
        assert_eq!((loaded.seq, set_aside), (77, None));
        assert_eq!(loaded.joins, [("https://a:1".to_owned(), UnixMillis::new(5))].into());
        assert_eq!(loaded.targets["https://a:1"], [peer.peer_id()]);
        let record = record(&peer, 1, minutes(30));
        let book = Shelf::new(10, &loaded).plan(NOW, vec![record]);
        database.write(&Changes { book, ..Changes::default() }).unwrap();
    }
    let redb = Redb::open(dir.path().join(FILE)).unwrap();
    let read = redb::ReadableDatabase::begin_read(&redb).unwrap();
    let numbers = read.open_table(tables::NUMBERS).unwrap();
    assert_eq!(numbers.get("schema").unwrap().unwrap().value(), tables::SCHEMA);
    assert_eq!(names(dir.path()), [FILE]);
}

#[test]
fn a_file_of_layout_1_without_every_table_is_brought_up_to_date_too() {
    let dir = tempfile::tempdir().unwrap();
    let redb = Redb::create(dir.path().join(FILE)).unwrap();
    let write = redb.begin_write().unwrap();
    write.open_table(tables::NUMBERS).unwrap().insert("schema", 1).unwrap();
    write.commit().unwrap();
    drop(redb);
    let opened = open(dir.path());
    assert_eq!((opened.set_aside, opened.loaded.seq), (None, 0));
}

#[test]
fn a_newer_layout_is_set_aside_untouched() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let redb = Redb::open(dir.path().join(FILE)).unwrap();
    let write = redb.begin_write().unwrap();
    write.open_table(tables::NUMBERS).unwrap().insert("schema", tables::SCHEMA + 1).unwrap();
    write.commit().unwrap();
    drop(redb);
    let opened = open(dir.path());
    let set_aside = opened.set_aside.unwrap();
    assert!(set_aside.reason.contains("layout 3, this version knows 2"), "{set_aside:?}");
    assert_eq!(names(dir.path()), [FILE.to_owned(), format!("{FILE}.newer-{}", NOW.get())]);
    // The newer version finds in it all that it wrote.
    let redb = Redb::open(set_aside.to).unwrap();
    let read = redb::ReadableDatabase::begin_read(&redb).unwrap();
    assert_eq!(
        read.open_table(tables::NUMBERS).unwrap().get("schema").unwrap().unwrap().value(),
        3
    );
}

#[test]
fn a_table_of_another_kind_is_damage() {
    let dir = tempfile::tempdir().unwrap();
    let redb = Redb::create(dir.path().join(FILE)).unwrap();
    let write = redb.begin_write().unwrap();
    write.open_table(TableDefinition::<u64, u64>::new("numbers")).unwrap();
    write.commit().unwrap();
    drop(redb);
    assert!(open(dir.path()).set_aside.is_some());
}
