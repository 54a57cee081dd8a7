//! What a status page, a metric or a gRPC client may see of an engine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use unring_cycle_detector::{Ring, RingMemory, Topology};
use unring_peer::{PeerId, SignedRecord, UnixMillis};

use crate::config::RECENT_REQUESTS;
use crate::counters::Counters;
use crate::engine::Engine;
use crate::now::Now;
use crate::trace::RequestId;
use crate::upstream::{LastResult, Link};
use crate::verifier::Verifier;

/// A recursive request that this node took part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentRequest {
    /// Who started it.
    pub origin: PeerId,
    /// Its name.
    pub request_id: RequestId,
    /// To how many upstreams this node sent it.
    pub sent: usize,
}

/// One configured upstream.
#[derive(Clone, Debug)]
pub struct UpstreamView {
    /// As configured.
    pub address: String,
    /// Since when.
    pub since: UnixMillis,
    /// Who answered there at the last [`TARGET_MEMORY`](crate::config::TARGET_MEMORY) looks.
    pub targets: BTreeSet<PeerId>,
    /// How it is kept up with.
    pub link: Link,
    /// What it last did, and how long ago.
    pub last: Option<(Duration, LastResult)>,
    /// Times that it answered, since it is configured.
    pub answers: u64,
    /// Times that it did not.
    pub failures: u64,
    /// Requests in flight there.
    pub in_flight: usize,
}

/// One known peer.
#[derive(Clone, Debug)]
pub struct PeerView {
    /// Its record.
    pub record: SignedRecord,
    /// How long the record is still valid.
    pub expires_in: Duration,
}

impl<V: Verifier> Engine<V> {
    /// Counts since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Requests in the dedup store: forwarded in the last `dedup_retention` to twice that.
    #[must_use]
    pub fn remembered_requests(&self) -> usize {
        self.dedup.len()
    }

    /// The configured upstreams, in the order of their configuration.
    #[must_use]
    pub fn upstreams(&self, now: Now) -> Vec<UpstreamView> {
        let view = |upstream: &crate::upstream::Upstream| UpstreamView {
            address: upstream.address.clone(),
            since: upstream.since,
            targets: upstream.targets(),
            link: upstream.link,
            last: upstream.last.clone().map(|(at, result)| (now.mono.saturating_sub(at), result)),
            answers: upstream.answers,
            failures: upstream.failures,
            in_flight: upstream.in_flight,
        };
        self.upstreams.values().map(view).collect()
    }

    /// The known peers, ourselves left out, by peer id.
    #[must_use]
    pub fn peers(&self, now: Now) -> Vec<PeerView> {
        let mut peers: Vec<_> = self
            .book
            .iter()
            .map(|record| PeerView {
                expires_in: record.record().expires_at().saturating_since(now.unix),
                record: record.clone(),
            })
            .collect();
        peers.sort_by_key(|peer| peer.record.record().peer_id);
        peers
    }

    /// How many peers are known.
    #[must_use]
    pub fn peers_known(&self) -> usize {
        self.book.len()
    }

    /// The rings known, whoever is on them.
    #[must_use]
    pub fn rings(&self) -> &[Ring<PeerId>] {
        self.detector.rings()
    }

    /// Joins and rings, as far as they are known.
    #[must_use]
    pub fn topology(&self) -> Topology<PeerId> {
        self.detector.topology()
    }

    /// The names of the members of all known rings.
    #[must_use]
    pub fn ring_names(&self) -> BTreeMap<PeerId, String> {
        self.names(self.rings().iter().flat_map(|ring| &ring.members))
    }

    /// The names of these nodes, whether or not they are on a ring; empty where none is known.
    #[must_use]
    pub fn names<'a>(
        &self,
        nodes: impl IntoIterator<Item = &'a PeerId>,
    ) -> BTreeMap<PeerId, String> {
        let name = |node: &PeerId| self.detector.name(node).unwrap_or_default().to_owned();
        nodes.into_iter().map(|node| (*node, name(node))).collect()
    }

    /// What was said of rings, to be kept across a restart.
    #[must_use]
    pub fn ring_memory(&self) -> RingMemory<PeerId> {
        self.detector.memory()
    }

    /// What was said of rings before the restart.
    pub fn restore_ring_memory(&mut self, now: Now, memory: RingMemory<PeerId>) {
        self.detector.restore(now.mono, now.unix.get(), memory);
    }

    /// The last recursive requests, oldest first.
    pub fn recent(&self) -> impl Iterator<Item = &RecentRequest> {
        self.recent.iter()
    }

    /// Streams open, both ways.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// Something was heard on every stream just now.
    #[cfg(test)]
    pub(crate) fn all_are_heard(&mut self, now: Now) {
        self.streams.values_mut().for_each(|stream| stream.is_heard(now.mono));
    }

    pub(crate) fn remember_recent(&mut self, origin: PeerId, request_id: RequestId, sent: usize) {
        if self.recent.len() >= RECENT_REQUESTS {
            self.recent.pop_front();
        }
        self.recent.push_back(RecentRequest { origin, request_id, sent });
    }
}
