//! When to speak of the local node's ring of one kind.

use std::time::Duration;

use crate::{
    config::Config,
    memory::RememberedRing,
    model::{Event, Ring, RingId, RingKind, Voice},
};

/// The instants of the monotonic clock and the wall clock that belong together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) mono: Duration,
    pub(crate) unix_ms: u64,
}

/// The last line in the log about a ring.
#[derive(Debug, Clone)]
struct Spoken<N> {
    id: RingId,
    members: Vec<N>,
    witness: Vec<N>,
    unix_ms: u64,
    /// No other line before this.
    quiet_until: Duration,
    remind_at: Duration,
    /// Not yet said to be gone.
    open: bool,
}

/// Follows one kind of ring of the local node. There is at most one of each at a time (components are disjoint), and any
/// two of them overlap in the local node, so this is all the identity that a ring has.
#[derive(Debug)]
pub(crate) struct Watch<N> {
    kind: RingKind,
    /// As of the last analysis.
    current: Option<Ring<N>>,
    /// The last one that was there.
    last: Option<Ring<N>>,
    /// Members at the last event, loud or quiet; none before the first and after the ring was gone.
    settled: Option<Vec<N>>,
    /// Of `settled`. Ids are compared instead of members wherever it happens at each event: a ring may have thousands.
    settled_id: Option<RingId>,
    spoken: Option<Spoken<N>>,
    /// When the members last changed.
    changed_at: Option<Duration>,
    /// Since when they have differed from `settled`, ignoring returns shorter than the settle time: a ring that flaps faster
    /// than that is announced too.
    differs_since: Duration,
    /// A member that closes the ring has been seen as a caller.
    pub(crate) corroborated: bool,
    /// The ring is not there, and that is known rather than a lack of knowledge.
    is_known_gone: bool,
}

impl<N: Clone + PartialEq> Watch<N> {
    pub(crate) fn new(kind: RingKind) -> Self {
        Watch {
            kind,
            current: None,
            last: None,
            settled: None,
            settled_id: None,
            spoken: None,
            changed_at: None,
            differs_since: Duration::ZERO,
            corroborated: false,
            is_known_gone: false,
        }
    }

    pub(crate) fn kind(&self) -> RingKind {
        self.kind
    }

    pub(crate) fn current(&self) -> Option<&Ring<N>> {
        self.current.as_ref()
    }

    /// The last ring that was there, or remembered, if it was the ground of an event.
    pub(crate) fn settled_ring(&self) -> Option<&Ring<N>> {
        self.last.as_ref().filter(|_| self.settled.is_some())
    }

    fn id(&self) -> Option<RingId> {
        self.current.as_ref().map(|ring| ring.id)
    }

    /// Takes in the result of an analysis.
    pub(crate) fn observe(&mut self, ring: Option<Ring<N>>, now: Duration, settle: Duration) {
        let before = self.id();
        if before != ring.as_ref().map(|ring| ring.id) {
            let was_steady = self.changed_at.is_none_or(|changed_at| now >= changed_at + settle);
            if before == self.settled_id && was_steady {
                self.differs_since = now;
            }
            self.changed_at = Some(now);
        }
        if ring.is_some() {
            self.last.clone_from(&ring);
        }
        self.current = ring;
    }

    /// Whether what is known of the members says that the ring, if it is not there, is broken. Once known it stays so until
    /// the ring is back, whatever is forgotten. The settle time counts from here.
    pub(crate) fn observe_contradiction(&mut self, is_contradicted: bool, now: Duration) {
        let is_known_gone = self.current.is_none() && (self.is_known_gone || is_contradicted);
        if is_known_gone && !self.is_known_gone {
            self.changed_at = Some(now);
            self.differs_since = now;
        }
        self.is_known_gone = is_known_gone;
    }

    /// The ring is no longer known, which says nothing about whether it is there.
    pub(crate) fn drop_silently(&mut self, now: Duration) {
        self.current = None;
        self.settled = None;
        self.settled_id = None;
        self.changed_at = Some(now);
        if let Some(spoken) = &mut self.spoken {
            spoken.open = false;
        }
    }

    fn announce_at<C>(&self, config: &Config<C>) -> Option<Duration> {
        let changed_at = self.changed_at.filter(|_| self.id() != self.settled_id)?;
        Some((changed_at + config.settle).min(self.differs_since + config.settle_max))
    }

