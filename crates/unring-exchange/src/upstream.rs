//! One configured upstream: where it leads, whether it may be asked, what it last said.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use rand::Rng;
use unring_peer::{Join, PeerId, UnixMillis};

use crate::action::CallFailure;
use crate::backoff::{Backoff, jitter, out_of_step};
use crate::config::{
    MAX_PROBES, MAX_SHORT_STREAMS, PROBE_AGAIN, PROBE_INTERVAL, RING_BACKOFF_MAX, RING_BACKOFF_MIN,
    STABLE_STREAM, STREAM_AGAIN, TARGET_WINDOW,
};
use crate::id::StreamId;
use crate::looks::Looks;

/// How an upstream is kept up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// No stream; the next attempt is due then.
    Waiting {
        /// When, on the engine's monotonic clock.
        until: Duration,
    },
    /// A stream was asked for.
    Opening(StreamId),
    /// A stream is open.
    Streaming(StreamId),
    /// It cannot stream; it is asked for its list instead, until a stream is tried again.
    Polling {
        /// When next, on the engine's monotonic clock.
        next: Duration,
    },
}

/// What an upstream last did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LastResult {
    /// It answered.
    Ok,
    /// It did not; for people.
    Failed(String),
}

/// Where a stream to an upstream ended, both ways, so that the next one can go on there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resume {
    /// Names the life of the process that it led to.
    pub(crate) epoch: u64,
    /// Version of its book up to which we have its records.
    pub(crate) heard: u64,
    /// Version of our book up to which it says that it has ours.
    pub(crate) acknowledged: u64,
    /// Version of our book when the first stream to that process was opened.
    pub(crate) brought_before: u64,
}

#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) address: String,
    pub(crate) since: UnixMillis,
    looks: Looks,
    pub(crate) in_flight: usize,
    backoff: Backoff,
    /// A failure is cached until then: no request goes there.
    failed_until: Option<Duration>,
    pub(crate) link: Link,
    /// The `seq` of our record that went with the request to open a stream.
    pub(crate) offered_seq: u64,
    /// Where its last stream ended.
    pub(crate) resume: Option<Resume>,
    link_backoff: Backoff,
    stream_backoff: Backoff,
    /// While it is polled: when a stream is tried again.
    stream_again_at: Duration,
    /// Streams in a row that did not last.
    short_streams: u32,
    /// Since when its stream is open.
    open_since: Option<Duration>,
    pub(crate) last: Option<(Duration, LastResult)>,
    /// Times that it did the one or the other.
    pub(crate) answers: u64,
    pub(crate) failures: u64,
    on_ring: bool,
    /// When the address is looked at again, because it is on a ring or led elsewhere.
    pub(crate) probe_at: Option<Duration>,
    probes: usize,
    /// Probes still to be sent in quick succession, because the address led to another node than before.
    recheck: usize,
    probe_backoff: Backoff,
    ring_pause: Duration,
    ring_until: Option<Duration>,
}

impl Upstream {
    pub(crate) fn new(address: String, since: UnixMillis, first_attempt: Duration) -> Self {
        Self {
            address,
            since,
            looks: Looks::default(),
            in_flight: 0,
            backoff: Backoff::default(),
            failed_until: None,
            link: Link::Waiting { until: first_attempt },
            offered_seq: 0,
            resume: None,
            link_backoff: Backoff::default(),
            stream_backoff: Backoff::default(),
            stream_again_at: Duration::ZERO,
            short_streams: 0,
            open_since: None,
            last: None,
            answers: 0,
            failures: 0,
            on_ring: false,
            probe_at: None,
            probes: 0,
            recheck: 0,
            probe_backoff: Backoff::default(),
            ring_pause: RING_BACKOFF_MIN,
            ring_until: None,
        }
    }

    /// Who answered at the last looks.
    pub(crate) fn targets(&self) -> BTreeSet<PeerId> {
        self.looks.targets()
    }

    pub(crate) fn leads_to(&self, peer: &PeerId) -> bool {
        self.looks.contains(peer)
    }

    /// Where it led before a restart, until it is reached.
    pub(crate) fn restore(&mut self, targets: impl Iterator<Item = PeerId>) {
        self.looks.restore(targets);
    }

    /// What our record says of it.
    pub(crate) fn join(&self) -> Join {
        Join { address: self.address.clone(), targets: self.targets(), since: self.since }
    }

    /// Takes a slot, or says that none is free. It never waits for one (law L2): in a ring whose nodes all ask at once
    /// each would wait for the next.
    pub(crate) fn try_acquire(&mut self, slots: NonZeroUsize) -> bool {
        let free = self.in_flight < slots.get();
        self.in_flight += usize::from(free);
        free
    }

