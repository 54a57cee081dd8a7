//! The records this node knows of others: merged by `seq`, expired by their signed times, bounded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;

use thiserror::Error;
use unring_peer::{PeerId, SignedRecord, UnixMillis, UnverifiedRecord};

use crate::config::MAX_CLOCK_SKEW;
use crate::stream::StreamId;

/// Who brought a record: charged for it, and not sent it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Introducer {
    /// The authenticated caller or upstream; none for an anonymous one.
    pub(crate) peer: Option<PeerId>,
    /// The stream it came on, if it came on one.
    pub(crate) stream: Option<StreamId>,
}

/// What the book thinks of a record before its signature is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// New or newer.
    Wanted,
    /// Exactly what the book has.
    Known,
    /// The book has a newer one.
    Older,
}

/// Why a record is kept out.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum KeptOut {
    /// Its time is over: a dead node does not come back (law L3).
    #[error("the record expired")]
    Expired,
    /// It is signed for a time too far ahead.
    #[error("the record is issued in the future")]
    ClockSkew,
    /// The book is full.
    #[error("the book is full")]
    BookFull,
    /// Who brought it has brought enough.
    #[error("the introducer's share of the book is used up")]
    IntroducerFull,
}

#[derive(Debug)]
struct Entry {
    record: SignedRecord,
    introducer: Introducer,
    version: u64,
}

/// The known records. Every method is O(log n) or better, but for [`Book::iter`].
#[derive(Debug)]
pub(crate) struct Book {
    entries: HashMap<PeerId, Entry>,
    /// Order of change, for streams: a record that changes moves to the end.
    by_version: BTreeMap<u64, PeerId>,
    by_expiry: BTreeSet<(UnixMillis, PeerId)>,
    introduced: HashMap<PeerId, usize>,
    /// How many records join each node.
    joined_to: HashMap<PeerId, usize>,
    version: u64,
    capacity: usize,
}

impl Book {
    pub(crate) fn new(capacity: NonZeroUsize) -> Self {
        Self {
            entries: HashMap::new(),
            by_version: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            introduced: HashMap::new(),
            joined_to: HashMap::new(),
            version: 0,
            capacity: capacity.get(),
        }
    }

    /// What to do with a record, before its signature is checked.
    pub(crate) fn judge(
        &self,
        now: UnixMillis,
        record: &UnverifiedRecord,
    ) -> Result<Judgement, KeptOut> {
        if let Some(entry) = self.entries.get(&record.peer_id()) {
            let known = entry.record.record().seq;
            if record.seq() < known {
                return Ok(Judgement::Older);
            }
            if record.seq() == known {
                return Ok(Judgement::Known);
            }
        }
        let claimed = record.claimed();
        if claimed.expires_at() <= now {
            return Err(KeptOut::Expired);
        }
        if claimed.issued_at > now.saturating_add(MAX_CLOCK_SKEW) {
            return Err(KeptOut::ClockSkew);
        }
        Ok(Judgement::Wanted)
    }

    /// Keeps a record that [`judge`](Self::judge) wanted. `share` is how many records the introducer may bring.
    ///
    /// At the cap a newcomer is kept out and nothing known is forgotten. A tenth of the room is for nodes that bring
    /// their own record, so that hearsay cannot keep out a node that really calls.
    pub(crate) fn insert(
        &mut self,
        record: SignedRecord,
        introducer: Introducer,
        share: usize,
    ) -> Result<(), KeptOut> {
        let peer = record.record().peer_id;
        let own_record = introducer.peer == Some(peer);
        if !self.entries.contains_key(&peer) {
            let room = if own_record { self.capacity } else { self.capacity - self.capacity / 10 };
            if self.entries.len() >= room {
                return Err(KeptOut::BookFull);
            }
        }
        if let Some(introducer) = introducer.peer.filter(|_| !own_record) {
            let held = self
                .entries
                .get(&peer)
                .is_some_and(|entry| entry.introducer.peer == Some(introducer));
            if !held && self.introduced.get(&introducer).is_some_and(|count| *count >= share) {
                return Err(KeptOut::IntroducerFull);
            }
        }
        self.remove(&peer);
        self.version += 1;
        for target in targets(&record) {
            *self.joined_to.entry(target).or_default() += 1;
        }
        if let Some(introducer) = introducer.peer {
            *self.introduced.entry(introducer).or_default() += 1;
        }
        self.by_version.insert(self.version, peer);
        self.by_expiry.insert((record.record().expires_at(), peer));
        self.entries.insert(peer, Entry { record, introducer, version: self.version });
        Ok(())
    }

    /// Takes out every record whose time is over.
    pub(crate) fn expire(&mut self, now: UnixMillis) -> Vec<PeerId> {
        let mut expired = Vec::new();
        while let Some((_, peer)) = self.by_expiry.first().copied().filter(|(at, _)| *at <= now) {
            self.remove(&peer);
            expired.push(peer);
        }
        expired
    }

    /// When the next record expires.
    pub(crate) fn next_expiry(&self) -> Option<UnixMillis> {
        self.by_expiry.first().map(|(at, _)| *at)
    }

    fn remove(&mut self, peer: &PeerId) {
        let Some(Entry { record, introducer, version }) = self.entries.remove(peer) else { return };
        self.by_version.remove(&version);
        self.by_expiry.remove(&(record.record().expires_at(), *peer));
        for target in targets(&record) {
            decrement(&mut self.joined_to, target);
        }
        if let Some(introducer) = introducer.peer {
            decrement(&mut self.introduced, introducer);
        }
    }

    pub(crate) fn get(&self, peer: &PeerId) -> Option<&SignedRecord> {
        self.entries.get(peer).map(|entry| &entry.record)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Every record, those that changed last at the end.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &SignedRecord> {
        self.by_version.values().filter_map(|peer| self.get(peer))
    }

    /// Whether another node joins `peer`.
    pub(crate) fn is_joined_to(&self, peer: &PeerId) -> bool {
        self.joined_to.contains_key(peer)
    }

    /// The version of the last change; it only grows.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// What changed after `version`, with who brought it.
    pub(crate) fn changes_since(
        &self,
        version: u64,
    ) -> impl Iterator<Item = (&SignedRecord, Introducer)> {
        self.by_version
            .range(version.saturating_add(1)..)
            .filter_map(|(_, peer)| self.entries.get(peer))
            .map(|entry| (&entry.record, entry.introducer))
    }
}

fn targets(record: &SignedRecord) -> BTreeSet<PeerId> {
    let peer = record.record().peer_id;
    let joins = record.record().joins.iter();
    joins.flat_map(|join| &join.targets).copied().filter(|target| *target != peer).collect()
}

fn decrement(counts: &mut HashMap<PeerId, usize>, peer: PeerId) {
    if let Some(count) = counts.get_mut(&peer) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&peer);
        }
    }
}
