//! Who came into reach and is to be told of our keys before the sweep comes by, without clock or socket.
//!
//! A node that restarted has forgotten what it was told, and one from the other side of a partition may have: until the sweep
//! has come round they would send askers away. Each is told after a random delay, so that a cluster that starts does not tell
//! everybody everything at once, and a peer that comes and goes is told no more often than the gap allows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use libp2p_identity::PeerId;
use rand::Rng as _;
use rand::rngs::StdRng;

/// Peers that wait or were told not long ago; further ones are left to the sweep. Far more than a node has connections.
const MAX_NEWCOMERS: usize = 4096;

/// The newcomers.
#[derive(Debug)]
pub(crate) struct Newcomers {
    /// A newcomer waits a random part of it.
    spread: Duration,
    /// Least time between two times that one peer is told.
    gap: Duration,
    rng: StdRng,
    waiting: BTreeSet<(Instant, PeerId)>,
    /// When each was or will be told; those that are older than the gap go.
    told: BTreeMap<PeerId, Instant>,
}

impl Newcomers {
    /// Nobody yet. A slot of the sweep is the spread, four of them the gap: of 12 min 11 s and 45 s.
    pub(crate) fn new(slot: Duration, rng: StdRng) -> Self {
        let (waiting, told) = Default::default();
        Self { spread: slot, gap: slot * 4, rng, waiting, told }
    }

    /// `peer` came into reach.
    pub(crate) fn arrived(&mut self, now: Instant, peer: PeerId) {
        self.told.retain(|_, at| now.saturating_duration_since(*at) < self.gap);
        let spread = self.rng.random_range(Duration::ZERO..=self.spread);
        let due = match self.told.get(&peer) {
            // It waits already.
            Some(at) if *at >= now => return,
            Some(at) => (*at + self.gap).max(now + spread),
            None if self.told.len() >= MAX_NEWCOMERS => return,
            None => now + spread,
        };
        self.told.insert(peer, due);
        self.waiting.insert((due, peer));
    }

    /// When [`take_due`](Self::take_due) has somebody.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// Somebody to be told now.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<PeerId> {
        if self.next_due()? > now {
            return None;
        }
        self.waiting.pop_first().map(|(_, peer)| peer)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    const SLOT: Duration = Duration::from_secs(11);

    fn newcomers() -> (Newcomers, Instant) {
        (Newcomers::new(SLOT, StdRng::seed_from_u64(1)), Instant::now())
    }

    #[test]
    fn many_that_come_together_are_told_one_after_the_other() {
        let (mut newcomers, now) = newcomers();
        for _ in 0..100 {
            newcomers.arrived(now, PeerId::random());
        }
        let mut told = Vec::new();
        while let Some(due) = newcomers.next_due() {
            assert!(newcomers.take_due(due - Duration::from_nanos(1)).is_none());
            assert!(newcomers.take_due(due).is_some());
            told.push(due - now);
        }
        assert_eq!(told.len(), 100);
        assert!(told.iter().all(|after| *after <= SLOT));
        let early = told.iter().filter(|after| **after < SLOT / 2).count();
        assert!((30..=70).contains(&early), "{early} in the first half");
    }

    #[test]
    fn who_comes_and_goes_is_told_once_in_a_gap() {
        let (mut newcomers, start) = newcomers();
        let peer = PeerId::random();
        let mut told = Vec::new();
        for second in 0..600 {
            let now = start + Duration::from_secs(second);
            newcomers.arrived(now, peer);
            if newcomers.take_due(now).is_some() {
                told.push(second);
            }
            assert!(newcomers.waiting.len() <= 1 && newcomers.told.len() <= 1);
        }
        assert!(told.windows(2).all(|pair| pair[1] - pair[0] >= 44), "{told:?}");
        assert!(told.len() >= 9, "{told:?}");
    }

    #[test]
    fn there_are_never_too_many() {
        let (mut newcomers, now) = newcomers();
        for _ in 0..MAX_NEWCOMERS + 10 {
            newcomers.arrived(now, PeerId::random());
        }
        assert_eq!((newcomers.waiting.len(), newcomers.told.len()), (MAX_NEWCOMERS, MAX_NEWCOMERS));
        while newcomers.take_due(now + SLOT).is_some() {}
        newcomers.arrived(now + SLOT * 6, PeerId::random());
        assert_eq!((newcomers.waiting.len(), newcomers.told.len()), (1, 1));
    }
}
