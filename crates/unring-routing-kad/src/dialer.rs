//! Whom to dial, and when: a state machine without clock, socket or task.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::{Duration, Instant};

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::address;
use crate::config::{DialConfig, MAX_ADDRESSES_PER_PEER, MAX_KNOWN_PEERS, WantedPeer};

/// The dial policy.
///
/// It is told what happened ([`on_connected`](Self::on_connected), [`on_disconnected`](Self::on_disconnected),
/// [`on_dial_failed`](Self::on_dial_failed)) and asked what to do ([`poll`](Self::poll)), each with the time; when to
/// ask again is [`next_due`](Self::next_due). The same calls with the same seed give the same dials.
///
/// Of two peers that choose each other the one with the smaller id dials at once and the other after
/// [`DialConfig::yield_delay`], so that two connections at once are rare.
#[derive(Debug)]
pub struct Dialer {
    local: PeerId,
    config: DialConfig,
    rng: StdRng,
    /// The chosen peers, at most [`DialConfig::max_chosen`].
    chosen: BTreeMap<PeerId, Target>,
    /// Everyone connected and since when; bounded by the connection limits of the swarm.
    connected: BTreeMap<PeerId, Instant>,
    /// At most [`DialConfig::max_in_flight`]; also of peers no longer chosen, since these dials still cost.
    in_flight: BTreeSet<PeerId>,
}

#[derive(Debug)]
struct Target {
    addresses: Vec<Multiaddr>,
    /// Those of `addresses` where somebody else answered; tried again when no other is left.
    wrong: Vec<Multiaddr>,
    failures: u32,
    due: Instant,
}

/// What [`Dialer::set_wanted`] made of its input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Peers whose connections are to be kept alive, at most [`MAX_KNOWN_PEERS`]; never the local one.
    pub known: BTreeSet<PeerId>,
    /// Those of `known` that are dialled, at most [`DialConfig::max_chosen`].
    pub chosen: BTreeSet<PeerId>,
    /// Peers given that are not in `chosen`, the local one not counted.
    pub left_out: usize,
    /// Addresses skipped: of another transport or peer, not dialable, or above [`MAX_ADDRESSES_PER_PEER`].
    pub skipped_addresses: usize,
}

/// A dial to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    /// Who must answer.
    pub peer: PeerId,
    /// Where; never empty, without `/p2p/ID`.
    pub addresses: Vec<Multiaddr>,
}

impl Dialer {
    /// A policy for the node `local`; `seed` feeds the jitter.
    #[must_use]
    pub fn new(local: PeerId, config: DialConfig, seed: u64) -> Self {
        Self {
            local,
            config,
            rng: StdRng::seed_from_u64(seed),
            chosen: BTreeMap::new(),
            connected: BTreeMap::new(),
            in_flight: BTreeSet::new(),
        }
    }

    /// Replaces the peers to stay connected to; a peer given twice counts once with the addresses of both.
    ///
    /// With more than there is room for, those are chosen whose ids follow the local id in ascending order, wrapping
    /// around: when all nodes know the same peers each is chosen equally often, and the connections form one
    /// connected graph.
    pub fn set_wanted(&mut self, now: Instant, peers: &[WantedPeer]) -> Selection {
        let mut selection = Selection::default();
        let given = self.usable(peers, &mut selection);
        let after = given.range((Bound::Excluded(self.local), Bound::Unbounded));
        let in_order: Vec<_> =
            after.chain(given.range(..self.local)).take(MAX_KNOWN_PEERS).collect();
        selection.known = in_order.iter().map(|(peer, _)| **peer).collect();
        selection.chosen =
            in_order.iter().map(|(peer, _)| **peer).take(self.config.max_chosen).collect();
        selection.left_out = given.len() - selection.chosen.len();
        drop(in_order);

        self.chosen.retain(|peer, _| selection.chosen.contains(peer));
        for (peer, addresses) in given {
            if selection.chosen.contains(&peer) {
                self.choose(now, peer, addresses);
            }
        }
        selection
    }

    fn usable(
        &self,
        peers: &[WantedPeer],
        selection: &mut Selection,
    ) -> BTreeMap<PeerId, Vec<Multiaddr>> {
        let mut given: BTreeMap<PeerId, Vec<Multiaddr>> = BTreeMap::new();
        for wanted in peers.iter().filter(|wanted| wanted.peer != self.local) {
            let kept = given.entry(wanted.peer).or_default();
            for address in &wanted.addresses {
                match address::dialable(address, &wanted.peer) {
                    Some(address) if kept.contains(&address) => {}
                    Some(address) if kept.len() < MAX_ADDRESSES_PER_PEER => kept.push(address),
                    _ => selection.skipped_addresses += 1,
                }
            }
        }
        given
    }

