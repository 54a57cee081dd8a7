//! Keeps on disk what a node needs after a restart, on a thread of its own: neither the engine's lock nor the P2P runtime
//! ever waits for the disk.
//!
//! There is no queue. What is to be written is marked, and read from where it is when the disk gets to it; the book itself
//! says what changed since a version. So a disk that is slow, full or gone for a while costs nothing but what a crash at
//! that time forgets, and catches up later.

mod met;
mod view;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio_util::sync::CancellationToken;
use unring_cycle_detector::RingMemory;
use unring_exchange::{Grave, Now};
use unring_peer::{PeerId, SignedRecord, UnixMillis, UnverifiedRecord};

use self::met::Met;
pub(crate) use self::view::View;
pub(crate) use self::writer::{Writer, warn_of};

/// How long the end of a node waits for what is still to be written.
const FLUSH: Duration = Duration::from_secs(2);

/// Where what is to be written is found.
pub(crate) trait Source {
    /// The time.
    fn now(&self) -> Now;

    /// At most `at_most` records that changed after `version`, and the version up to which that is all.
    fn book_changes(&self, version: u64, at_most: usize) -> (Vec<SignedRecord>, u64);

    /// When somebody was kept out since this was `before`: what it is now, and who is in the book. Nothing else on disk is
    /// to stay there.
    fn evicted(&self, before: u64) -> Option<(u64, BTreeSet<PeerId>)> {
        let _ = before;
        None
    }

    /// What was said of rings.
    fn ring_memory(&self) -> RingMemory<PeerId>;

    /// What a file holds that was opened while the node runs.
    fn restore(&self, graves: Vec<Grave>, book: Vec<UnverifiedRecord>);

    /// This `seq` is on disk, or the disk refused it.
    fn seq_persisted(&self, seq: u64);
}

/// What is to be written, and what is kept of it in case a new file has to be filled.
#[derive(Debug, Default)]
struct Marked {
    seq: u64,
    joins: Vec<(String, UnixMillis)>,
    targets: BTreeMap<String, Vec<PeerId>>,
    met: Met,
    dirty: Dirty,
    stop: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Dirty {
    seq: bool,
    upstreams: bool,
    rings: bool,
    book: bool,
    met: bool,
}

impl Dirty {
    const NOTHING: Self =
        Self { seq: false, upstreams: false, rings: false, book: false, met: false };
    const ALL: Self = Self { seq: true, upstreams: true, rings: true, book: true, met: true };

    fn add(&mut self, other: Self) {
        self.seq |= other.seq;
        self.upstreams |= other.upstreams;
        self.rings |= other.rings;
        self.book |= other.book;
        self.met |= other.met;
    }
}

/// Marks what is to be written.
#[derive(Debug)]
pub(crate) struct Keeper {
    marked: Mutex<Marked>,
    wake: Condvar,
    view: Mutex<View>,
    /// Who was connected when the node stopped.
    met_before: BTreeSet<PeerId>,
    done: CancellationToken,
}

impl Keeper {
    /// With what the disk holds: joins, targets, and who was connected when.
    pub(crate) fn new(
        joins: BTreeMap<String, UnixMillis>,
        targets: BTreeMap<String, Vec<PeerId>>,
        met: BTreeMap<PeerId, UnixMillis>,
        view: View,
    ) -> Arc<Self> {
        let joins = joins.into_iter().collect();
        let met = Met::new(met);
        let met_before = met.latest();
        Arc::new(Self {
            marked: Mutex::new(Marked { joins, targets, met, ..Marked::default() }),
            wake: Condvar::new(),
            view: Mutex::new(view),
            met_before,
            done: CancellationToken::new(),
        })
    }

    fn mark(&self, mark: impl FnOnce(&mut Marked)) {
        mark(&mut self.marked.lock());
        self.wake.notify_one();
    }

    /// Our records may use every `seq` up to this one.
    pub(crate) fn seq(&self, seq: u64) {
        self.mark(|marked| {
            // A file opened later may have brought a higher one.
            marked.seq = marked.seq.max(seq);
            marked.dirty.seq = true;
        });
    }

