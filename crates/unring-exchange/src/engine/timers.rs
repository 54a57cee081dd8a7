//! What is due when.

use std::time::Duration;

use crate::engine::Engine;
use crate::now::Now;
use crate::upstream::Link;
use crate::verifier::Verifier;

/// Requests that expire at once which are worth shrinking the dedup store for: some 100 KiB.
const FLOOD: usize = 1024;

impl<V: Verifier> Engine<V> {
    /// Does whatever is due. Calling it early or late does no harm.
    pub fn on_timer(&mut self, now: Now) {
        self.expire(now);
        self.rotate_dedup(now);
        if self.own_due(now) <= now.mono {
            self.sign_own(now);
        }
        self.show_own_if_due(now);
        let due: Vec<_> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.answer_at <= now.mono)
            .map(|(id, _)| *id)
            .collect();
        for inbound in due {
            self.finish(now, inbound);
        }
        self.poll_detector(now);
        if self.refreshes() {
            self.refresh_upstreams(now);
        }
        self.end_silent_streams(now);
        self.flush_streams(now);
    }

    /// Takes what has expired out of the dedup store, so that no request pays for it, and after a flood gives its memory
    /// back. It has no wake-up of its own: heartbeats see to it that there is one often enough.
    fn rotate_dedup(&mut self, now: Now) {
        let expired = self.dedup.rotate(now.mono);
        if expired >= FLOOD && expired / 4 >= self.dedup.len() {
            self.dedup.shrink();
        }
    }

    /// When [`on_timer`](Self::on_timer) is due, on the monotonic clock; events may change it.
    #[must_use]
    pub fn next_timer(&self, now: Now) -> Option<Duration> {
        let pending = self.pending.values().map(|pending| pending.answer_at);
        let streams = self.streams.values();
        let streams = streams.flat_map(|stream| [stream.due(), stream.silent_at()]).flatten();
        // A signed time comes due when the wall clock gets there; a step of that clock is noticed at the next event.
        let expiry = self.book.next_expiry().map(|at| now.mono + at.saturating_since(now.unix));
        let detector = self.detector.next_wake();
        let own = self.own.held_until().into_iter().chain([self.own_due(now)]);
        let due = pending.chain(streams).chain(expiry).chain(detector).chain(own);
        let refresh = self.upstreams.values().flat_map(|upstream| {
            let poll = match upstream.link {
                Link::Polling { next } => Some(next),
                Link::Waiting { .. } | Link::Opening(_) | Link::Streaming(_) => None,
            };
            [upstream.stream_due(), poll, upstream.probe_at].into_iter().flatten()
        });
        let refresh = refresh.chain(self.recursive_at).filter(|_| self.refreshes());
        due.chain(refresh).min()
    }

    /// Whether upstreams are kept up with: not before we can say who we are, which is when our first `seq` is on disk.
    fn refreshes(&self) -> bool {
        self.config.refresh && !self.own.is_unshown()
    }
}
