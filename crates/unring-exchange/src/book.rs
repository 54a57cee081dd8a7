//! The records this node knows of others: merged by `seq`, expired by their signed times, bounded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::Duration;

use thiserror::Error;
use unring_peer::{PeerId, SignedRecord, UnixMillis, UnverifiedRecord};

use crate::config::MAX_CLOCK_SKEW;
use crate::graves::Graves;
use crate::id::StreamId;
use crate::now::Now;
use crate::renewal::may_wait;

/// Who brought a record: charged for it, and not sent it back. Nobody brought our own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// Whose share it counts against, as long as the node is known; nobody's for a node that brought its own record.
    charged: Option<Account>,
    version: u64,
    /// When it came, on the engine's monotonic clock.
    since: Duration,
    /// How long it may wait to be passed on; zero unless it is a renewal.
    may_wait: Duration,
    /// Where on its shelf the record is.
    place: usize,
}

/// A record that changed, for streams.
#[derive(Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) record: &'a SignedRecord,
    pub(crate) introducer: Introducer,
    pub(crate) version: u64,
    pub(crate) since: Duration,
    /// How long it may wait to be passed on.
    pub(crate) may_wait: Duration,
}

impl Change<'_> {
    /// When a stream that holds what it sends for `hold` has to send it.
    pub(crate) fn due(&self, hold: Duration) -> Duration {
        self.since + hold.max(self.may_wait)
    }
}

/// Who is charged for hearsay. All anonymous callers together are one.
type Account = Option<PeerId>;

/// The records once more, so that an answer takes its own without looking at every other.
#[derive(Debug, Default)]
struct Shelves {
    /// Of nodes that another node joins.
    topology: Vec<SignedRecord>,
    others: Vec<SignedRecord>,
}

impl Shelves {
    fn of(&mut self, joined_to: bool) -> &mut Vec<SignedRecord> {
        if joined_to { &mut self.topology } else { &mut self.others }
    }
}

