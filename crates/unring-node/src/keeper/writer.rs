//! One turn of writing: what is due, in one commit; and what happens when the disk refuses.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use unring_exchange::Now;

use super::{Dirty, Keeper, Source};
use crate::database::{Changes, Database, DatabaseError, Loaded, Opened, SetAside, Shelf};
use crate::errors::chain;
use crate::log::NODE;

/// Records in one commit at most: half a megabyte of usual ones.
pub(super) const BATCH: usize = 512;

/// The least time between two commits of records. A crash forgets what changed within it; upstreams say it again.
pub(super) const BOOK_GAP: Duration = Duration::from_secs(1);

/// How often it is looked whether the file is still there and whether records on disk are over.
pub(super) const LOOK: Duration = Duration::from_secs(10);

/// The first and the longest pause after the disk refused.
pub(super) const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How often a disk that goes on refusing is warned of.
pub(super) const WARN_AGAIN: Duration = Duration::from_secs(10 * 60);

/// How soon it is warned of again once it was said that the disk is written again: a log must not end with that for long
/// while it is not so, nor alternate every second.
pub(super) const WARN_ANEW: Duration = Duration::from_secs(60);

/// What writes. It is only ever used by one thread, and told the time.
#[derive(Debug)]
pub(crate) struct Writer {
    data_dir: PathBuf,
    capacity: usize,
    disk: Option<(Database, Shelf)>,
    /// The book's version that is on disk.
    saved_version: u64,
    /// As of when nobody is on disk who was kept out.
    evictions: u64,
    /// When records may be written again, and the disk be tried.
    book_at: Duration,
    retry_at: Duration,
    pause: Duration,
    warned_at: Option<Duration>,
    /// The disk refused, and has not written since.
    refused: bool,
    /// The last that was said of it is that the disk is written again.
    told_recovered: bool,
    /// There is more than one commit took.
    more: bool,
    hurried: bool,
}

impl Writer {
    /// Goes on with an open database; without one, which has been warned of `now`, it is tried again soon.
    pub(crate) fn new(
        data_dir: PathBuf,
        capacity: usize,
        opened: Option<(Database, &Loaded)>,
        now: Now,
    ) -> Self {
        let refused = opened.is_none();
        Self {
            data_dir,
            capacity,
            disk: opened.map(|(database, loaded)| (database, Shelf::new(capacity, loaded))),
            saved_version: 0,
            evictions: 0,
            book_at: Duration::ZERO,
            retry_at: now.mono + RETRY.0,
            pause: Duration::ZERO,
            warned_at: refused.then_some(now.mono),
            refused,
            told_recovered: false,
            more: false,
            hurried: false,
        }
    }

    /// The database holds the book as of this version.
    pub(crate) fn starts_from(&mut self, version: u64) {
        self.saved_version = version;
    }

    /// From now on records do not wait for their turn.
    pub(super) fn hurry(&mut self) {
        self.hurried = true;
    }

    /// Whether what is marked can be written now.
    pub(super) fn has_news(&self, dirty: &Dirty, now: Now) -> bool {
        let urgent = Dirty { book: false, met: false, ..*dirty } != Dirty::NOTHING;
        if self.disk.is_none() {
            // A `seq` is answered for whatever the disk says.
            return dirty.seq || now.mono >= self.retry_at;
        }
        urgent || (dirty.book || dirty.met || self.more) && now.mono >= self.book_at
    }

    /// Whether there is more to write at once, and how long to wait for news otherwise.
    pub(super) fn next(&self, now: Now) -> (bool, Duration) {
        let until = |at: Duration| at.saturating_sub(now.mono);
        match &self.disk {
            None => (false, until(self.retry_at)),
            Some(_) if self.hurried => (self.more, Duration::ZERO),
            Some(_) if self.book_at > now.mono => (self.more, until(self.book_at)),
            Some(_) => (self.more, LOOK),
        }
    }

    /// Writes what is marked, as far as it is due.
    pub(super) fn turn(&mut self, keeper: &Keeper, source: &impl Source, now: Now) {
        if self.disk.as_ref().is_some_and(|(database, _)| !database.is_in_place()) {
            tracing::warn!(
                target: NODE,
                event = "database_gone",
                file = %self.file().display(),
                "the database was deleted, replaced or changed by somebody else while the node runs: it is opened again, or a new one written from what the node knows"
            );
            self.close();
        }
        if self.disk.is_none()
            && now.mono >= self.retry_at
            && let Err(error) = self.reopen(keeper, source, now)
        {
            self.failed(keeper, now, &error);
        }
        let (changes, taken, version) = self.take(keeper, source, now);
        let written = match &self.disk {
            Some(_) if changes.is_empty() => None,
            Some((database, _)) => Some(database.write(&changes)),
            None => None,
        };
        // Whatever the disk says: a node that is not heard of is worse than a `seq` that only the clock keeps ahead.
        if let Some(seq) = changes.seq {
            source.seq_persisted(seq);
        }
        match written {
            Some(Ok(())) => self.written(keeper, version),
            // A new file is filled with everything, so that nothing need be remembered here.
            Some(Err(error)) => self.failed(keeper, now, &error),
            None if self.disk.is_none() => {
                keeper.marked.lock().dirty.add(Dirty { seq: false, ..taken });
            }
            None => {}
        }
        self.show(keeper);
    }

