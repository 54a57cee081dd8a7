//! Keeping up with the upstreams: one recursive request at the start, then a stream each, and probes of what is on a ring.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::Rng as _;
use unring_peer::{PeerId, UnixMillis};

use crate::action::{Action, StreamEnd};
use crate::backoff::jitter;
use crate::batch::Position;
use crate::config::{POLL_INTERVAL, RECURSIVE_INTERVAL};
use crate::engine::Engine;
use crate::engine::response::Purpose;
use crate::id::{StreamId, UpstreamId};
use crate::message::{OutboundRequest, Scope};
use crate::now::Now;
use crate::upstream::{Link, Resume, Upstream};
use crate::verifier::Verifier;

/// How long a lost connection makes us hurry.
pub(crate) const HURRY: Duration = Duration::from_secs(10);

/// Start-up jitter: nodes that were started together do not all ask at once.
const START_JITTER: Duration = Duration::from_millis(100);

impl<V: Verifier> Engine<V> {
    /// The configured upstreams, each with the time since when it has been configured. Those that stay keep what is
    /// known of them; a change is followed by a recursive request, at most one a minute.
    pub fn set_upstreams(&mut self, now: Now, configured: Vec<(String, UnixMillis)>) {
        let before: BTreeSet<_> =
            self.upstreams.values().map(|upstream| upstream.address.clone()).collect();
        let after: BTreeSet<_> = configured.iter().map(|(address, _)| address.clone()).collect();
        let removed: Vec<_> = self
            .upstreams
            .iter()
            .filter(|(_, upstream)| !after.contains(&upstream.address))
            .map(|(id, _)| *id)
            .collect();
        for id in removed {
            if let Some(Upstream {
                link: Link::Opening(stream) | Link::Streaming(stream), ..
            }) = self.upstreams.remove(&id)
            {
                self.end_stream(now, stream, StreamEnd::Unwanted);
            }
        }
        for (address, since) in configured {
            if !before.contains(&address)
                && !self.upstreams.values().any(|upstream| upstream.address == address)
            {
                let id = self.next_upstream_id();
                let first_attempt = now.mono + START_JITTER.mul_f64(self.rng.random());
                self.upstreams.insert(id, Upstream::new(address, since, first_attempt));
            }
        }
        if before != after {
            self.rings_seen = None;
            if self.config.refresh && !after.is_empty() {
                let earliest =
                    self.last_recursive.map_or(now.mono, |last| last + RECURSIVE_INTERVAL);
                self.recursive_at =
                    Some(earliest.max(now.mono) + START_JITTER.mul_f64(self.rng.random()));
            }
            self.refresh_own(now);
        }
    }

    /// Where the addresses of upstreams led before a restart. Our record names those nodes until an address is reached
    /// again: with the upstream down, nobody has removed the join, so that no ring is gone.
    pub fn restore_targets(&mut self, now: Now, targets: &BTreeMap<String, Vec<PeerId>>) {
        for upstream in self.upstreams.values_mut() {
            if let Some(targets) = targets.get(&upstream.address) {
                upstream.restore(targets.iter().copied());
            }
        }
        self.rings_seen = None;
        self.refresh_own(now);
    }

    /// The address of a configured upstream.
    #[must_use]
    pub fn upstream_address(&self, upstream: UpstreamId) -> Option<&str> {
        self.upstreams.get(&upstream).map(|upstream| upstream.address.as_str())
    }

    pub(crate) fn refresh_upstreams(&mut self, now: Now) {
        if self.recursive_at.is_some_and(|at| at <= now.mono) {
            self.recursive_at = None;
            self.last_recursive = Some(now.mono);
            self.ask_upstreams(now);
        }
        let ids: Vec<_> = self.upstreams.keys().copied().collect();
        for id in ids {
            self.refresh_link(now, id);
            self.probe_if_due(now, id);
        }
    }

    fn refresh_link(&mut self, now: Now, id: UpstreamId) {
        let Some(upstream) = self.upstreams.get(&id) else { return };
        let (link, resume) = (upstream.link, upstream.resume);
        let stream_due = upstream.stream_due().is_some_and(|due| due <= now.mono);
        let next = match link {
            Link::Waiting { .. } | Link::Polling { .. } if stream_due => {
                match self.own.record.clone() {
                    Some(caller_record) => {
                        let stream = StreamId(self.next_id());
                        let resume = resume
                            .map(|Resume { epoch, heard, .. }| Position { epoch, version: heard });
                        let resume = resume.filter(|position| position.version > 0);
                        let upstream = id;
                        let open = Action::OpenStream { stream, upstream, caller_record, resume };
                        self.actions.push(open);
                        Link::Opening(stream)
                    }
                    // A node that cannot say who it is has nothing to say; it tries to sign its record again then.
                    None => Link::Waiting { until: self.own.sign_at() },
                }
            }
            Link::Polling { next } if next <= now.mono => {
                let (request, timeout) = self.local_request();
                self.counters.sent_local += 1;
                self.call(now, id, Purpose::Poll, request, timeout);
                Link::Polling { next: now.mono + jitter(POLL_INTERVAL, &mut self.rng) }
            }
            _ => return,
        };
        let offered = self.own.record.as_ref().map_or(0, |own| own.record().seq);
        if let Some(upstream) = self.upstreams.get_mut(&id) {
            upstream.link = next;
            upstream.offered_seq = offered;
        }
    }

    fn probe_if_due(&mut self, now: Now, id: UpstreamId) {
        let Some(upstream) = self.upstreams.get_mut(&id) else { return };
        if upstream.start_probe(now.mono, &mut self.rng) {
            self.probe(now, id);
        }
    }

    pub(crate) fn local_request(&self) -> (OutboundRequest, Duration) {
        let caller_record = self.own.record.clone();
        let request =
            OutboundRequest { scope: Scope::Local, max_peers: 0, trace: None, caller_record };
        (request, self.config.request_timeout)
    }

    /// Hears what the detector has to say, and has joins looked at that are on a ring with us: a shared address is
    /// recognised by where further connections lead.
    pub(crate) fn poll_detector(&mut self, now: Now) {
        for event in self.detector.poll(now.mono, now.unix.get()) {
            self.actions.push(Action::Ring(event));
        }
        if !self.config.refresh {
            return;
        }
        // Every answer comes by here, so that nothing is done again for rings that were there before.
        let rings = self.detector.rings().iter().map(|ring| ring.id);
        if self.rings_seen.as_ref().is_some_and(|seen| seen.iter().copied().eq(rings.clone())) {
            return;
        }
        self.rings_seen = Some(rings.collect());
        let me = self.me();
        let ours =
            self.detector.rings().iter().filter(|ring| ring.members.binary_search(&me).is_ok());
        let on_ring: BTreeSet<PeerId> = ours
            .flat_map(|ring| {
                ring.members.iter().copied().filter(|peer| *peer != me || ring.members.len() == 1)
            })
            .collect();
        for upstream in self.upstreams.values_mut() {
            let is_on_ring = on_ring.iter().any(|peer| upstream.leads_to(peer));
            upstream.set_on_ring(now.mono, is_on_ring);
        }
    }
}
