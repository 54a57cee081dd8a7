//! What is written when, and what happens while the disk refuses.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;
use unring_peer::{Identity, NodeRecord};

use super::writer::{BATCH, BOOK_GAP, LOOK, RETRY};
use super::*;
use crate::database::{Database, Loaded, Opened};

const EPOCH: UnixMillis = UnixMillis::new(1_790_000_000_000);

fn at(mono: Duration) -> Now {
    Now { mono, unix: EPOCH.saturating_add(mono) }
}

/// A book in which each version is one record.
#[derive(Default)]
struct Book {
    records: RefCell<Vec<SignedRecord>>,
    persisted: RefCell<Vec<u64>>,
    restored: RefCell<usize>,
}

impl Book {
    fn add(&self, records: usize) {
        let identity = Identity::generate();
        for _ in 0..records {
            // Signed once, since signatures are not what is under test: a node each would take seconds.
            let mut all = self.records.borrow_mut();
            let identity = if all.len() < 40 { Identity::generate() } else { identity.clone() };
            let seq = all.len() as u64 + 1;
            let ttl = Duration::from_secs(60 * 60);
            let peer = NodeRecord::new(identity.peer_id(), "peer");
            let record = NodeRecord { seq, issued_at: EPOCH, ttl, ..peer };
            all.push(SignedRecord::sign(&identity, record).unwrap());
        }
    }
}

impl Source for &Book {
    fn now(&self) -> Now {
        at(Duration::ZERO)
    }

    fn book_changes(&self, version: u64, at_most: usize) -> (Vec<SignedRecord>, u64) {
        let all = self.records.borrow();
        let from = usize::try_from(version).unwrap();
        let to = all.len().min(from + at_most);
        (all[from..to].to_vec(), to as u64)
    }

    fn ring_memory(&self) -> RingMemory<PeerId> {
        RingMemory::default()
    }

    fn restore(&self, _graves: Vec<Grave>, book: Vec<UnverifiedRecord>) {
        *self.restored.borrow_mut() += book.len();
    }

    fn seq_persisted(&self, seq: u64) {
        self.persisted.borrow_mut().push(seq);
    }
}

struct Setup {
    dir: TempDir,
    keeper: Arc<Keeper>,
    writer: Writer,
}

impl Setup {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        let Opened { database, loaded, .. } = Database::open_or_set_aside(&data, EPOCH).unwrap();
        let opened = Some((database, &loaded));
        let writer = Writer::new(data, 4096, opened, at(Duration::ZERO));
        let keeper = Keeper::new(loaded.joins, loaded.targets, loaded.met, View::default());
        Self { dir, keeper, writer }
    }

    fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    fn turn(&mut self, book: &Book, mono: Duration) {
        self.writer.turn(&self.keeper, &book, at(mono));
    }

    /// What another process would find now.
    fn on_disk(self) -> (TempDir, Loaded) {
        let data = self.data();
        drop(self.writer);
        let loaded = load(&data);
        (self.dir, loaded)
    }
}

fn load(data: &Path) -> Loaded {
    Database::open(data).unwrap().1
}

#[test]
fn what_is_small_is_written_at_once_and_records_in_turns() {
    let (mut setup, book) = (Setup::new(), Book::default());
    book.add(BATCH + 100);
    setup.keeper.book();
    setup.keeper.seq(7);
    setup.turn(&book, Duration::ZERO);
    let view = setup.keeper.view();
    assert_eq!((view.saved_version, view.writes, view.open), (BATCH as u64, 1, true));
    assert_eq!(*book.persisted.borrow(), [7]);
    // The rest has its turn a second later, though nobody marks it again; a seq does not wait for that.
    setup.keeper.seq(8);
    setup.turn(&book, BOOK_GAP / 2);
    assert_eq!(*book.persisted.borrow(), [7, 8]);
    assert_eq!(setup.keeper.view().saved_version, BATCH as u64);
    assert_eq!(setup.writer.next(at(BOOK_GAP / 2)), (true, BOOK_GAP / 2));
    setup.turn(&book, BOOK_GAP);
    assert_eq!(setup.keeper.view().saved_version, BATCH as u64 + 100);
    assert_eq!(setup.writer.next(at(BOOK_GAP * 2)), (false, LOOK), "nothing is left");
    // Nothing new, no commit.
    let writes = setup.keeper.view().writes;
    setup.turn(&book, BOOK_GAP * 3);
    assert_eq!(setup.keeper.view().writes, writes);
    let (_dir, loaded) = setup.on_disk();
    assert_eq!((loaded.seq, loaded.book.len()), (8, 41));
}

