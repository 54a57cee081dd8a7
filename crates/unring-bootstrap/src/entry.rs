//! One source: what it is doing, what came of it, when it is spoken of.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use unring_peer::{PeerAddress, PeerId};

use crate::candidate::Candidate;
use crate::limits::{ALONE_AFTER, ATTEMPT_LIMIT, QUIET};
use crate::source::{Kind, Outcome};

/// What a source is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Nothing until then.
    Waiting {
        /// When the next attempt begins.
        due: Duration,
    },
    /// It is being asked.
    Asking,
    /// What it told is being dialled.
    Dialling,
}

/// How the last attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastView {
    /// How.
    pub outcome: Outcome,
    /// Addresses it told, this node's own not counted.
    pub addresses: usize,
    /// How many of them somebody answered at.
    pub reached: usize,
    /// What went wrong, for people; at most [`crate::limits::MAX_ERROR_BYTES`].
    pub error: Option<String>,
    /// When.
    pub at: Duration,
}

/// Attempts that ended, by how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u64; Outcome::ALL.len()]);

impl Counts {
    /// Attempts that ended so.
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.0.get(outcome.index()).copied().unwrap_or(0)
    }

    /// All attempts that ended.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn add(&mut self, outcome: Outcome) {
        if let Some(count) = self.0.get_mut(outcome.index()) {
            *count += 1;
        }
    }
}

/// A source as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceView {
    /// What it is.
    pub kind: Kind,
    /// Which one.
    pub name: String,
    /// What it is doing.
    pub activity: Activity,
    /// How its last attempt ended; none before the first.
    pub last: Option<LastView>,
    /// All attempts that ended.
    pub counts: Counts,
}

#[derive(Debug)]
pub(crate) enum Phase {
    Waiting { due: Duration },
    Asking { since: Duration, number: u64 },
    Dialling(Dialling),
}

/// What an attempt found, and what has come of it so far.
#[derive(Debug)]
pub(crate) struct Dialling {
    pub(crate) since: Duration,
    pub(crate) number: u64,
    /// Dials that have not ended.
    pub(crate) open: BTreeSet<Candidate>,
    pub(crate) addresses: usize,
    pub(crate) reached: usize,
    /// The first one.
    pub(crate) error: Option<String>,
}

/// What is said of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Good,
    Nobody,
    Failing,
}

impl Class {
    pub(crate) fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Ok => Self::Good,
            Outcome::OnlySelf | Outcome::Empty => Self::Nobody,
            Outcome::Unreachable | Outcome::Failed | Outcome::TimedOut => Self::Failing,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) phase: Phase,
    /// Attempts in a row after which nobody was connected.
    pub(crate) failures: u32,
    /// Answers in a row that named nobody else.
    pub(crate) told_nobody: u32,
    /// It was added while the node ran.
    pub(crate) is_late: bool,
    /// When it was due before somebody was connected, if it was waiting then.
    pub(crate) due_before: Option<Duration>,
    pub(crate) last: Option<LastView>,
    pub(crate) counts: Counts,
    /// Who was found where.
    pub(crate) peers: BTreeMap<PeerId, BTreeSet<PeerAddress>>,
    /// What is to be said of it, and since when.
    class: Option<(Class, Duration)>,
    /// What was said last, and when.
    told: Option<(Class, Duration)>,
}

impl Entry {
    pub(crate) fn new(now: Duration, kind: Kind, name: String, is_late: bool) -> Self {
        Self {
            kind,
            name,
            phase: Phase::Waiting { due: now },
            failures: 0,
            told_nobody: 0,
            is_late,
            due_before: None,
            last: None,
            counts: Counts::default(),
            peers: BTreeMap::new(),
            class: None,
            told: None,
        }
    }

    /// When something is due by time alone.
    pub(crate) fn next_due(&self) -> Duration {
        let due = match &self.phase {
            Phase::Waiting { due } => *due,
            Phase::Asking { since, .. } => *since + self.kind.ask_limit(),
            Phase::Dialling(dialling) => dialling.since + ATTEMPT_LIMIT,
        };
        self.speaks_at().map_or(due, |at| at.min(due))
    }

    /// Remembers how an attempt ended.
    pub(crate) fn note(&mut self, last: LastView) {
        self.counts.add(last.outcome);
        let class = Class::of(last.outcome);
        if self.class.is_none_or(|(before, _)| before != class) {
            self.class = Some((class, last.at));
        }
        self.last = Some(last);
    }

    /// When it is spoken of, if nothing changes before. A failure is no news while the others may still be starting.
    fn speaks_at(&self) -> Option<Duration> {
        let (class, since) = self.class?;
        let patience = if class == Class::Failing { ALONE_AFTER } else { Duration::ZERO };
        match self.told {
            Some((told, _)) if told == class => None,
            Some((_, at)) => Some((since + patience).max(at + QUIET)),
            None => Some(since + patience),
        }
    }

    /// Whether it is spoken of now.
    pub(crate) fn speaks(&mut self, now: Duration) -> bool {
        let speaks = self.speaks_at().is_some_and(|at| at <= now);
        if speaks {
            self.told = self.class.map(|(class, _)| (class, now));
        }
        speaks
    }

    /// Who was found where; whether that is news. Whoever was there before has gone: an address that leads to another
    /// peer each time, such as a load balancer's, must not add up.
    pub(crate) fn found(&mut self, peer: PeerId, address: PeerAddress) -> bool {
        for (other, addresses) in &mut self.peers {
            if *other != peer {
                addresses.remove(&address);
            }
        }
        self.peers.retain(|_, addresses| !addresses.is_empty());
        self.peers.entry(peer).or_default().insert(address)
    }

    /// Forgets who was found where the source does not point any more; whether somebody was.
    pub(crate) fn forget_others(&mut self, told: &[Candidate]) -> bool {
        let count = |entry: &Self| entry.peers.values().map(BTreeSet::len).sum::<usize>();
        let before = count(self);
        self.peers.retain(|peer, addresses| {
            addresses.retain(|address| {
                let still = |candidate: &Candidate| {
                    candidate.address == *address
                        && candidate.peer.is_none_or(|named| named == *peer)
                };
                told.iter().any(still)
            });
            !addresses.is_empty()
        });
        count(self) != before
    }

    /// Who was found at this address.
    pub(crate) fn who_is_at(&self, address: &PeerAddress) -> Option<PeerId> {
        let mut found = self.peers.iter();
        found.find(|(_, addresses)| addresses.contains(address)).map(|(peer, _)| *peer)
    }

    pub(crate) fn view(&self) -> SourceView {
        SourceView {
            kind: self.kind,
            name: self.name.clone(),
            activity: match &self.phase {
                Phase::Waiting { due } => Activity::Waiting { due: *due },
                Phase::Asking { .. } => Activity::Asking,
                Phase::Dialling(_) => Activity::Dialling,
            },
            last: self.last.clone(),
            counts: self.counts,
        }
    }
}
