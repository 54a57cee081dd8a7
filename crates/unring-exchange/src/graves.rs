//! What expired, so that an older record of the same node does not bring it back.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;

use unring_peer::{PeerId, UnixMillis, limits};

/// The `seq` of each record that expired, for as long as an older one could still be valid: a node that shortened its
/// ttl and died would come back with the record before, from a node that had not heard of the newer one (law L3).
///
/// As many as the book holds; at the bound the oldest is forgotten, since the newest are what others still pass on.
#[derive(Debug)]
pub(crate) struct Graves {
    by_peer: HashMap<PeerId, (u64, UnixMillis)>,
    by_time: BTreeSet<(UnixMillis, PeerId)>,
    capacity: usize,
}

impl Graves {
    pub(crate) fn new(capacity: NonZeroUsize) -> Self {
        Self { by_peer: HashMap::new(), by_time: BTreeSet::new(), capacity: capacity.get() }
    }

    /// Remembers that this record of `peer` expired.
    pub(crate) fn dig(&mut self, now: UnixMillis, peer: PeerId, seq: u64) {
        self.dig_until(now.saturating_add(limits::MAX_TTL), peer, seq);
    }

    /// The same, for as long as is known.
    pub(crate) fn dig_until(&mut self, until: UnixMillis, peer: PeerId, seq: u64) {
        self.open(&peer);
        if self.by_peer.len() >= self.capacity
            && let Some((_, oldest)) = self.by_time.pop_first()
        {
            self.by_peer.remove(&oldest);
        }
        self.by_peer.insert(peer, (seq, until));
        self.by_time.insert((until, peer));
    }

    /// A record of `peer` is known again.
    pub(crate) fn open(&mut self, peer: &PeerId) {
        if let Some((_, until)) = self.by_peer.remove(peer) {
            self.by_time.remove(&(until, *peer));
        }
    }

    /// Whether a record newer than `seq` expired. An equal one is judged by its own time alone: our clock may have been
    /// ahead for a while.
    pub(crate) fn hold_newer(&self, peer: &PeerId, seq: u64) -> bool {
        self.by_peer.get(peer).is_some_and(|(known, _)| seq < *known)
    }

    /// Forgets those that nothing valid can be older than.
    pub(crate) fn clear(&mut self, now: UnixMillis) {
        while let Some((_, peer)) = self.by_time.first().copied().filter(|(at, _)| *at <= now) {
            self.open(&peer);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.by_peer.len(), self.by_time.len());
        self.by_peer.len()
    }
}