#[test]
fn a_disk_that_is_gone_costs_nothing_and_gets_everything_when_it_is_back() {
    let (mut setup, book) = (Setup::new(), Book::default());
    let addresses = ["https://a:1".to_owned()];
    setup.keeper.joins_since(&addresses, EPOCH);
    book.add(3);
    setup.keeper.book();
    setup.turn(&book, Duration::ZERO);
    let (data, away) = (setup.data(), setup.dir.path().join("away"));
    fs::rename(&data, &away).unwrap();
    book.add(2);
    setup.keeper.book();
    setup.keeper.seq(9);
    let mut attempts = 0;
    for second in 1..=600 {
        let failures = setup.keeper.view().failures;
        setup.turn(&book, Duration::from_secs(second));
        attempts += setup.keeper.view().failures - failures;
    }
    // Ever more rarely, up to once a minute.
    assert!((10..=20).contains(&attempts), "{attempts} attempts in ten minutes");
    let view = setup.keeper.view();
    assert_eq!((view.open, view.records), (false, 0));
    assert!(view.last_error.unwrap().0.contains("No such file"));
    assert_eq!(*book.persisted.borrow(), [9], "it is answered for, and once");

    // An empty folder is there: all goes into a new file.
    fs::create_dir(&data).unwrap();
    let back = Duration::from_secs(600) + RETRY.1;
    setup.turn(&book, back);
    setup.turn(&book, back + BOOK_GAP);
    let view = setup.keeper.view();
    assert_eq!((view.open, view.records, view.saved_version), (true, 5, 5));
    let (_dir, loaded) = setup.on_disk();
    assert_eq!((loaded.seq, loaded.book.len()), (9, 5));
    assert_eq!(loaded.joins, [("https://a:1".to_owned(), EPOCH)].into());
}

#[test]
fn a_file_that_somebody_puts_back_while_the_node_runs_is_read() {
    let (mut setup, book) = (Setup::new(), Book::default());
    book.add(3);
    setup.keeper.book();
    setup.keeper.seq(9);
    setup.turn(&book, Duration::ZERO);
    let file = setup.data().join(crate::database::FILE);
    let (other, theirs) = (Setup::new(), Book::default());
    let mut other = other;
    theirs.add(4);
    other.keeper.book();
    other.keeper.seq(100);
    other.turn(&theirs, Duration::ZERO);
    let theirs_file = other.data().join(crate::database::FILE);
    let (_theirs, _) = other.on_disk();
    fs::rename(theirs_file, file).unwrap();
    setup.turn(&book, Duration::from_secs(1));
    assert_eq!(*book.restored.borrow(), 4);
    let (_dir, loaded) = setup.on_disk();
    assert_eq!((loaded.seq, loaded.book.len()), (100, 7), "no seq is ever taken back");
}

/// A source that the thread can hold.
struct Clock(Arc<AtomicU64>);

impl Source for Clock {
    fn now(&self) -> Now {
        at(Duration::from_millis(self.0.fetch_add(1, Ordering::Relaxed)))
    }

    fn book_changes(&self, version: u64, _at_most: usize) -> (Vec<SignedRecord>, u64) {
        (Vec::new(), version)
    }

    fn ring_memory(&self) -> RingMemory<PeerId> {
        RingMemory::default()
    }

    fn restore(&self, _graves: Vec<Grave>, _book: Vec<UnverifiedRecord>) {}

    fn seq_persisted(&self, _seq: u64) {}
}

#[tokio::test]
async fn the_end_waits_for_what_is_left_and_lets_go_of_the_file() {
    let Setup { dir, keeper, writer } = Setup::new();
    let turns = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&turns);
    keeper.start(writer, move || Some(Clock(Arc::clone(&counted)))).unwrap();
    keeper.seq(5);
    // A disk may be slow in a test.
    keeper.stop_within(Duration::from_secs(60)).await;
    assert_eq!(load(&dir.path().join("data")).seq, 5);
    assert!(turns.load(Ordering::Relaxed) < 10, "it sleeps between");
}

#[tokio::test]
async fn without_its_engine_the_thread_ends() {
    let Setup { dir, keeper, writer } = Setup::new();
    keeper.start(writer, || None::<Clock>).unwrap();
    tokio::time::timeout(Duration::from_secs(30), keeper.done.cancelled()).await.unwrap();
    load(&dir.path().join("data"));
}