    fn choose(&mut self, now: Instant, peer: PeerId, addresses: Vec<Multiaddr>) {
        // A new address earns an early try, but not a clean slate: a record that changes all the time must not
        // make us dial all the time.
        let early = now + self.backoff(1);
        let first = self.first_due(now, peer);
        let Some(target) = self.chosen.get_mut(&peer) else {
            self.chosen
                .insert(peer, Target { addresses, wrong: Vec::new(), failures: 0, due: first });
            return;
        };
        if addresses.iter().any(|address| !target.addresses.contains(address)) {
            target.due = target.due.min(early);
        }
        target.wrong.retain(|address| addresses.contains(address));
        target.addresses = addresses;
    }

    /// A connection to `peer` was established; `dialled`: by us.
    pub fn on_connected(&mut self, now: Instant, peer: PeerId, dialled: bool) {
        if dialled {
            self.in_flight.remove(&peer);
        }
        self.connected.entry(peer).or_insert(now);
    }

    /// The last connection to `peer` is gone.
    pub fn on_disconnected(&mut self, now: Instant, peer: PeerId) {
        let Some(since) = self.connected.remove(&peer) else { return };
        let stable = now.saturating_duration_since(since) >= self.config.stable_after;
        let first = self.first_due(now, peer);
        let failures = self.chosen.get(&peer).map_or(0, |target| target.failures.saturating_add(1));
        let later = now + self.backoff(failures);
        if let Some(target) = self.chosen.get_mut(&peer) {
            (target.failures, target.due) = if stable { (0, first) } else { (failures, later) };
        }
        if self.connected.is_empty() {
            self.hasten(now);
        }
    }

    /// A dial to `peer` failed; `wrong`: the address where somebody else answered.
    ///
    /// The remaining addresses are tried at once, which ends since each such failure rules one out; after any other
    /// failure the peer waits for its back-off.
    pub fn on_dial_failed(&mut self, now: Instant, peer: PeerId, wrong: Option<&Multiaddr>) {
        self.in_flight.remove(&peer);
        let failures = self.chosen.get(&peer).map_or(0, |target| target.failures.saturating_add(1));
        let later = now + self.backoff(failures);
        let Some(target) = self.chosen.get_mut(&peer) else { return };
        if let Some(wrong) = wrong.filter(|wrong| target.addresses.contains(wrong)) {
            if !target.wrong.contains(wrong) {
                target.wrong.push(wrong.clone());
            }
            if target.wrong.len() < target.addresses.len() {
                target.due = now;
                return;
            }
            target.wrong.clear();
        }
        (target.failures, target.due) = (failures, later);
    }

    /// The dials to start now, fewest failures first; each counts as in flight until it is reported back.
    pub fn poll(&mut self, now: Instant) -> Vec<Dial> {
        let room = self.config.max_in_flight.saturating_sub(self.in_flight.len());
        if room == 0 {
            return Vec::new();
        }
        let mut due: Vec<_> = self
            .waiting()
            .filter(|(_, target)| target.due <= now)
            .map(|(peer, t)| (t.failures, t.due, *peer))
            .collect();
        due.sort_unstable();
        due.truncate(room);
        let dials: Vec<_> = due.into_iter().filter_map(|(_, _, peer)| self.dial(peer)).collect();
        self.in_flight.extend(dials.iter().map(|dial| dial.peer));
        dials
    }

    fn dial(&self, peer: PeerId) -> Option<Dial> {
        let target = self.chosen.get(&peer)?;
        let right = target.addresses.iter().filter(|address| !target.wrong.contains(address));
        Some(Dial { peer, addresses: right.cloned().collect() })
    }

    /// When [`poll`](Self::poll) has something to do if nothing happens before; `None`: never.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        let full = self.in_flight.len() >= self.config.max_in_flight;
        if full { None } else { self.waiting().map(|(_, target)| target.due).min() }
    }

    /// Chosen peers to dial sooner or later.
    fn waiting(&self) -> impl Iterator<Item = (&PeerId, &Target)> {
        self.chosen.iter().filter(|(peer, target)| {
            !target.addresses.is_empty()
                && !self.connected.contains_key(peer)
                && !self.in_flight.contains(peer)
        })
    }

    /// No peer is connected any more: those that failed wait no longer than the short back-off allows.
    fn hasten(&mut self, now: Instant) {
        let failed = self.chosen.iter().filter(|(_, target)| target.failures > 0);
        for (peer, failures) in
            failed.map(|(peer, target)| (*peer, target.failures)).collect::<Vec<_>>()
        {
            let soon = now + self.backoff(failures);
            if let Some(target) = self.chosen.get_mut(&peer) {
                target.due = target.due.min(soon);
            }
        }
    }

    fn first_due(&self, now: Instant, peer: PeerId) -> Instant {
        if self.local < peer { now } else { now + self.config.yield_delay }
    }

    /// Between half and all of `min * 2^failures`, within `min` and `max`.
    fn backoff(&mut self, failures: u32) -> Duration {
        let range =
            if self.connected.is_empty() { self.config.alone } else { self.config.connected };
        let factor = 2_u32.checked_pow(failures).unwrap_or(u32::MAX);
        let full = range.min.saturating_mul(factor).min(range.max);
        let half = (full / 2).max(range.min).min(full);
        self.rng.random_range(half..=full)
    }
}