    /// When there may be something to say; `None` as long as nothing changes.
    pub(crate) fn next_wake<C>(&self, config: &Config<C>) -> Option<Duration> {
        if self.current.is_some() && !self.corroborated
            || self.current.is_none() && !self.is_known_gone
        {
            return None;
        }
        self.announce_at(config).or_else(|| {
            let id = self.id()?;
            match &self.spoken {
                Some(spoken) if spoken.open && spoken.id == id => {
                    (self.kind != RingKind::Shared).then_some(spoken.remind_at)
                }
                Some(spoken) => Some(spoken.quiet_until),
                None => None,
            }
        })
    }

    /// What there is to say. `superseded`: a plain ring has taken in this shared one.
    pub(crate) fn poll<C>(
        &mut self,
        now: Now,
        config: &Config<C>,
        superseded: bool,
    ) -> Option<Event<N>> {
        if now.mono < self.next_wake(config)? {
            return None;
        }
        let open =
            self.spoken.as_ref().filter(|spoken| spoken.open).map(|spoken| spoken.members.clone());
        self.differs_since = now.mono;
        self.settled_id = self.id();
        let Some(ring) = self.current.clone() else {
            self.settled = None;
            if let Some(spoken) = &mut self.spoken {
                spoken.open = false;
            }
            let voice = if open.is_some() && !superseded { Voice::Info } else { Voice::Quiet };
            return self
                .last
                .clone()
                .map(|ring| Event::RingGone { ring: Ring { unverified: false, ..ring }, voice });
        };
        let settled = self.settled.replace(ring.members.clone());
        // What the last line said still holds, or holds again after a quiet change.
        let nothing_new = open.as_ref() == Some(&ring.members);
        if nothing_new && settled.as_ref() == Some(&ring.members) {
            return Some(Event::RingReminder { ring, voice: self.speak(now, config) });
        }
        let loud = !nothing_new
            && self.spoken.as_ref().is_none_or(|spoken| now.mono >= spoken.quiet_until);
        let (voice, previous) =
            if loud { (self.speak(now, config), open) } else { (Voice::Quiet, settled) };
        Some(match previous {
            Some(previous) => Event::RingChanged { ring, previous, voice },
            None => Event::RingFound { ring, voice },
        })
    }

    fn speak<C>(&mut self, now: Now, config: &Config<C>) -> Voice {
        self.spoken = self.current.as_ref().map(|ring| Spoken {
            id: ring.id,
            members: ring.members.clone(),
            witness: ring.witness.clone(),
            unix_ms: now.unix_ms,
            quiet_until: now.mono + config.warn_interval,
            remind_at: now.mono + config.reminder_interval,
            open: true,
        });
        if self.kind == RingKind::Shared { Voice::Info } else { Voice::Warn }
    }

    /// It was announced and not yet said to be gone.
    pub(crate) fn is_open(&self) -> bool {
        self.spoken.as_ref().is_some_and(|spoken| spoken.open)
    }

    /// The members that it was last announced with.
    pub(crate) fn spoken_members(&self) -> &[N] {
        self.spoken.as_ref().map_or(&[], |spoken| &spoken.members)
    }

    /// What to remember; nothing once it is gone and the interval over.
    pub(crate) fn remember(&self, now: Duration) -> Option<RememberedRing<N>> {
        let spoken =
            self.spoken.as_ref().filter(|spoken| spoken.open || now < spoken.quiet_until)?;
        Some(RememberedRing {
            kind: self.kind,
            members: spoken.members.clone(),
            witness: spoken.witness.clone(),
            spoken_unix_ms: spoken.unix_ms,
            open: spoken.open,
        })
    }

    /// Takes up what was said before the restart. A time in the future (the wall clock was set back) counts as now.
    pub(crate) fn restore<C>(
        &mut self,
        ring: RememberedRing<N>,
        id: RingId,
        now: Now,
        config: &Config<C>,
    ) {
        let age = Duration::from_millis(now.unix_ms.saturating_sub(ring.spoken_unix_ms));
        self.spoken = Some(Spoken {
            id,
            members: ring.members.clone(),
            witness: ring.witness.clone(),
            unix_ms: ring.spoken_unix_ms.min(now.unix_ms),
            quiet_until: now.mono + config.warn_interval.saturating_sub(age),
            remind_at: now.mono + config.reminder_interval.saturating_sub(age),
            open: ring.open,
        });
        if ring.open {
            self.settled = Some(ring.members.clone());
            self.settled_id = Some(id);
            self.changed_at = Some(now.mono);
            self.differs_since = now.mono;
            let (members, witness) = (ring.members, ring.witness);
            self.last = Some(Ring {
                id,
                kind: self.kind,
                members,
                witness,
                cuts: Vec::new(),
                unverified: true,
            });
        }
    }
}
