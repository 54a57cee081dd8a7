//! Whom to dial, and when: a state machine without clock, socket or task.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::address;
use crate::choice::{Candidate, Turn, choose};
use crate::config::{DialConfig, HEARSAY_GAP, HEARSAY_SHARE, MAX_ADDRESSES_PER_PEER, WantedPeer};

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
    /// Everyone wanted and known, at most [`crate::MAX_KNOWN_PEERS`].
    candidates: BTreeMap<PeerId, Candidate>,
    /// Those that have a place, at most [`DialConfig::max_chosen`].
    chosen: BTreeSet<PeerId>,
    /// `chosen` is not what the caller was last told.
    changed: bool,
    /// How often places in the queue were given out.
    turns: u64,
    /// When hearsay would have been given its places if each had waited [`HEARSAY_GAP`] for the one before.
    hearsay_clock: Option<Instant>,
    /// Everyone connected and since when; bounded by the connection limits of the swarm.
    connected: BTreeMap<PeerId, Instant>,
    /// At most [`DialConfig::max_in_flight`]; also of peers no longer chosen, since these dials still cost.
    in_flight: BTreeSet<PeerId>,
}

/// What [`Dialer::set_wanted`] made of its input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Peers whose connections are to be kept alive, at most [`crate::MAX_KNOWN_PEERS`]; never the local one.
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
    /// A policy for the node `local`; `seed` feeds the jitter and the order of hearsay.
    #[must_use]
    pub fn new(local: PeerId, config: DialConfig, seed: u64) -> Self {
        Self {
            local,
            config,
            rng: StdRng::seed_from_u64(seed),
            candidates: BTreeMap::new(),
            chosen: BTreeSet::new(),
            changed: false,
            turns: 0,
            hearsay_clock: None,
            connected: BTreeMap::new(),
            in_flight: BTreeSet::new(),
        }
    }

    /// Replaces the peers to stay connected to; a peer given twice counts once with the addresses of both, and is
    /// hearsay when it is so both times.
    ///
    /// With more than there is room for, these are chosen:
    /// 1. Corroborated and connected peers whose ids follow the local id in ascending order, wrapping around: when all
    ///    nodes know the same peers each is chosen equally often, and the connections form one connected graph. A peer
    ///    that was connected once is corroborated as long as it stays wanted.
    /// 2. Corroborated peers that failed [`crate::FAILURES_TO_GIVE_UP`] times in a row, the one that waits longest
    ///    first; they leave one in [`HEARSAY_SHARE`] of the remaining places to hearsay.
    /// 3. Hearsay, the longest known first and at random among those that came together. One that failed as often
    ///    goes to the end and gives its place to the next.
    pub fn set_wanted(&mut self, now: Instant, peers: &[WantedPeer]) -> Selection {
        let mut selection = Selection::default();
        let given = self.usable(peers, &mut selection);
        let total = given.len();
        self.candidates.retain(|peer, _| given.contains_key(peer));
        self.turns += 1;
        for (peer, (addresses, hearsay)) in given {
            self.update(now, peer, addresses, hearsay);
        }
        selection.known = self.assign(now);
        self.candidates.retain(|peer, _| selection.known.contains(peer));
        selection.chosen = self.chosen.clone();
        self.changed = false;
        selection.left_out = total - selection.chosen.len();
        selection
    }

    /// The chosen peers, if they are no longer those that this or [`set_wanted`](Self::set_wanted) returned last.
    pub fn take_changed(&mut self) -> Option<BTreeSet<PeerId>> {
        std::mem::take(&mut self.changed).then(|| self.chosen.clone())
    }

    fn usable(
        &self,
        peers: &[WantedPeer],
        selection: &mut Selection,
    ) -> BTreeMap<PeerId, (Vec<Multiaddr>, bool)> {
        let mut given: BTreeMap<PeerId, (Vec<Multiaddr>, bool)> = BTreeMap::new();
        for wanted in peers.iter().filter(|wanted| wanted.peer != self.local) {
            let (kept, hearsay) = given.entry(wanted.peer).or_insert((Vec::new(), true));
            *hearsay &= wanted.hearsay;
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

    fn update(&mut self, now: Instant, peer: PeerId, addresses: Vec<Multiaddr>, hearsay: bool) {
        // A new address earns an early try, but not a clean slate: a record that changes all the time must not
        // make us dial all the time.
        let early = now + self.backoff(peer, 1);
        let turn = self.turn();
        let candidate = self.candidates.entry(peer).or_insert_with(|| Candidate {
            addresses: addresses.clone(),
            wrong: Vec::new(),
            failures: 0,
            due: now,
            told_as_hearsay: hearsay,
            met: self.connected.contains_key(&peer),
            lasted: false,
            turn,
        });
        if addresses.iter().any(|address| !candidate.addresses.contains(address)) {
            candidate.due = candidate.due.min(early);
        }
        candidate.told_as_hearsay = hearsay;
        candidate.wrong.retain(|address| addresses.contains(address));
        candidate.addresses = addresses;
    }

    /// Gives the places to those who come first now; returns the peers worth knowing.
    fn assign(&mut self, now: Instant) -> BTreeSet<PeerId> {
        let is_connected = |peer: &PeerId| self.connected.contains_key(peer);
        let (known, chosen) =
            choose(self.local, &self.candidates, is_connected, self.config.max_chosen);
        let newcomers: Vec<_> = chosen.difference(&self.chosen).copied().collect();
        self.changed |= chosen != self.chosen;
        self.chosen = chosen;
        for peer in newcomers {
            let first = self.first_due(now, peer);
            let Some(candidate) = self.candidates.get(&peer) else { continue };
            let paced = if candidate.is_hearsay() { self.next_hearsay(now) } else { now };
            if let Some(candidate) = self.candidates.get_mut(&peer) {
                let own = if candidate.failures == 0 { first } else { candidate.due };
                candidate.due = own.max(paced);
            }
        }
        known
    }

    /// As [`assign`](Self::assign), when somebody waits for a place.
    fn reassign(&mut self, now: Instant) {
        if self.candidates.len() > self.chosen.len() {
            self.assign(now);
        }
    }

    fn turn(&mut self) -> Turn {
        (self.turns, self.rng.random())
    }

    /// When a hearsay peer that is given a place now may be dialled first.
    fn next_hearsay(&mut self, now: Instant) -> Instant {
        let burst = u32::try_from(self.config.max_chosen).unwrap_or(u32::MAX);
        let clock = self.hearsay_clock.map_or(now, |clock| clock.max(now));
        self.hearsay_clock = clock.checked_add(HEARSAY_GAP);
        clock.checked_sub(HEARSAY_GAP.saturating_mul(burst)).map_or(now, |due| due.max(now))
    }

    /// A connection to `peer` was established; `dialled`: by us.
    pub fn on_connected(&mut self, now: Instant, peer: PeerId, dialled: bool) {
        if dialled {
            self.in_flight.remove(&peer);
        }
        self.connected.entry(peer).or_insert(now);
        if let Some(candidate) = self.candidates.get_mut(&peer) {
            candidate.met = true;
        }
    }

    /// The last connection to `peer` is gone.
    pub fn on_disconnected(&mut self, now: Instant, peer: PeerId) {
        let Some(since) = self.connected.remove(&peer) else { return };
        let stable = now.saturating_duration_since(since) >= self.config.stable_after;
        if let Some(target) = self.candidates.get_mut(&peer) {
            target.lasted = stable;
        }
        let first = self.first_due(now, peer);
        let failures = self.next_failures(peer);
        let later = now + self.backoff(peer, failures);
        let turn = self.later_turn();
        if let Some(target) = self.candidates.get_mut(&peer) {
            (target.failures, target.due) = if stable { (0, first) } else { (failures, later) };
            target.turn = if target.is_given_up() { turn } else { target.turn };
            self.reassign(now);
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
        let failures = self.next_failures(peer);
        let later = now + self.backoff(peer, failures);
        let turn = self.later_turn();
        let Some(target) = self.candidates.get_mut(&peer) else { return };
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
        if target.is_given_up() {
            target.turn = turn;
            self.reassign(now);
        }
    }

    /// A dial to `peer` was not started, because another part of the node dials it already or it has just connected. That is no
    /// failure; should nothing come of it, the peer's turn comes again after the back-off that it has now.
    pub fn on_dial_skipped(&mut self, now: Instant, peer: PeerId) {
        self.in_flight.remove(&peer);
        let failures = self.candidates.get(&peer).map_or(0, |target| target.failures);
        let later = now + self.backoff(peer, failures);
        if let Some(target) = self.candidates.get_mut(&peer) {
            target.due = later;
        }
    }

    fn next_failures(&self, peer: PeerId) -> u32 {
        self.candidates.get(&peer).map_or(0, |target| target.failures.saturating_add(1))
    }

    /// Behind everyone.
    fn later_turn(&mut self) -> Turn {
        self.turns += 1;
        self.turn()
    }

    /// The dials to start now, each in flight until it is reported back: corroborated peers first, then hearsay, for
    /// which one in [`HEARSAY_SHARE`] of the dials is reserved, and which leaves as many to corroborated peers that wait
    /// for their time; among these those with the fewest failures first.
    pub fn poll(&mut self, now: Instant) -> Vec<Dial> {
        let room = self.config.max_in_flight.saturating_sub(self.in_flight.len());
        if room == 0 {
            return Vec::new();
        }
        let (mut due, mut hearsay): (Vec<_>, Vec<_>) = self
            .waiting()
            .filter(|(_, target)| target.due <= now)
            .map(|(peer, t)| (t.is_hearsay(), (t.failures, t.due, t.turn, peer)))
            .partition(|(is_hearsay, _)| !is_hearsay);
        due.sort_unstable_by_key(|(_, (failures, due, _, peer))| (*failures, *due, *peer));
        hearsay.sort_unstable();
        hearsay.truncate(self.most_hearsay().saturating_sub(self.hearsay_in_flight()));
        let reserved = (self.config.max_in_flight / HEARSAY_SHARE)
            .saturating_sub(self.hearsay_in_flight())
            .min(hearsay.len());
        due.truncate(room.saturating_sub(reserved));
        let in_order = due.into_iter().chain(hearsay).take(room);
        let dials: Vec<_> = in_order.filter_map(|(_, (.., peer))| self.dial(peer)).collect();
        self.in_flight.extend(dials.iter().map(|dial| dial.peer));
        dials
    }

    /// Dials of hearsay at once: addresses that never answer must not hold up a peer that is due a moment later.
    fn most_hearsay(&self) -> usize {
        let most = self.config.max_in_flight;
        let corroborated = self.waiting().any(|(_, target)| !target.is_hearsay());
        if corroborated { most - most / HEARSAY_SHARE } else { most }
    }

    fn hearsay_in_flight(&self) -> usize {
        let is_hearsay = |peer| self.candidates.get(peer).is_none_or(Candidate::is_hearsay);
        self.in_flight.iter().filter(|peer| is_hearsay(peer)).count()
    }

    fn dial(&self, peer: PeerId) -> Option<Dial> {
        let target = self.candidates.get(&peer)?;
        let right = target.addresses.iter().filter(|address| !target.wrong.contains(address));
        Some(Dial { peer, addresses: right.cloned().collect() })
    }

    /// When [`poll`](Self::poll) has something to do if nothing happens before; `None`: never.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        if self.in_flight.len() >= self.config.max_in_flight {
            return None;
        }
        let hearsay = self.hearsay_in_flight() < self.most_hearsay();
        let waiting = self.waiting().filter(|(_, target)| hearsay || !target.is_hearsay());
        waiting.map(|(_, target)| target.due).min()
    }

    /// Chosen peers to dial sooner or later.
    fn waiting(&self) -> impl Iterator<Item = (PeerId, &Candidate)> {
        let chosen = self.chosen.iter();
        chosen.filter_map(|peer| Some((*peer, self.candidates.get(peer)?))).filter(
            |(peer, target)| {
                !target.addresses.is_empty()
                    && !self.connected.contains_key(peer)
                    && !self.in_flight.contains(peer)
            },
        )
    }

    /// No peer is connected any more: those that failed wait no longer than the short back-off allows.
    fn hasten(&mut self, now: Instant) {
        let failed = self.candidates.iter().filter(|(_, target)| target.failures > 0);
        for (peer, failures) in
            failed.map(|(peer, target)| (*peer, target.failures)).collect::<Vec<_>>()
        {
            let soon = now + self.backoff(peer, failures);
            if let Some(target) = self.candidates.get_mut(&peer) {
                target.due = target.due.min(soon);
            }
        }
    }

    fn first_due(&self, now: Instant, peer: PeerId) -> Instant {
        if self.local < peer { now } else { now + self.config.yield_delay }
    }

    /// Between half and all of `min * 2^failures`, within `min` and `max`.
    fn backoff(&mut self, peer: PeerId, failures: u32) -> Duration {
        let lost = self.candidates.get(&peer).is_some_and(|candidate| candidate.lasted);
        let range = match self.connected.is_empty() {
            true => self.config.alone,
            false if lost => self.config.lost,
            false => self.config.connected,
        };
        let factor = 2_u32.checked_pow(failures).unwrap_or(u32::MAX);
        let full = range.min.saturating_mul(factor).min(range.max);
        let half = (full / 2).max(range.min).min(full);
        self.rng.random_range(half..=full)
    }
}
