//! Our own record: when it is signed anew, when it goes out, and what happens when somebody shows us one that we did not
//! sign.

use std::collections::VecDeque;
use std::time::Duration;

use unring_peer::{GrpcUrl, Join, NodeRecord, PeerAddress, SignedRecord};

use crate::action::{Action, Notice};
use crate::book::{Change, Introducer};
use crate::config::{
    CLONE_PAUSE, CLONE_WINDOW, MAX_CLOCK_SKEW, MAX_PERSIST_WAIT, MIN_SIGN_INTERVAL, SEQ_RESERVE,
};
use crate::engine::Engine;
use crate::now::Now;
use crate::renewal::may_wait;
use crate::verifier::Verifier;

/// Our own record and what it is made of.
#[derive(Debug)]
pub(crate) struct Own {
    /// The one that others may see: its `seq` is reserved on disk.
    pub(crate) record: Option<SignedRecord>,
    /// A newer one, until its `seq` is reserved.
    held: Option<SignedRecord>,
    /// When it goes out though it is not: it or one that it replaced has waited so long.
    held_until: Duration,
    signed_at: Duration,
    /// When `record` went out.
    shown_at: Duration,
    /// How long `record` may wait to be passed on.
    may_wait: Duration,
    /// The version of the book with which `record` went out.
    version: u64,
    seq: u64,
    /// Up to which `seq` the disk has reserved, and up to which it was asked to.
    reserved: u64,
    asked_to_reserve: u64,
    addresses: Vec<PeerAddress>,
    grpc_url: Option<GrpcUrl>,
    sign_at: Duration,
    /// When records that we did not sign made us raise our `seq`, within [`CLONE_WINDOW`].
    bumps: VecDeque<Duration>,
    clone_pause_until: Option<Duration>,
    /// Why it could not be signed, so that it is said once.
    invalid: Option<String>,
}

impl Own {
    pub(crate) fn new(seq: u64, addresses: Vec<PeerAddress>, grpc_url: Option<GrpcUrl>) -> Self {
        Self {
            record: None,
            held: None,
            held_until: Duration::ZERO,
            signed_at: Duration::ZERO,
            shown_at: Duration::ZERO,
            may_wait: Duration::ZERO,
            version: 0,
            seq,
            reserved: seq,
            asked_to_reserve: seq,
            addresses,
            grpc_url,
            sign_at: Duration::ZERO,
            bumps: VecDeque::new(),
            clone_pause_until: None,
            invalid: None,
        }
    }

    /// The record that others may see, as a change among those of the book.
    pub(crate) fn news(&self) -> Option<Change<'_>> {
        let &Self { version, shown_at: since, may_wait, .. } = self;
        let introducer = Introducer::default();
        let change = |record| Change { record, introducer, version, since, may_wait };
        self.record.as_ref().map(change)
    }

    /// The record as last signed, whether or not others may see it.
    fn newest(&self) -> Option<&SignedRecord> {
        self.held.as_ref().or(self.record.as_ref())
    }

    /// Whether there is nothing to show yet, but soon.
    pub(crate) fn is_unshown(&self) -> bool {
        self.record.is_none() && self.held.is_some()
    }

    /// When the held one goes out at the latest.
    pub(crate) fn held_until(&self) -> Option<Duration> {
        self.held.as_ref().map(|_| self.held_until)
    }

    pub(crate) fn sign_at(&self) -> Duration {
        self.sign_at
    }

    /// When it is to be signed for its age. Others judge it by the wall clock: after a suspension or a step of that clock
    /// it is due earlier than this process has run.
    pub(crate) fn due(&self, now: Now, renewal: Duration) -> Duration {
        // One that cannot be signed is tried again at leisure.
        let Some(record) = self.newest().filter(|_| self.invalid.is_none()) else {
            return self.sign_at;
        };
        let issued_at = record.record().issued_at;
        if issued_at > now.unix.saturating_add(MAX_CLOCK_SKEW) {
            return self.signed_at + MIN_SIGN_INTERVAL;
        }
        let left = issued_at.saturating_add(renewal).saturating_since(now.unix);
        self.sign_at.min(now.mono + left).max(self.signed_at + MIN_SIGN_INTERVAL)
    }
}

impl<V: Verifier> Engine<V> {
    /// Where others reach us now.
    pub fn set_addresses(
        &mut self,
        now: Now,
        addresses: Vec<PeerAddress>,
        grpc_url: Option<GrpcUrl>,
    ) {
        self.own.addresses = addresses;
        self.own.grpc_url = grpc_url;
        self.refresh_own(now);
    }

    /// Our own record as others may see it: the last one whose `seq` is reserved on disk.
    #[must_use]
    pub fn own_record(&self) -> Option<&SignedRecord> {
        self.own.record.as_ref()
    }

    /// Up to which `seq` the disk was asked to reserve, last by an [`Action::PersistSeq`]: at the start it may be done
    /// before actions are taken, so that the record is there from the first moment.
    #[must_use]
    pub fn seq_to_persist(&self) -> u64 {
        self.own.asked_to_reserve
    }

    /// How old our record may become.
    fn renewal(&self) -> Duration {
        (self.config.record_ttl / 3).max(MIN_SIGN_INTERVAL)
    }

    /// When our record is to be signed for its age alone.
    pub(crate) fn own_due(&self, now: Now) -> Duration {
        self.own.due(now, self.renewal())
    }

