//! How long a look-up waits for whom when everybody else has answered, without clock or socket.
//!
//! Somebody who is not connected yet needs time to become so, and may be the only one who knows. One that is connected needs two
//! round trips. And one that kept a look-up waiting for nothing is not waited for again for a while: it is still asked and still
//! heard, so it costs nothing but its own slowness, and whoever asks pays for a node that hangs once and not with every look-up.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use libp2p_identity::PeerId;

use crate::kad::config::{
    LOOKUP_STALLED_AFTER, MAX_STALLED, PATIENCE, PATIENCE_CONNECTED, STALLED_FOR, STALLED_FOR_MOST,
};

/// What is known of how peers answer. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patience(Arc<Mutex<Peers>>);

#[derive(Debug, Default)]
struct Peers {
    /// Bounded by the connections.
    connected: HashSet<PeerId>,
    /// Bounded by the dials.
    dialled: HashSet<PeerId>,
    /// At most [`MAX_STALLED`].
    stalled: HashMap<PeerId, Stalled>,
}

#[derive(Debug, Clone, Copy)]
struct Stalled {
    until: Instant,
    /// The time before that; the next one is twice as long.
    length: Duration,
}

impl Patience {
    fn peers(&self) -> MutexGuard<'_, Peers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to the peer was established: a handshake is an answer.
    pub(crate) fn connected(&self, peer: PeerId) {
        let mut peers = self.peers();
        peers.stalled.remove(&peer);
        peers.dialled.remove(&peer);
        peers.connected.insert(peer);
    }

    /// The last connection to the peer is gone.
    pub(crate) fn disconnected(&self, peer: &PeerId) {
        self.peers().connected.remove(peer);
    }

    /// A dial to the peer began.
    pub(crate) fn dialled(&self, peer: PeerId) {
        self.peers().dialled.insert(peer);
    }

    /// It failed.
    pub(crate) fn dial_ended(&self, peer: &PeerId) {
        self.peers().dialled.remove(peer);
    }

    /// The peer answered.
    pub(crate) fn answered(&self, peer: &PeerId) {
        self.peers().stalled.remove(peer);
    }

    /// How long an answer of the peer is waited for that is asked now.
    pub(crate) fn of(&self, now: Instant, peer: &PeerId) -> Duration {
        let peers = self.peers();
        match peers.stalled.get(peer) {
            Some(stalled) if now < stalled.until => LOOKUP_STALLED_AFTER,
            _ if peers.connected.contains(peer) => PATIENCE_CONNECTED,
            _ => PATIENCE,
        }
    }

    /// The peer was waited for and did not answer. If it was neither connected nor dialled, that was no fault of its.
    pub(crate) fn stalled(&self, now: Instant, peer: PeerId) {
        let mut peers = self.peers();
        if !peers.connected.contains(&peer) && !peers.dialled.contains(&peer) {
            return;
        }
        let length = match peers.stalled.get(&peer) {
            // It was not waited for long enough to say more of it.
            Some(before) if now < before.until => return,
            Some(before) => (before.length * 2).min(STALLED_FOR_MOST),
            None => STALLED_FOR,
        };
        if peers.stalled.len() >= MAX_STALLED && !peers.stalled.contains_key(&peer) {
            let oldest = peers.stalled.iter().min_by_key(|(_, stalled)| stalled.until);
            let oldest = oldest.map(|(peer, _)| *peer);
            oldest.and_then(|peer| peers.stalled.remove(&peer));
        }
        peers.stalled.insert(peer, Stalled { until: now + length, length });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stalls_is_not_waited_for_until_it_answers_or_the_time_is_over() {
        let (patience, peer, mut now) = (Patience::default(), PeerId::random(), Instant::now());
        assert_eq!(patience.of(now, &peer), PATIENCE);
        patience.connected(peer);
        assert_eq!(patience.of(now, &peer), PATIENCE_CONNECTED);
        patience.stalled(now, peer);
        assert_eq!(patience.of(now, &peer), LOOKUP_STALLED_AFTER);
        assert_eq!(patience.of(now, &PeerId::random()), PATIENCE, "the others' is theirs");
        // Look-ups meanwhile do not make it longer; each further time does, up to a bound.
        patience.stalled(now + STALLED_FOR / 2, peer);
        let mut length = STALLED_FOR;
        for _ in 0..10 {
            assert_eq!(
                patience.of(now + length - Duration::from_millis(1), &peer),
                LOOKUP_STALLED_AFTER
            );
            now += length;
            assert_eq!(patience.of(now, &peer), PATIENCE_CONNECTED, "after {length:?}");
            patience.stalled(now, peer);
            length = (length * 2).min(STALLED_FOR_MOST);
        }
        patience.answered(&peer);
        assert_eq!(patience.of(now, &peer), PATIENCE_CONNECTED);
        patience.stalled(now, peer);
        patience.disconnected(&peer);
        assert_eq!(patience.of(now, &peer), LOOKUP_STALLED_AFTER, "it hangs all the same");
        patience.connected(peer);
        assert_eq!(patience.of(now, &peer), PATIENCE_CONNECTED);
    }

    #[test]
    fn it_remembers_so_many_and_no_more() {
        let (patience, now) = (Patience::default(), Instant::now());
        let first = PeerId::random();
        patience.stalled(now, first);
        assert_eq!(patience.of(now, &first), PATIENCE, "nobody has tried to reach it");
        patience.dialled(first);
        patience.stalled(now, first);
        assert_eq!(patience.of(now, &first), LOOKUP_STALLED_AFTER);
        for n in 1..=MAX_STALLED {
            let peer = PeerId::random();
            patience.dialled(peer);
            patience.stalled(now + Duration::from_millis(n as u64), peer);
        }
        assert_eq!(patience.peers().stalled.len(), MAX_STALLED);
        assert_eq!(patience.of(now, &first), PATIENCE, "the oldest is forgotten");
    }
}