    pub(crate) fn release(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    pub(crate) fn is_failed(&self, now: Duration) -> bool {
        self.failed_until.is_some_and(|until| until > now)
    }

    /// It answered, over a new connection (`fresh`, which is a look at where the address leads) or one that was there.
    pub(crate) fn succeeded(&mut self, now: Duration, peer: PeerId, fresh: bool) {
        if (fresh || self.looks.last() != Some(&peer)) && self.looks.add(peer) {
            self.recheck = TARGET_WINDOW;
            self.probe_at = Some(now);
        }
        self.backoff.succeed();
        self.failed_until = None;
        self.last = Some((now, LastResult::Ok));
        self.answers += 1;
    }

    /// A request there failed: it gets no other for a while.
    pub(crate) fn failed(
        &mut self,
        now: Duration,
        why: &CallFailure,
        hurried: bool,
        rng: &mut impl Rng,
    ) {
        let pause = self.backoff.fail(hurried, rng);
        self.failed_until = Some(now + pause.max(why.wait()));
        self.note_failure(now, why);
    }

    fn note_failure(&mut self, now: Duration, why: &CallFailure) {
        self.last = Some((now, LastResult::Failed(why.reason.clone())));
        self.failures += 1;
    }

    pub(crate) fn stream_opened(&mut self, now: Duration, stream: StreamId) {
        self.link = Link::Streaming(stream);
        self.open_since = Some(now);
    }

    /// Who belongs to the cluster has changed: what it refused and what was refused of it may be welcome now. It is asked
    /// anew for all that it has, and no failure counts. Its stream, if there is one, is not open any more.
    pub(crate) fn begin_anew(&mut self, until: Duration) {
        self.resume = None;
        self.open_since = None;
        self.short_streams = 0;
        self.failed_until = None;
        self.backoff.succeed();
        self.link_backoff.succeed();
        self.stream_backoff.succeed();
        let planned = match self.link {
            Link::Waiting { until: planned } => planned.min(until),
            _ => until,
        };
        self.link = Link::Waiting { until: planned };
    }

    /// Its stream ended, or could not be opened. One that cannot be reached is not asked either.
    pub(crate) fn stream_lost(
        &mut self,
        now: Duration,
        why: &CallFailure,
        hurried: bool,
        rng: &mut impl Rng,
    ) {
        let open_since = self.open_since.take();
        if open_since.is_some_and(|since| now >= since + STABLE_STREAM) {
            self.link_backoff.succeed();
            self.stream_backoff.succeed();
            self.short_streams = 0;
        } else if open_since.is_some() {
            self.short_streams = self.short_streams.saturating_add(1);
            if self.short_streams >= MAX_SHORT_STREAMS {
                self.note_failure(now, why);
                return self.cannot_stream(now, rng);
            }
        }
        let until = now + self.link_backoff.fail(hurried, rng).max(why.wait());
        if open_since.is_none() {
            self.failed_until = self.failed_until.max(Some(until));
        }
        self.link = Link::Waiting { until };
        self.note_failure(now, why);
    }

    /// It cannot stream, so that it is polled, from now on.
    pub(crate) fn cannot_stream(&mut self, now: Duration, rng: &mut impl Rng) {
        self.link = Link::Polling { next: now };
        self.stream_again_at = now + self.stream_backoff.fail(false, rng).max(STREAM_AGAIN);
        self.open_since = None;
    }

    /// When a stream is tried or tried again, if it is not open.
    pub(crate) fn stream_due(&self) -> Option<Duration> {
        match self.link {
            Link::Waiting { until } => Some(until),
            Link::Polling { .. } => Some(self.stream_again_at),
            Link::Opening(_) | Link::Streaming(_) => None,
        }
    }

    /// A poll has ended. One that failed is followed by an attempt to stream: it may have been replaced by one that can.
    pub(crate) fn polled(
        &mut self,
        now: Duration,
        failure: Option<&CallFailure>,
        hurried: bool,
        rng: &mut impl Rng,
    ) {
        match failure {
            None => self.link_backoff.succeed(),
            // An earlier poll has ended the polling already: the stream since is none of its business.
            Some(_) if !matches!(self.link, Link::Polling { .. }) => {}
            Some(why) => self.stream_lost(now, why, hurried, rng),
        }
    }

    /// Its address leads back to this node, every time: there is nothing to hear there.
    pub(crate) fn leads_only_to(&self, me: &PeerId) -> bool {
        self.looks.are_enough() && self.targets().iter().eq([me])
    }

    /// A request of ours that went there came back: no recursive request of our own goes there for a while.
    pub(crate) fn found_in_ring(&mut self, now: Duration, rng: &mut impl Rng) {
        if self.is_in_ring(now) {
            return;
        }
        self.ring_until = Some(now + jitter(self.ring_pause, rng));
        self.ring_pause = (self.ring_pause * 2).min(RING_BACKOFF_MAX);
    }

    pub(crate) fn is_in_ring(&self, now: Duration) -> bool {
        self.ring_until.is_some_and(|until| until > now)
    }

    /// It is on a ring that the detector sees, or no longer.
    pub(crate) fn set_on_ring(&mut self, now: Duration, on_ring: bool) {
        self.on_ring = on_ring;
        match (on_ring, self.probe_at) {
            (true, None) => self.probe_at = Some(now),
            (false, Some(_)) if self.recheck == 0 => self.probe_at = None,
            _ => {}
        }
    }

    /// Whether it is to be looked at now. Then one more probe is on its way, and the next one is due later.
    pub(crate) fn start_probe(&mut self, now: Duration, rng: &mut impl Rng) -> bool {
        if self.probe_at.is_none_or(|at| at > now) {
            return false;
        }
        // Those on their way count as answered, so that there are not twice as many.
        let full = self.recheck == 0 && self.looks.count() + self.probes + 1 >= TARGET_WINDOW;
        self.recheck = self.recheck.saturating_sub(1);
        self.probe_at = if !full {
            Some(now + out_of_step(PROBE_INTERVAL, rng))
        } else if self.on_ring {
            Some(now + jitter(PROBE_AGAIN, rng))
        } else {
            None
        };
        let free = self.probes < MAX_PROBES;
        self.probes += usize::from(free);
        free
    }

    /// A probe has ended. One that failed is followed by another, ever later.
    pub(crate) fn probe_done(&mut self, now: Duration, failed: bool, rng: &mut impl Rng) {
        self.probes = self.probes.saturating_sub(1);
        if failed {
            let pause = self.probe_backoff.fail(false, rng);
            self.probe_at = self.probe_at.map(|_| now + pause);
        } else {
            self.probe_backoff.succeed();
        }
    }
}