    fn own_joins(&self) -> Vec<Join> {
        self.upstreams.values().map(crate::upstream::Upstream::join).collect()
    }

    fn own_content(&self, now: Now) -> NodeRecord {
        NodeRecord {
            seq: self.own.seq,
            issued_at: now.unix,
            ttl: self.config.record_ttl,
            addresses: self.own.addresses.clone(),
            joins: self.own_joins(),
            zone: self.config.zone.clone(),
            version: self.config.version.clone(),
            grpc_url: self.own.grpc_url.clone(),
            ..NodeRecord::new(self.me(), self.config.name.clone())
        }
    }

    /// Signs our record anew if it would say something else: never for a refresh alone.
    pub(crate) fn refresh_own(&mut self, now: Now) {
        let content = self.own_content(now);
        let same = self.own.newest().is_some_and(|own| own.record().same_content(&content));
        if !same {
            self.sign_own(now);
        }
    }

    /// Signs our record anew, with a higher `seq`. It goes out when that is reserved on disk, which it mostly is.
    pub(crate) fn sign_own(&mut self, now: Now) {
        self.own.sign_at = now.mono + self.renewal();
        let next = self.own.seq.saturating_add(1);
        // The clock counts where the reserve ends: at the start, and past what others kept of a lost database.
        let seq = if next <= self.own.reserved { next } else { next.max(now.unix.get()) };
        let content = NodeRecord { seq, ..self.own_content(now) };
        match SignedRecord::sign(&self.identity, content) {
            Ok(record) => {
                let record = self.membership.tagged(record);
                self.own.seq = seq;
                self.own.invalid = None;
                self.own.signed_at = now.mono;
                self.counters.signed += 1;
                if self.own.held.is_none() {
                    self.own.held_until = now.mono + MAX_PERSIST_WAIT;
                }
                self.own.held = Some(record);
                self.reserve(seq);
                self.on_seq_persisted(now, self.own.reserved);
            }
            Err(error) => {
                let reason = error_chain(&error);
                if self.own.invalid.as_ref() != Some(&reason) {
                    self.own.invalid = Some(reason.clone());
                    self.actions.push(Action::Notice(Notice::OwnRecordInvalid { reason }));
                }
            }
        }
        let (me, name) = (self.me(), self.config.name.clone());
        let joins = self.own_joins();
        self.set_detector_joins(now, me, &name, &joins);
    }

    /// Has more reserved when half of it is used.
    fn reserve(&mut self, seq: u64) {
        if seq.saturating_add(SEQ_RESERVE / 2) > self.own.asked_to_reserve {
            self.own.asked_to_reserve = seq.saturating_add(SEQ_RESERVE);
            self.actions.push(Action::PersistSeq { seq: self.own.asked_to_reserve });
        }
    }

    /// Every `seq` up to this one is reserved on disk, or the disk refused: either way our record goes out, since a node
    /// that is not heard of is worse than one whose next `seq` is only kept ahead by the wall clock.
    pub fn on_seq_persisted(&mut self, now: Now, seq: u64) {
        self.own.reserved = self.own.reserved.max(seq);
        if self.own.held.as_ref().is_some_and(|held| held.record().seq <= seq) {
            self.show_own(now);
        }
    }

    /// Lets the held record out when it has waited long enough.
    pub(crate) fn show_own_if_due(&mut self, now: Now) {
        if self.own.held_until().is_some_and(|until| until <= now.mono) {
            self.counters.seqs_unpersisted += 1;
            self.show_own(now);
        }
    }

    fn show_own(&mut self, now: Now) {
        let Some(record) = self.own.held.take() else { return };
        let before = self.own.record.as_ref().map(SignedRecord::record);
        let may_wait = may_wait(before, record.record(), now.unix);
        self.own.record = Some(record);
        self.own.shown_at = now.mono;
        self.own.may_wait = may_wait;
        self.own.version = self.book.next_version();
        for stream in self.streams.values_mut() {
            stream.schedule(now.mono, may_wait);
        }
    }

    /// Whether a record of ours with this `seq` would change anything.
    pub(crate) fn is_news_of_us(&self, now: Now, seq: u64) -> bool {
        seq >= self.own.seq && self.own.clone_pause_until.is_none_or(|until| now.mono >= until)
    }

    /// A valid record of ours that is not the one we hold. Newer or as new: our database was lost, and nobody would
    /// hear us again until our clock passes that `seq`; so we go on from there.
    pub(crate) fn on_foreign_own_record(&mut self, now: Now, foreign: &SignedRecord) {
        self.own.bumps.retain(|at| now.mono < *at + CLONE_WINDOW);
        if !self.own.bumps.is_empty() {
            self.own.bumps.clear();
            self.own.clone_pause_until = Some(now.mono + CLONE_PAUSE);
            let NodeRecord { name, addresses, .. } = foreign.record();
            let addresses = addresses.iter().map(ToString::to_string).collect();
            self.actions
                .push(Action::Notice(Notice::ClonedIdentity { name: name.clone(), addresses }));
            return;
        }
        self.own.bumps.push_back(now.mono);
        self.own.seq = foreign.record().seq;
        self.sign_own(now);
        self.actions.push(Action::Notice(Notice::SeqAdopted { seq: self.own.seq }));
    }

    pub(crate) fn is_own_record(&self, envelope: &[u8]) -> bool {
        let mut ours = self.own.record.iter().chain(&self.own.held);
        ours.any(|own| own.envelope() == envelope)
    }
}

/// An error with its causes, for people.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
