//! An iterative walk towards a key: whom to ask next, without clock or socket.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::config::MAX_ADDRESSES_PER_PEER;
use crate::kad::position::{Distance, Position};
use crate::kad::wire::Contact;

/// Peers that a walk remembers; beyond, the furthest goes. Three times what an honest one meets in a network of a thousand.
const MAX_CONTACTS: usize = 256;
/// Peers that a walk asks; then it ends with what it has. Liars can always tell of somebody closer still.
const MAX_ASKED: usize = 96;

/// Peers believed of one answer: as many as an honest one holds.
const MAX_TOLD_BY_ONE: usize = 20;
/// Of these, such as do not answer; then the others that only the same peer has told of are not asked any more. Half: after a part
/// of the network is gone honest peers tell of many dead ones too, but of the same.
const MAX_FAILED_OF_ONE: usize = 10;

/// How a walk is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WalkConfig {
    /// How many of the closest must have answered at the end: Kademlia's k.
    pub(crate) closest: usize,
    /// Requests on their way at once: its α.
    pub(crate) parallel: usize,
    /// A request without an answer for so long no longer counts among the parallel ones.
    pub(crate) stalled_after: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Known,
    Asked(Instant),
    Answered,
    Failed,
    /// Not asked, because too many others that the same peer has told of do not answer.
    Passed,
}

/// A peer of a walk.
#[derive(Debug)]
struct Met {
    state: State,
    contact: Contact,
    /// Whose answer told of it first; 0 is this node's own table.
    source: usize,
}

/// A walk.
#[derive(Debug)]
pub(crate) struct Walk {
    local: PeerId,
    target: Position,
    config: WalkConfig,
    /// By their distance to the target, which tells them apart; at most [`MAX_CONTACTS`].
    contacts: BTreeMap<Distance, Met>,
    /// How many of each source do not answer; the first is this node itself.
    failures: Vec<usize>,
    asked: usize,
}

impl Walk {
    pub(crate) fn new(
        local: PeerId,
        target: Position,
        config: WalkConfig,
        seeds: impl IntoIterator<Item = Contact>,
    ) -> Self {
        let (contacts, failures) = (BTreeMap::new(), vec![0]);
        let mut walk = Self { local, target, config, contacts, failures, asked: 0 };
        walk.add(0, seeds);
        walk
    }

    fn distance(&self, peer: &PeerId) -> Distance {
        self.target.distance(&Position::of_peer(peer))
    }

    fn add(&mut self, source: usize, contacts: impl IntoIterator<Item = Contact>) {
        for contact in contacts {
            if contact.peer == self.local {
                continue;
            }
            let distance = self.distance(&contact.peer);
            match self.contacts.get_mut(&distance) {
                Some(met) => {
                    merge(&mut met.contact.addresses, contact.addresses);
                    if met.state == State::Passed {
                        (met.state, met.source) = (State::Known, source);
                    }
                }
                None => {
                    let state = State::Known;
                    self.contacts.insert(distance, Met { state, contact, source });
                }
            }
        }
        while self.contacts.len() > MAX_CONTACTS {
            // Neither what others tell nor how much of it can push out whom this node knows itself or has heard of.
            let spare = |met: &Met| {
                met.source != 0 && !matches!(met.state, State::Asked(_) | State::Answered)
            };
            let furthest = self.contacts.iter().rev().find(|(_, met)| spare(met));
            let Some(furthest) = furthest.map(|(distance, _)| *distance) else { return };
            self.contacts.remove(&furthest);
        }
    }

    /// Those that the walk ends with if they answer: the closest that did not fail.
    fn goal(&self) -> impl Iterator<Item = (State, &Contact)> {
        let sound = self
            .contacts
            .values()
            .filter(|met| !matches!(met.state, State::Failed | State::Passed));
        sound.map(|met| (met.state, &met.contact)).take(self.config.closest)
    }

