//! Which records are on disk, and what is to be done there: an index in memory, so that the disk is read only once.

use std::collections::{BTreeMap, BTreeSet};

use unring_exchange::Grave;
use unring_peer::{PeerId, SignedRecord, UnixMillis};

use super::Loaded;

/// Bytes of records on disk at most: a full book of usual records, which take 1 KiB, eight times over. At the bound the
/// record that expires first makes room: it is still in the book, and heard again after a restart.
pub const MAX_BOOK_BYTES: usize = 32 * 1024 * 1024;

/// The records on disk: at most as many as the book holds, and [`MAX_BOOK_BYTES`]; and as many graves.
#[derive(Debug)]
pub(crate) struct Shelf {
    capacity: usize,
    rows: BTreeMap<PeerId, Row>,
    by_expiry: BTreeSet<(UnixMillis, PeerId)>,
    bytes: usize,
    graves: BTreeMap<PeerId, UnixMillis>,
    by_end: BTreeSet<(UnixMillis, PeerId)>,
    unreadable: BTreeSet<Vec<u8>>,
}

#[cfg(test)]
type Contents = (Vec<(PeerId, u64, UnixMillis)>, Vec<(PeerId, UnixMillis)>);

#[derive(Clone, Copy, Debug)]
struct Row {
    seq: u64,
    expires_at: UnixMillis,
    bytes: usize,
}

/// What is to be done on disk.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Keys of rows to take out.
    pub(super) removed: BTreeSet<Vec<u8>>,
    /// Records that expired.
    pub(super) buried: Vec<Grave>,
    /// Records that are new or newer.
    pub(super) written: Vec<SignedRecord>,
}

impl Plan {
    /// Takes out these rows, too, but for those that are written.
    pub(crate) fn remove(&mut self, keys: BTreeSet<Vec<u8>>) {
        self.removed.extend(keys);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.buried.is_empty() && self.written.is_empty()
    }
}

impl Shelf {
    /// What a database holds, for a book of this capacity.
    pub(crate) fn new(capacity: usize, loaded: &Loaded) -> Self {
        let mut shelf = Self {
            capacity,
            rows: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            bytes: 0,
            graves: BTreeMap::new(),
            by_end: BTreeSet::new(),
            unreadable: loaded.unreadable.clone(),
        };
        for record in &loaded.book {
            let (seq, expires_at) = (record.seq(), record.claimed().expires_at());
            shelf.put(record.peer_id(), Row { seq, expires_at, bytes: record.wire_bytes() });
        }
        for grave in &loaded.graves {
            shelf.dig(grave);
        }
        shelf
    }

    /// Bytes of them.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Version and end of each record, and end of each grave.
    #[cfg(test)]
    pub(super) fn contents(&self) -> Contents {
        assert_eq!(self.rows.len(), self.by_expiry.len());
        assert_eq!(self.bytes, self.rows.values().map(|row| row.bytes).sum::<usize>());
        assert_eq!(self.graves.len(), self.by_end.len());
        let rows = self.rows.iter().map(|(peer, row)| (*peer, row.seq, row.expires_at));
        let graves = self.graves.iter().map(|(peer, end)| (*peer, *end));
        (rows.collect(), graves.collect())
    }

    /// Records on disk.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether something on disk is over, so that a [plan](Self::plan) is worth it without news.
    pub(crate) fn is_due(&self, now: UnixMillis) -> bool {
        let first = self.by_expiry.first().into_iter().chain(self.by_end.first());
        !self.unreadable.is_empty() || first.into_iter().any(|(at, _)| *at <= now)
    }

    /// Takes out the records of everybody who is not `known`, though their time is not over; the keys of their rows.
    pub(crate) fn keep_only(&mut self, known: &BTreeSet<PeerId>) -> BTreeSet<Vec<u8>> {
        let gone: Vec<_> = self.rows.keys().filter(|peer| !known.contains(peer)).copied().collect();
        gone.iter().for_each(|peer| _ = self.take(peer));
        gone.iter().map(|peer| peer.to_bytes()).collect()
    }

    /// What is to be done on disk with these new records, and what is over. It is taken to be done: when it fails, a new
    /// shelf is made of what the database really holds.
    pub(crate) fn plan(&mut self, now: UnixMillis, records: Vec<SignedRecord>) -> Plan {
        let mut plan = Plan { removed: std::mem::take(&mut self.unreadable), ..Plan::default() };
        while let Some((_, peer)) = self.by_expiry.first().copied().filter(|(at, _)| *at <= now) {
            if let Some(row) = self.take(&peer) {
                let grave = Grave::dug(now, peer, row.seq);
                self.dig(&grave);
                plan.buried.push(grave);
            }
        }
        let mut written: BTreeMap<PeerId, SignedRecord> = BTreeMap::new();
        for record in records {
            let (peer, bytes) = (record.record().peer_id, record.wire_bytes());
            let (seq, expires_at) = (record.record().seq, record.record().expires_at());
            if expires_at <= now || bytes > MAX_BOOK_BYTES {
                continue;
            }
            self.take(&peer);
            while self.rows.len() >= self.capacity || self.bytes + bytes > MAX_BOOK_BYTES {
                let Some((_, first)) = self.by_expiry.first().copied() else { break };
                self.take(&first);
                written.remove(&first);
                plan.removed.insert(first.to_bytes());
            }
            self.fill(&peer);
            self.put(peer, Row { seq, expires_at, bytes });
            written.insert(peer, record);
        }
        while let Some((_, peer)) = self
            .by_end
            .first()
            .copied()
            .filter(|(end, _)| *end <= now || self.graves.len() > self.capacity)
        {
            self.fill(&peer);
            plan.removed.insert(peer.to_bytes());
        }
        plan.buried.retain(|grave| self.graves.contains_key(&grave.peer));
        plan.written = written.into_values().collect();
        plan
    }

    fn put(&mut self, peer: PeerId, row: Row) {
        self.take(&peer);
        self.bytes += row.bytes;
        self.by_expiry.insert((row.expires_at, peer));
        self.rows.insert(peer, row);
    }

    fn take(&mut self, peer: &PeerId) -> Option<Row> {
        let row = self.rows.remove(peer)?;
        self.bytes -= row.bytes;
        self.by_expiry.remove(&(row.expires_at, *peer));
        Some(row)
    }

    fn dig(&mut self, grave: &Grave) {
        self.fill(&grave.peer);
        self.by_end.insert((grave.until, grave.peer));
        self.graves.insert(grave.peer, grave.until);
    }

    fn fill(&mut self, peer: &PeerId) {
        if let Some(end) = self.graves.remove(peer) {
            self.by_end.remove(&(end, *peer));
        }
    }
}