    /// An upstream's address leads to these nodes.
    pub(crate) fn targets(&self, address: String, targets: Vec<PeerId>) {
        self.mark(|marked| {
            marked.targets.insert(address, targets);
            marked.dirty.upstreams = true;
        });
    }

    /// Something was said of a ring.
    pub(crate) fn rings(&self) {
        self.mark(|marked| marked.dirty.rings = true);
    }

    /// Connected are now these and no others.
    pub(crate) fn connected(&self, peers: BTreeSet<PeerId>, now: UnixMillis) {
        self.mark(|marked| marked.dirty.met |= marked.met.connected(peers, now));
    }

    /// Who was connected when the node stopped that ran before.
    pub(crate) fn met_before(&self) -> &BTreeSet<PeerId> {
        &self.met_before
    }

    /// The book changed.
    pub(crate) fn book(&self) {
        self.mark(|marked| marked.dirty.book = true);
    }

    /// Since when each of `addresses` has been configured; a new one since `now`. Others are forgotten.
    pub(crate) fn joins_since(
        &self,
        addresses: &[String],
        now: UnixMillis,
    ) -> Vec<(String, UnixMillis)> {
        let mut joins = Vec::new();
        self.mark(|marked| {
            let before: BTreeMap<_, _> = std::mem::take(&mut marked.joins).into_iter().collect();
            let since = |address: &String| before.get(address).copied().unwrap_or(now);
            joins = addresses.iter().map(|address| (address.clone(), since(address))).collect();
            marked.targets.retain(|address, _| addresses.contains(address));
            marked.joins.clone_from(&joins);
            marked.dirty.upstreams = true;
        });
        joins
    }

    /// How the disk is doing.
    pub(crate) fn view(&self) -> View {
        self.view.lock().clone()
    }

    /// Starts writing. `source` is asked for at each turn; when it is gone, writing ends.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start<S: Source>(
        self: &Arc<Self>,
        writer: Writer,
        source: impl Fn() -> Option<S> + Send + 'static,
    ) -> io::Result<()> {
        let keeper = Arc::clone(self);
        let done = self.done.clone().drop_guard();
        std::thread::Builder::new().name("disk".to_owned()).spawn(move || {
            // Dropped in the opposite order: who waits for the end finds the file free.
            let _done = done;
            let mut writer = writer;
            while keeper.turn(&mut writer, &source) {}
        })?;
        Ok(())
    }

    /// Writes what is marked and waits for more; whether to go on.
    fn turn<S: Source>(&self, writer: &mut Writer, source: &impl Fn() -> Option<S>) -> bool {
        let stop = self.marked.lock().stop;
        let Some(found) = source() else { return false };
        let now = found.now();
        if stop {
            writer.hurry();
        }
        writer.turn(self, &found, now);
        let (again, wait) = writer.next(now);
        // Not held while waiting: it is what keeps the engine alive.
        drop(found);
        if stop {
            return again;
        }
        let mut marked = self.marked.lock();
        if !marked.stop && !writer.has_news(&marked.dirty, now) {
            self.wake.wait_for(&mut marked, wait);
        }
        true
    }

    /// Ends without writing what is left.
    pub(crate) fn let_go(&self) {
        self.mark(|marked| marked.stop = true);
    }

    /// Writes what is left and ends. A disk that does not answer is not waited for.
    pub(crate) async fn stop(&self) {
        self.stop_within(FLUSH).await;
    }

    async fn stop_within(&self, time: Duration) {
        self.mark(|marked| {
            marked.dirty.add(Dirty { rings: true, book: true, ..Dirty::NOTHING });
            marked.stop = true;
        });
        if tokio::time::timeout(time, self.done.cancelled()).await.is_err() {
            tracing::warn!(
                target: crate::log::NODE,
                "the disk does not answer: what changed last will not be known after the restart"
            );
        }
    }
}
