//! The book across a restart: what is to be written to disk, and what comes back from there.
//!
//! A disk is trusted no further than a caller: each record is verified again, judged by its signed times, and never
//! beats a newer one.

use std::collections::BTreeSet;

use unring_peer::{PeerId, SignedRecord, UnixMillis, UnverifiedRecord, limits};

use crate::book::{Introducer, Judgement, KeptOut};
use crate::engine::Engine;
use crate::now::Now;
use crate::verifier::Verifier;

/// What became of the records that were on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// In the book again.
    pub kept: usize,
    /// Left out: their time was over.
    pub expired: usize,
    /// Left out: issued more than [`MAX_CLOCK_SKEW`](crate::config::MAX_CLOCK_SKEW) ahead of our clock, which may be what
    /// is wrong.
    pub clock_skew: usize,
    /// Left out: their node did not sign them.
    pub invalid: usize,
    /// Left out: a newer one is known, or expired before.
    pub superseded: usize,
    /// Left out: the book is full, since its capacity was lowered.
    pub full: usize,
    /// Left out: their nodes do not belong to the cluster as it is configured now.
    pub not_members: usize,
}

impl Restored {
    /// How many were left out.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.expired
            + self.clock_skew
            + self.invalid
            + self.superseded
            + self.full
            + self.not_members
    }
}

/// A record that expired, whose older versions must not come back (law L3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grave {
    /// Whose it was.
    pub peer: PeerId,
    /// Its version.
    pub seq: u64,
    /// When nothing older can be valid any more.
    pub until: UnixMillis,
}

impl Grave {
    /// Of a record of `peer` with this `seq` that expired by `now`.
    #[must_use]
    pub fn dug(now: UnixMillis, peer: PeerId, seq: u64) -> Self {
        Self { peer, seq, until: now.saturating_add(limits::MAX_TTL) }
    }
}

impl<V: Verifier> Engine<V> {
    /// What expired before the restart. To be called before [`restore_book`](Self::restore_book), which it overrules.
    /// At most as many as the book holds are kept.
    pub fn restore_graves(&mut self, now: Now, graves: impl IntoIterator<Item = Grave>) {
        let latest = now.unix.saturating_add(limits::MAX_TTL);
        for Grave { peer, seq, until } in graves {
            if until > now.unix && self.book.get(&peer).is_none() {
                self.book.restore_grave(peer, seq, until.min(latest));
            }
        }
    }

    /// Takes records from disk into the book, as if they had just come. It costs the check of a signature for each that
    /// is kept, or has expired since: no older one of its node comes back after it (law L3). They are charged to ourselves, so that they leave every caller its share; the tenth of the book that is
    /// for nodes which bring their own record stays free.
    pub fn restore_book(&mut self, now: Now, mut records: Vec<UnverifiedRecord>) -> Restored {
        let mut restored = Restored::default();
        // If there is no room for all, those that are valid longest stay.
        records.sort_by_key(|record| std::cmp::Reverse(record.claimed().expires_at()));
        for record in records {
            let count = match self.restore(now, record) {
                Ok(()) => &mut restored.kept,
                Err(Left::Superseded) => &mut restored.superseded,
                Err(Left::Invalid) => &mut restored.invalid,
                Err(Left::NotAMember) => &mut restored.not_members,
                Err(Left::Out(KeptOut::Expired)) => &mut restored.expired,
                Err(Left::Out(KeptOut::ClockSkew)) => &mut restored.clock_skew,
                Err(Left::Out(KeptOut::BookFull | KeptOut::IntroducerFull)) => &mut restored.full,
            };
            *count += 1;
        }
        restored
    }

    fn restore(&mut self, now: Now, record: UnverifiedRecord) -> Result<(), Left> {
        let (me, peer) = (self.me(), record.peer_id());
        if peer == me {
            return Err(Left::Superseded);
        }
        match self.book.judge(now.unix, &record) {
            Ok(Judgement::Wanted) => {}
            Ok(Judgement::Known | Judgement::Older) => return Err(Left::Superseded),
            Err(KeptOut::Expired) => return Err(self.bury(now, record)),
            Err(why) => return Err(why.into()),
        }
        if self.membership.check_unverified(&record).is_err() {
            self.book.note_kept_out();
            return Err(Left::NotAMember);
        }
        let introducer = Introducer { peer: Some(me), stream: None };
        self.book.room_for(&peer, introducer, self.config.book_capacity.get())?;
        let record = self.verifier.verify_record(record).map_err(|_| Left::Invalid)?;
        self.keep(now, record, introducer);
        Ok(())
    }

    /// A record expired while the node was down: it is dead as if the node had seen it die.
    fn bury(&mut self, now: Now, record: UnverifiedRecord) -> Left {
        let (peer, seq) = (record.peer_id(), record.seq());
        if self.verifier.verify_record(record).is_err() {
            return Left::Invalid;
        }
        self.restore_graves(now, [Grave::dug(now.unix, peer, seq)]);
        Left::Out(KeptOut::Expired)
    }

    /// The version of the last change of the book; it only grows.
    #[must_use]
    pub fn book_version(&self) -> u64 {
        self.book.version()
    }

    /// At most `at_most` records that changed after `version`, in the order of their changes, and the version up to
    /// which nothing is left out with them: what to ask from next. A record that changed again comes once, as it is
    /// now, so that a disk which is slow or full for a while has no more to catch up with than the book holds.
    #[must_use]
    pub fn book_changes(&self, version: u64, at_most: usize) -> (Vec<SignedRecord>, u64) {
        let mut changes = self.book.changes_since(version);
        let (mut records, mut upto) = (Vec::new(), version);
        for change in changes.by_ref().take(at_most) {
            records.push(change.record.clone());
            upto = change.version;
        }
        let upto = if changes.next().is_none() { self.book.version() } else { upto };
        (records, upto)
    }

    /// How often somebody left the book, or was not restored, for not belonging to the cluster: when it grows, what is on
    /// disk beside [`known_peers`](Self::known_peers) is to go.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.book.evictions()
    }

    /// Everybody in the book.
    #[must_use]
    pub fn known_peers(&self) -> BTreeSet<PeerId> {
        self.book.iter().map(|record| record.record().peer_id).collect()
    }

    /// How many records changed after `version`.
    #[must_use]
    pub fn book_changes_pending(&self, version: u64) -> usize {
        self.book.changes_since(version).count()
    }

    /// Whether the record of `peer` changed last at or before `version`.
    #[must_use]
    pub fn is_unchanged_since(&self, version: u64, peer: &PeerId) -> bool {
        self.book.version_of(peer).is_some_and(|changed| changed <= version)
    }
}

/// Why a record from disk is not kept.
enum Left {
    Superseded,
    Invalid,
    NotAMember,
    Out(KeptOut),
}

impl From<KeptOut> for Left {
    fn from(why: KeptOut) -> Self {
        Self::Out(why)
    }
}
