//! Our own record: when it is signed anew, and what happens when somebody shows us one that we did not sign.

use std::collections::VecDeque;
use std::time::Duration;

use unring_peer::{GrpcUrl, Join, NodeRecord, PeerAddress, SignedRecord};

use crate::action::{Action, Notice};
use crate::config::{CLONE_PAUSE, CLONE_WINDOW, MAX_CLOCK_SKEW, MIN_SIGN_INTERVAL};
use crate::engine::{Engine, Now};
use crate::verifier::Verifier;

/// Our own record and what it is made of.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) record: Option<SignedRecord>,
    signed_at: Duration,
    seq: u64,
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
            signed_at: Duration::ZERO,
            seq,
            addresses,
            grpc_url,
            sign_at: Duration::ZERO,
            bumps: VecDeque::new(),
            clone_pause_until: None,
            invalid: None,
        }
    }

    /// The record, and since when it says what it says.
    pub(crate) fn news(&self) -> Option<(&SignedRecord, Duration)> {
        self.record.as_ref().map(|record| (record, self.signed_at))
    }

    pub(crate) fn sign_at(&self) -> Duration {
        self.sign_at
    }

    /// When it is to be signed for its age. Others judge it by the wall clock: after a suspension or a step of that clock
    /// it is due earlier than this process has run.
    pub(crate) fn due(&self, now: Now, renewal: Duration) -> Duration {
        // One that cannot be signed is tried again at leisure.
        let Some(record) = self.record.as_ref().filter(|_| self.invalid.is_none()) else {
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

    /// Our own record as last signed.
    #[must_use]
    pub fn own_record(&self) -> Option<&SignedRecord> {
        self.own.record.as_ref()
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
        let same = self.own.record.as_ref().is_some_and(|own| own.record().same_content(&content));
        if !same {
            self.sign_own(now);
        }
    }

    /// Signs our record anew, with a higher `seq` that is on disk before the record goes anywhere.
    pub(crate) fn sign_own(&mut self, now: Now) {
        self.own.sign_at = now.mono + self.renewal();
        let seq = self.own.seq.saturating_add(1).max(now.unix.get());
        let content = NodeRecord { seq, ..self.own_content(now) };
        match SignedRecord::sign(&self.identity, content) {
            Ok(record) => {
                self.own.seq = seq;
                self.own.invalid = None;
                self.actions.push(Action::PersistSeq(seq));
                self.own.record = Some(record);
                self.own.signed_at = now.mono;
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
        for stream in self.streams.values_mut() {
            stream.schedule(now.mono);
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
        self.own.record.as_ref().is_some_and(|own| own.envelope() == envelope)
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