    /// What is marked and due; the marks; and the version of the book with it.
    fn take(&mut self, keeper: &Keeper, source: &impl Source, now: Now) -> (Changes, Dirty, u64) {
        let mut changes = Changes::default();
        let book_due = self.disk.is_some() && (self.hurried || now.mono >= self.book_at);
        let mut taken = {
            let mut marked = keeper.marked.lock();
            let Dirty { book, met, .. } = marked.dirty;
            let left = Dirty { book: book && !book_due, met: met && !book_due, ..Dirty::NOTHING };
            let taken = std::mem::replace(&mut marked.dirty, left);
            changes.seq = taken.seq.then_some(marked.seq);
            if taken.upstreams {
                let targets = |address| marked.targets.get(address).cloned().unwrap_or_default();
                let upstreams = marked.joins.iter();
                let upstreams =
                    upstreams.map(|(address, since)| (address.clone(), *since, targets(address)));
                changes.upstreams = Some(upstreams.collect());
            }
            let taken = Dirty { book: book && book_due, met: met && book_due, ..taken };
            if taken.met {
                changes.met = Some(marked.met.all());
                self.book_at = now.mono + BOOK_GAP;
            }
            taken
        };
        let Some((_, shelf)) = &mut self.disk else { return (changes, taken, self.saved_version) };
        let mut version = self.saved_version;
        if book_due && (taken.book || self.more || shelf.is_due(now.unix)) {
            // First: who is kept out after it counts the next time.
            let mut removed = BTreeSet::new();
            if let Some((evictions, known)) = source.evicted(self.evictions) {
                self.evictions = evictions;
                removed = shelf.keep_only(&known);
            }
            let (records, upto) = source.book_changes(self.saved_version, BATCH);
            self.more = records.len() == BATCH;
            taken.book = true;
            version = upto;
            changes.book = shelf.plan(now.unix, records);
            changes.book.remove(removed);
            self.book_at = now.mono + BOOK_GAP;
        }
        if taken.rings {
            // After the book: what was said must not be newer than the joins that it is about.
            changes.rings = Some(source.ring_memory());
        }
        (changes, taken, version)
    }

    fn written(&mut self, keeper: &Keeper, version: u64) {
        self.saved_version = version;
        self.pause = Duration::ZERO;
        keeper.view.lock().writes += 1;
        if std::mem::take(&mut self.refused) && !std::mem::replace(&mut self.told_recovered, true) {
            tracing::info!(target: NODE, event = "database_recovered", "the database is written again");
        }
    }

    fn failed(&mut self, keeper: &Keeper, now: Now, error: &DatabaseError) {
        let (text, damaged) = (chain(error), matches!(error, DatabaseError::Damaged { .. }));
        // redb takes nothing more after a failure; a damaged file is set aside when it is opened again.
        self.close();
        self.refused = true;
        self.more = false;
        self.pause = self.pause.saturating_mul(2).clamp(RETRY.0, RETRY.1);
        self.retry_at =
            if damaged && self.pause == RETRY.0 { now.mono } else { now.mono + self.pause };
        {
            let mut view = keeper.view.lock();
            view.failures += 1;
            view.last_error = Some((text.clone(), now.mono));
        }
        let again = if self.told_recovered { WARN_ANEW } else { WARN_AGAIN };
        if self.warned_at.is_none_or(|at| now.mono >= at + again) {
            self.warned_at = Some(now.mono);
            self.told_recovered = false;
            tracing::warn!(
                target: NODE,
                event = "database_refused",
                error = text,
                file = %self.file().display(),
                "what changes is not kept on disk: the node goes on without it, tries again all the time, and would know less after a restart"
            );
        }
    }

    /// Lets go of a file that is of no more use. redb may want to write to it.
    fn close(&mut self) {
        if let Some((database, _)) = self.disk.take() {
            // Whatever it says, there is nothing to be done about it.
            let _ = crate::log::catch(|| drop(database));
        }
    }

    fn reopen(
        &mut self,
        keeper: &Keeper,
        source: &impl Source,
        now: Now,
    ) -> Result<(), DatabaseError> {
        let Opened { database, loaded, set_aside } =
            Database::open_or_set_aside(&self.data_dir, now.unix)?;
        if let Some(set_aside) = set_aside {
            warn_of(&set_aside);
            keeper.view.lock().set_aside = Some(set_aside.to);
        }
        self.disk = Some((database, Shelf::new(self.capacity, &loaded)));
        // It may be an older one, or one that could not be read at the start: what is new in it is taken over.
        source.restore(loaded.graves, loaded.book);
        let mut marked = keeper.marked.lock();
        marked.dirty.add(Dirty::ALL);
        marked.seq = marked.seq.max(loaded.seq);
        (self.saved_version, self.evictions, self.book_at) = (0, 0, now.mono);
        Ok(())
    }

    fn show(&mut self, keeper: &Keeper) {
        let mut view = keeper.view.lock();
        view.saved_version = self.saved_version;
        view.open = self.disk.is_some();
        view.records = self.disk.as_ref().map_or(0, |(_, shelf)| shelf.len());
        view.size = self.disk.as_ref().map_or(0, |(database, _)| database.size());
    }

    fn file(&self) -> PathBuf {
        self.data_dir.join(crate::database::FILE)
    }
}

/// One line on a file that is kept but not used.
pub(crate) fn warn_of(set_aside: &SetAside) {
    tracing::warn!(
        target: NODE,
        event = "database_set_aside",
        set_aside = %set_aside.to.display(),
        reason = set_aside.reason,
        "the database cannot be used and is set aside; the node goes on with a new one, stays who it is, and hears from others what it needs. Nothing reads the old file again: look into what damaged it, or move it back under a version that wrote it, and delete it when it is of no more use"
    );
}