    /// The next one to ask now, if any.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Contact> {
        let stalled_after = self.config.stalled_after;
        let moving = |state: &State| matches!(state, State::Asked(since) if now.saturating_duration_since(*since) < stalled_after);
        let in_flight = self.contacts.values().filter(|met| moving(&met.state)).count();
        if in_flight >= self.config.parallel || self.asked >= MAX_ASKED {
            return None;
        }
        let next = self.goal().find(|(state, _)| *state == State::Known)?.1.clone();
        let distance = self.distance(&next.peer);
        self.contacts.get_mut(&distance)?.state = State::Asked(now);
        self.asked += 1;
        Some(next)
    }

    /// When a request on its way becomes a stalled one, so that [`next`](Self::next) may have another.
    pub(crate) fn next_due(&self, now: Instant) -> Option<Instant> {
        let asked = self.contacts.values().filter_map(|met| match met.state {
            State::Asked(since) => Some(since + self.config.stalled_after),
            _ => None,
        });
        asked.filter(|due| *due > now).min()
    }

    pub(crate) fn on_answer(&mut self, peer: &PeerId, closer: Vec<Contact>) {
        self.set(peer, State::Answered);
        self.failures.push(0);
        self.add(self.failures.len() - 1, closer.into_iter().take(MAX_TOLD_BY_ONE));
    }

    pub(crate) fn on_failure(&mut self, peer: &PeerId) {
        let Some(source) = self.set(peer, State::Failed) else { return };
        let Some(failures) = self.failures.get_mut(source) else { return };
        *failures += 1;
        if source == 0 || *failures < MAX_FAILED_OF_ONE {
            return;
        }
        for met in self.contacts.values_mut().filter(|met| met.source == source) {
            if met.state == State::Known {
                met.state = State::Passed;
            }
        }
    }

    /// Returns the peer's source, if it is still known.
    fn set(&mut self, peer: &PeerId, state: State) -> Option<usize> {
        let distance = self.distance(peer);
        let met = self.contacts.get_mut(&distance)?;
        met.state = state;
        Some(met.source)
    }

    /// Whether the closest have answered, or nobody is left to ask or to wait for.
    pub(crate) fn is_done(&self) -> bool {
        let waits = |state: &State| matches!(state, State::Asked(_));
        let left = |state: &State| *state == State::Known && self.asked < MAX_ASKED;
        !self.goal().any(|(state, _)| waits(&state) || left(&state))
    }

    /// Whether all that are waited for are slow to answer, and nobody is left to ask.
    pub(crate) fn only_stalled_left(&self, now: Instant) -> bool {
        let slow =
            |since: Instant| now.saturating_duration_since(since) >= self.config.stalled_after;
        self.goal().all(|(state, _)| match state {
            State::Asked(since) => slow(since),
            State::Known => self.asked >= MAX_ASKED,
            State::Answered | State::Failed | State::Passed => true,
        })
    }

    /// Those that are waited for, with when they were asked, if nobody is left to ask.
    pub(crate) fn waited_for(&self) -> Option<Vec<(PeerId, Instant)>> {
        let mut waited_for = Vec::new();
        for (state, contact) in self.goal() {
            match state {
                State::Asked(since) => waited_for.push((contact.peer, since)),
                State::Known if self.asked < MAX_ASKED => return None,
                State::Known | State::Answered | State::Failed | State::Passed => {}
            }
        }
        Some(waited_for)
    }

    /// Whether everybody whom it met was asked and has answered or failed: nobody else can be found.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.contacts.values().all(|met| matches!(met.state, State::Answered | State::Failed))
    }

    /// How many were asked.
    #[cfg(test)]
    pub(crate) fn asked(&self) -> usize {
        self.asked
    }

    /// How many answered.
    #[cfg(test)]
    pub(crate) fn answered(&self) -> usize {
        self.contacts.values().filter(|met| met.state == State::Answered).count()
    }

    /// Those that answered, closest first.
    pub(crate) fn into_answered(self) -> Vec<Contact> {
        let answered = self.contacts.into_values().filter(|met| met.state == State::Answered);
        answered.map(|met| met.contact).collect()
    }
}