/// The known records. Every method is O(log n) or better, but for [`Book::iter`].
#[derive(Debug)]
pub(crate) struct Book {
    entries: HashMap<PeerId, Entry>,
    /// Order of change, for streams: a record that changes moves to the end.
    by_version: BTreeMap<u64, SignedRecord>,
    /// Each with its version.
    by_expiry: BTreeSet<(UnixMillis, u64)>,
    introduced: HashMap<Account, usize>,
    /// How many records join each node.
    joined_to: HashMap<PeerId, usize>,
    shelves: Shelves,
    graves: Graves,
    version: u64,
    /// The highest version of a record that expired.
    expired_version: u64,
    /// Changes with every record that comes, goes or moves.
    revision: u64,
    /// Times that somebody was kept out.
    evictions: u64,
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
            shelves: Shelves::default(),
            graves: Graves::new(capacity),
            version: 0,
            expired_version: 0,
            revision: 0,
            evictions: 0,
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
        if self.graves.hold_newer(&record.peer_id(), record.seq()) {
            return Ok(Judgement::Older);
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

    /// Whether there is room for a record of `peer`. `share` is how many nodes the introducer may bring.
    ///
    /// At the cap a newcomer is kept out and nothing known is forgotten. A tenth of the room is for nodes that bring
    /// their own record, so that hearsay cannot keep out a node that really calls. A newer record of a known node takes
    /// no room and always finds it.
    pub(crate) fn room_for(
        &self,
        peer: &PeerId,
        introducer: Introducer,
        share: usize,
    ) -> Result<(), KeptOut> {
        if self.entries.contains_key(peer) {
            return Ok(());
        }
        let own_record = introducer.peer == Some(*peer);
        let room = if own_record { self.capacity } else { self.capacity - self.capacity / 10 };
        if self.entries.len() >= room {
            return Err(KeptOut::BookFull);
        }
        let held = self.introduced.get(&introducer.peer).copied().unwrap_or_default();
        if !own_record && held >= share {
            return Err(KeptOut::IntroducerFull);
        }
        Ok(())
    }

    /// Keeps a record that [`judge`](Self::judge) wanted and that there is [room for](Self::room_for), and says how long it
    /// may wait to be passed on.
    pub(crate) fn insert(
        &mut self,
        now: Now,
        record: SignedRecord,
        introducer: Introducer,
    ) -> Duration {
        let peer = record.record().peer_id;
        let before = self.remove(&peer);
        let known = before.as_ref().map(|before| before.record.record());
        let may_wait = may_wait(known, record.record(), now.unix);
        self.graves.open(&peer);
        let charged = match before {
            _ if introducer.peer == Some(peer) => None,
            Some(before) => before.charged,
            None => Some(introducer.peer),
        };
        let version = self.next_version();
        for target in targets(&record) {
            let count = self.joined_to.entry(target).or_default();
            *count += 1;
            if *count == 1 {
                self.reshelve(&target, false);
            }
        }
        if let Some(account) = charged {
            *self.introduced.entry(account).or_default() += 1;
        }
        self.by_version.insert(version, record.clone());
        self.by_expiry.insert((record.record().expires_at(), version));
        let joined_to = self.is_joined_to(&peer);
        let shelf = self.shelves.of(joined_to);
        let place = shelf.len();
        shelf.push(record.clone());
        let since = now.mono;
        let entry = Entry { record, introducer, charged, version, since, may_wait, place };
        self.entries.insert(peer, entry);
        may_wait
    }

    /// Takes out every record whose time is over. An older one does not come back for as long as it could be valid.
    pub(crate) fn expire(&mut self, now: UnixMillis) -> Vec<PeerId> {
        let mut expired = Vec::new();
        while let Some((at, version)) = self.by_expiry.first().copied().filter(|(at, _)| *at <= now)
        {
            self.by_expiry.remove(&(at, version));
            let Some(record) = self.by_version.get(&version) else { continue };
            let peer = record.record().peer_id;
            if let Some(entry) = self.remove(&peer) {
                self.expired_version = self.expired_version.max(entry.version);
                self.graves.dig(now, peer, entry.record.record().seq);
            }
            expired.push(peer);
        }
        self.graves.clear(now);
        expired
    }

    /// Takes out a record whose time is not over. It may come back.
    pub(crate) fn evict(&mut self, peer: &PeerId) {
        self.evictions += 1;
        if let Some(entry) = self.remove(peer) {
            // Whoever was told of it may keep it: it is not to be told that it has everything.
            self.expired_version = self.expired_version.max(entry.version);
        }
    }

    /// How often somebody was taken out who does not belong to the cluster, or was not taken back from disk for it.
    pub(crate) fn evictions(&self) -> u64 {
        self.evictions
    }

    /// A record on disk is of somebody who does not belong to the cluster.
    pub(crate) fn note_kept_out(&mut self) {
        self.evictions += 1;
    }

    /// A record expired before a restart.
    pub(crate) fn restore_grave(&mut self, peer: PeerId, seq: u64, until: UnixMillis) {
        self.graves.dig_until(until, peer, seq);
    }

    #[cfg(test)]
    pub(crate) fn graves(&self) -> &Graves {
        &self.graves
    }

    /// Whether an empty book has forgotten all that it kept about records.
    #[cfg(test)]
    pub(crate) fn is_clean(&self) -> bool {
        self.entries.is_empty()
            && self.by_version.is_empty()
            && self.by_expiry.is_empty()
            && self.introduced.is_empty()
            && self.joined_to.is_empty()
            && self.shelves.topology.is_empty()
            && self.shelves.others.is_empty()
    }

    /// When the next record expires.
    pub(crate) fn next_expiry(&self) -> Option<UnixMillis> {
        self.by_expiry.first().map(|(at, _)| *at)
    }

    fn remove(&mut self, peer: &PeerId) -> Option<Entry> {
        let entry = self.entries.remove(peer)?;
        self.revision += 1;
        self.by_version.remove(&entry.version);
        self.by_expiry.remove(&(entry.record.record().expires_at(), entry.version));
        let joined_to = self.is_joined_to(peer);
        self.unshelve(entry.place, joined_to);
        for target in targets(&entry.record) {
            if decrement(&mut self.joined_to, target) {
                self.reshelve(&target, true);
            }
        }
        if let Some(account) = entry.charged {
            decrement(&mut self.introduced, account);
        }
        Some(entry)
    }

    /// The record of `peer`, if there is one, moves to the other shelf.
    fn reshelve(&mut self, peer: &PeerId, was_joined_to: bool) {
        let Some(place) = self.entries.get(peer).map(|entry| entry.place) else { return };
        let Some(record) = self.unshelve(place, was_joined_to) else { return };
        let shelf = self.shelves.of(!was_joined_to);
        let place = shelf.len();
        shelf.push(record);
        if let Some(entry) = self.entries.get_mut(peer) {
            entry.place = place;
        }
    }

    /// Takes a record off its shelf. The last one takes its place.
    fn unshelve(&mut self, place: usize, joined_to: bool) -> Option<SignedRecord> {
        let shelf = self.shelves.of(joined_to);
        if place >= shelf.len() {
            return None;
        }
        let record = shelf.swap_remove(place);
        let moved = shelf.get(place).map(|record| record.record().peer_id);
        if let Some(entry) = moved.and_then(|peer| self.entries.get_mut(&peer)) {
            entry.place = place;
        }
        Some(record)
    }

    /// The records of all nodes that another node joins, in no order.
    pub(crate) fn topology(&self) -> &[SignedRecord] {
        &self.shelves.topology
    }

    /// The records of all others, in no order.
    pub(crate) fn others(&self) -> &[SignedRecord] {
        &self.shelves.others
    }

    pub(crate) fn get(&self, peer: &PeerId) -> Option<&SignedRecord> {
        self.entries.get(peer).map(|entry| &entry.record)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Every record, those that changed last at the end.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &SignedRecord> {
        self.by_version.values()
    }

    /// Whether another node joins `peer`.
    pub(crate) fn is_joined_to(&self, peer: &PeerId) -> bool {
        self.joined_to.contains_key(peer)
    }

    /// Whether `peer` brought its own record, so that it really is there.
    pub(crate) fn brought_itself(&self, peer: &PeerId) -> bool {
        self.entries.get(peer).is_some_and(|entry| entry.charged.is_none())
    }

    /// The version of the last change; it only grows.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Another one for every other content of the book or of our own record: unlike the version, also when a record expires.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// A version for a change beside the book: of our own record, which streams tell among the others.
    pub(crate) fn next_version(&mut self) -> u64 {
        self.revision += 1;
        self.version += 1;
        self.version
    }

    /// Whether [`changes_since`](Self::changes_since) `version` is all that somebody lacks who was told everything up to it.
    ///
    /// What expired since is not among the changes. Whoever has the version that expired lets it go by itself, at the
    /// same signed time; whoever has an older one might keep it for longer and has to start over.
    pub(crate) fn can_resume_after(&self, version: u64) -> bool {
        (self.expired_version..=self.version).contains(&version)
    }

    /// What changed after `version`, in the order of the changes.
    pub(crate) fn changes_since(&self, version: u64) -> impl Iterator<Item = Change<'_>> {
        let changed = self.by_version.range(version.saturating_add(1)..);
        changed.filter_map(|(version, record)| {
            let Entry { introducer, since, may_wait, .. } =
                self.entries.get(&record.record().peer_id)?;
            let (introducer, version) = (*introducer, *version);
            Some(Change { record, introducer, version, since: *since, may_wait: *may_wait })
        })
    }

    /// The version at which the record of `peer` changed last.
    pub(crate) fn version_of(&self, peer: &PeerId) -> Option<u64> {
        self.entries.get(peer).map(|entry| entry.version)
    }
}

fn targets(record: &SignedRecord) -> BTreeSet<PeerId> {
    let peer = record.record().peer_id;
    let joins = record.record().joins.iter();
    joins.flat_map(|join| &join.targets).copied().filter(|target| *target != peer).collect()
}

/// Whether it was the last one.
fn decrement<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) -> bool {
    let Some(count) = counts.get_mut(&key) else { return false };
    *count -= 1;
    let last = *count == 0;
    if last {
        counts.remove(&key);
    }
    last
}