fn merge(known: &mut Vec<Multiaddr>, told: Vec<Multiaddr>) {
    for address in told {
        if known.len() < MAX_ADDRESSES_PER_PEER && !known.contains(&address) {
            known.push(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONFIG: WalkConfig =
        WalkConfig { closest: 3, parallel: 2, stalled_after: Duration::from_millis(500) };

    fn contact() -> Contact {
        Contact { peer: PeerId::random(), addresses: vec![] }
    }

    fn sorted(target: Position, mut contacts: Vec<Contact>) -> Vec<Contact> {
        contacts.sort_by_key(|contact| target.distance(&Position::of_peer(&contact.peer)));
        contacts
    }

    /// A network in which each peer knows `known` of the others; a walk through it, with who answered.
    fn walk_through(peers: &[Contact], known: usize, dead: &[PeerId]) -> (Vec<Contact>, usize) {
        let target = Position::of_key(b"target");
        let local = PeerId::random();
        let config = WalkConfig { closest: 20, parallel: 3, ..CONFIG };
        let mut walk = Walk::new(local, target, config, peers[..1].to_vec());
        let now = Instant::now();
        let mut on_its_way = Vec::new();
        while !walk.is_done() {
            while let Some(next) = walk.next(now) {
                on_its_way.push(next.peer);
            }
            assert!(on_its_way.len() <= 3);
            let peer = on_its_way.remove(0);
            if dead.contains(&peer) {
                walk.on_failure(&peer);
                continue;
            }
            // It knows those next to itself and, of the others, the closest to the target.
            let mut near = sorted(Position::of_peer(&peer), peers.to_vec());
            near.truncate(known);
            let mut told = sorted(target, near);
            told.truncate(20);
            walk.on_answer(&peer, told);
        }
        let asked = walk.asked();
        (walk.into_answered(), asked)
    }

    #[test]
    fn the_closest_are_found_and_nobody_is_asked_twice() {
        let peers: Vec<Contact> = (0..200).map(|_| contact()).collect();
        let (answered, asked) = walk_through(&peers, 200, &[]);
        let closest = sorted(Position::of_key(b"target"), peers);
        assert_eq!(answered[..20], closest[..20]);
        assert!((20..=30).contains(&asked), "{asked}");
    }

    #[test]
    fn the_dead_are_passed_over() {
        let peers: Vec<Contact> = (0..50).map(|_| contact()).collect();
        let all = sorted(Position::of_key(b"target"), peers.clone());
        let others = all.iter().filter(|contact| contact.peer != peers[0].peer);
        let dead: Vec<PeerId> = others.take(7).map(|contact| contact.peer).collect();
        let (answered, _) = walk_through(&peers, 50, &dead);
        // Each tells of the twenty closest, the dead among them.
        let sound = all.into_iter().filter(|contact| !dead.contains(&contact.peer));
        assert_eq!(answered[..13], sound.take(13).collect::<Vec<_>>());
    }

    #[test]
    fn a_stalled_request_makes_room_and_may_still_answer() {
        let now = Instant::now();
        let target = Position::of_key(b"x");
        let peers = sorted(target, (0..3).map(|_| contact()).collect());
        let mut walk = Walk::new(PeerId::random(), target, CONFIG, peers.clone());
        assert_eq!(walk.next(now), Some(peers[0].clone()));
        assert_eq!(walk.next(now), Some(peers[1].clone()));
        assert_eq!(walk.next(now), None);
        let due = now + CONFIG.stalled_after;
        assert_eq!(walk.next_due(now), Some(due));
        assert_eq!(walk.next(due), Some(peers[2].clone()));
        walk.on_answer(&peers[2].peer, vec![]);
        walk.on_answer(&peers[0].peer, vec![]);
        assert!(!walk.is_done() && walk.only_stalled_left(due) && !walk.only_stalled_left(now));
        walk.on_failure(&peers[1].peer);
        assert!(walk.is_done());
        assert_eq!(walk.answered(), 2);
    }

    #[test]
    fn a_walk_that_is_lied_to_ends() {
        let now = Instant::now();
        let target = Position::of_key(b"x");
        let local = PeerId::random();
        let mut walk = Walk::new(local, target, CONFIG, [contact()]);
        let mut asked = 0;
        while !walk.is_done() {
            let next = walk.next(now).unwrap();
            asked += 1;
            let more =
                (0..50).map(|_| contact()).chain([Contact { peer: local, addresses: vec![] }]);
            walk.on_answer(&next.peer, more.collect());
            assert!(walk.contacts.len() <= MAX_CONTACTS);
        }
        assert!(asked <= MAX_ASKED);
        assert!(walk.into_answered().iter().all(|contact| contact.peer != local));
    }

    #[test]
    fn one_liar_does_not_end_a_walk() {
        let now = Instant::now();
        let target = Position::of_key(b"x");
        let config = WalkConfig { closest: 20, parallel: 3, ..CONFIG };
        // Ground ids: all that are invented lie nearer than all that exist.
        let many = sorted(target, (0..400).map(|_| contact()).collect());
        let (invented, honest) = many.split_at(300);
        let seeds = &honest[80..];
        let mut walk = Walk::new(PeerId::random(), target, config, seeds.to_vec());
        let liar = walk.next(now).unwrap();
        walk.on_answer(&liar.peer, invented.to_vec());
        let mut wasted = 0;
        while let Some(next) = walk.next(now) {
            if honest.contains(&next) {
                walk.on_answer(&next.peer, honest[..20].to_vec());
            } else {
                wasted += 1;
                walk.on_failure(&next.peer);
            }
        }
        assert!(walk.is_done() && !walk.is_exhausted());
        assert_eq!(wasted, MAX_FAILED_OF_ONE);
        assert_eq!(walk.into_answered()[..20], honest[..20]);
    }

    #[test]
    fn whom_one_liar_named_is_asked_when_somebody_else_names_it() {
        let now = Instant::now();
        let target = Position::of_key(b"x");
        let many = sorted(target, (0..20).map(|_| contact()).collect());
        let mut walk = Walk::new(PeerId::random(), target, CONFIG, many[18..].to_vec());
        let liar = walk.next(now).unwrap();
        walk.on_answer(&liar.peer, many[..18].to_vec());
        for _ in 0..MAX_FAILED_OF_ONE {
            let next = walk.next(now).unwrap();
            walk.on_failure(&next.peer);
        }
        assert_eq!(walk.next(now), Some(many[19].clone()), "the other seed");
        walk.on_answer(&many[19].peer, vec![many[15].clone()]);
        assert_eq!(walk.next(now), Some(many[15].clone()));
    }

    proptest! {
        #[test]
        fn it_never_has_more_on_its_way_than_it_may(answers in prop::collection::vec((any::<bool>(), 0_usize..6), 1..80)) {
            let now = Instant::now();
            let mut walk = Walk::new(PeerId::random(), Position::of_key(b"x"), CONFIG, [contact()]);
            let mut on_its_way = Vec::new();
            for (answered, more) in answers {
                while let Some(next) = walk.next(now) {
                    on_its_way.push(next.peer);
                }
                prop_assert!(on_its_way.len() <= CONFIG.parallel);
                let Some(peer) = on_its_way.pop() else { break };
                match answered {
                    true => walk.on_answer(&peer, (0..more).map(|_| contact()).collect()),
                    false => walk.on_failure(&peer),
                }
            }
        }
    }
}
