//! Whom look-ups and walks dial, where and when, without clock or socket.
//!
//! What others say of where a peer is may be a lie: it leads to somebody else, or to machines that never asked to be dialled. So
//! the addresses that the peer itself has told come first and by themselves, those that others told have fewer of the places and a
//! pace, and an address where somebody else answers does not spoil the rest.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use libp2p::swarm::ConnectionId;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::failure::DialFailure;
use crate::kad::config::{
    HEARSAY_DIAL_BURST, HEARSAY_DIAL_GAP, MAX_HEARSAY_DIALS, MAX_KAD_DIALS, MAX_TOLD_ADDRESSES,
    TELLERS,
};

/// So many at once, then one in a time.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When the next one would be if each had waited for the one before.
    clock: Option<Instant>,
}

impl Pace {
    /// Whether there may be one now.
    pub(crate) fn take(&mut self, now: Instant, gap: Duration, burst: u32) -> bool {
        let clock = self.clock.map_or(now, |clock| clock.max(now));
        if clock.saturating_duration_since(now) >= gap * burst {
            return false;
        }
        self.clock = clock.checked_add(gap);
        true
    }
}

/// One after the other; each is gone when it has failed.
#[derive(Debug)]
struct Target {
    /// Of the routing table: the peer itself has told them.
    table: Vec<Multiaddr>,
    /// What others told.
    told: Vec<Multiaddr>,
    /// All that others ever told while it was wanted; at most [`MAX_TOLD_ADDRESSES`] times [`TELLERS`].
    heard: Vec<Multiaddr>,
    /// Those of the routing table were tried, and nobody or somebody else was there.
    unreachable: bool,
}

#[derive(Debug, Clone)]
struct Flight {
    peer: PeerId,
    addresses: Vec<Multiaddr>,
    table: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Dial and tell [`Dials::began`].
    Dial { peer: PeerId, addresses: Vec<Multiaddr> },
    /// Too many peers that only others know were dialled.
    Paced(PeerId),
}

/// What a failure means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Something else decides.
    GoesOn,
    /// The peer is not reached; `unreachable`: not even where it said itself.
    Failed { peer: PeerId, unreachable: bool },
}

/// The dials of Kademlia.
#[derive(Debug)]
pub(crate) struct Dials {
    /// Whoever is wanted and not connected; bounded by the requests on their way.
    targets: HashMap<PeerId, Target>,
    /// Those of `targets` that wait for a place.
    queue: VecDeque<PeerId>,
    /// At most [`MAX_KAD_DIALS`].
    in_flight: HashMap<ConnectionId, Flight>,
    /// Of peers that only others know.
    pace: Pace,
}

impl Dials {
    pub(crate) fn new() -> Self {
        let (targets, queue, in_flight, pace) = Default::default();
        Self { targets, queue, in_flight, pace }
    }

    /// A peer is wanted that is not connected. `false`: nobody knows where it is.
    pub(crate) fn want(
        &mut self,
        peer: PeerId,
        table: Vec<Multiaddr>,
        mut told: Vec<Multiaddr>,
    ) -> bool {
        told.retain(|address| !table.contains(address));
        told.truncate(MAX_TOLD_ADDRESSES);
        if let Some(target) = self.targets.get_mut(&peer) {
            // Whoever was first to say where it is may have lied.
            told.retain(|address| !target.heard.contains(address));
            told.truncate(MAX_TOLD_ADDRESSES * TELLERS - target.heard.len());
            target.heard.extend_from_slice(&told);
            target.told.extend(told);
            return true;
        }
        if table.is_empty() && told.is_empty() {
            return false;
        }
        let heard = told.clone();
        self.targets.insert(peer, Target { table, told, heard, unreachable: false });
        self.queue.push_back(peer);
        true
    }

    /// Dials on their way.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether somebody waits for a place.
    pub(crate) fn waits(&self) -> bool {
        !self.queue.is_empty() && self.in_flight.len() < MAX_KAD_DIALS
    }

    /// What is to be done now, if anything; `wanted` says who is still waited for.
    pub(crate) fn next(&mut self, now: Instant, wanted: impl Fn(&PeerId) -> bool) -> Option<Next> {
        self.queue.retain(|peer| {
            let wanted = wanted(peer);
            if !wanted {
                self.targets.remove(peer);
            }
            wanted
        });
        if self.in_flight.len() >= MAX_KAD_DIALS {
            return None;
        }
        let told = self.in_flight.values().filter(|flight| !flight.table).count();
        let has_table =
            |peer: &PeerId| self.targets.get(peer).is_some_and(|target| !target.table.is_empty());
        let place = self.queue.iter().position(has_table);
        let place =
            place.or_else(|| (told < MAX_HEARSAY_DIALS && !self.queue.is_empty()).then_some(0))?;
        let peer = self.queue.remove(place)?;
        let target = self.targets.get_mut(&peer)?;
        if !target.table.is_empty() {
            return Some(Next::Dial { peer, addresses: target.table.clone() });
        }
        let addresses = target.told.clone();
        if !self.pace.take(now, HEARSAY_DIAL_GAP, HEARSAY_DIAL_BURST) {
            self.targets.remove(&peer);
            return Some(Next::Paced(peer));
        }
        Some(Next::Dial { peer, addresses })
    }

    /// The dial that [`next`](Self::next) asked for was started.
    pub(crate) fn began(&mut self, id: ConnectionId, peer: PeerId) {
        let Some(target) = self.targets.get_mut(&peer) else { return };
        let table = !target.table.is_empty();
        let addresses = std::mem::take(if table { &mut target.table } else { &mut target.told });
        self.in_flight.insert(id, Flight { peer, addresses, table });
    }

    /// A connection to the peer was established, by whomever.
    pub(crate) fn connected(&mut self, id: ConnectionId, peer: &PeerId) {
        self.in_flight.remove(&id);
        self.targets.remove(peer);
        self.queue.retain(|other| other != peer);
    }

    /// A dial failed, ours or that of another part of the node.
    pub(crate) fn failed(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        failure: &DialFailure,
    ) -> Outcome {
        let Some(mut flight) = self.in_flight.remove(&id) else {
            // Somebody else's dial, for which ours was not begun: now it is our turn.
            self.disconnected(&peer);
            return Outcome::GoesOn;
        };
        let Some(target) = self.targets.get_mut(&peer) else { return Outcome::GoesOn };
        match failure {
            DialFailure::WrongPeer { address, .. } | DialFailure::OwnAddress { address } => {
                flight.addresses.retain(|other| crate::address::without_peer(other) != *address);
            }
            DialFailure::NoGreeting { .. } | DialFailure::Unreachable { .. } => {
                flight.addresses.clear();
            }
            // Our own limits and lists say nothing about the peer.
            DialFailure::Limit(_) | DialFailure::KeptOut(_) | DialFailure::NotDialled { .. } => {
                self.targets.remove(&peer);
                return Outcome::Failed { peer, unreachable: false };
            }
        }
        target.unreachable |= flight.table && flight.addresses.is_empty();
        // Each time at least one address fewer, so this ends.
        let rest = if flight.table { &mut target.table } else { &mut target.told };
        // Others may have told more meanwhile.
        flight.addresses.append(rest);
        *rest = flight.addresses;
        if target.table.is_empty() && target.told.is_empty() {
            let unreachable = target.unreachable;
            self.targets.remove(&peer);
            return Outcome::Failed { peer, unreachable };
        }
        self.queue.push_back(peer);
        Outcome::GoesOn
    }

    /// Another part of the node dials the peer already, or it is connected: what becomes of that decides.
    pub(crate) fn elsewhere(&mut self, id: ConnectionId) {
        let Some(mut flight) = self.in_flight.remove(&id) else { return };
        let Some(target) = self.targets.get_mut(&flight.peer) else { return };
        let rest = if flight.table { &mut target.table } else { &mut target.told };
        flight.addresses.append(rest);
        *rest = flight.addresses;
    }

    /// The last connection to the peer is gone: whoever waits for that has its turn.
    pub(crate) fn disconnected(&mut self, peer: &PeerId) {
        let flies = self.in_flight.values().any(|flight| flight.peer == *peer);
        if self.targets.contains_key(peer) && !self.queue.contains(peer) && !flies {
            self.queue.push_back(*peer);
        }
    }

    #[cfg(test)]
    pub(crate) fn sizes(&self) -> [usize; 3] {
        [self.targets.len(), self.queue.len(), self.in_flight.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(n: usize) -> Multiaddr {
        format!("/ip4/10.0.{}.{}/tcp/1", n / 250, n % 250).parse().unwrap()
    }

    struct World {
        dials: Dials,
        now: Instant,
        ids: usize,
    }

    impl World {
        fn new() -> Self {
            Self { dials: Dials::new(), now: Instant::now(), ids: 0 }
        }

        fn dial(&mut self) -> Option<(ConnectionId, PeerId, Vec<Multiaddr>)> {
            match self.dials.next(self.now, |_| true)? {
                Next::Dial { peer, addresses } => {
                    self.ids += 1;
                    let id = ConnectionId::new_unchecked(self.ids);
                    self.dials.began(id, peer);
                    Some((id, peer, addresses))
                }
                Next::Paced(_) => None,
            }
        }
    }

    fn silent() -> DialFailure {
        DialFailure::Unreachable { detail: String::new() }
    }

    #[test]
    fn what_strangers_told_leaves_room_for_peers_that_were_met() {
        let mut world = World::new();
        for n in 0..64 {
            assert!(world.dials.want(PeerId::random(), vec![], vec![at(n)]));
        }
        let mut begun = Vec::new();
        while let Some(dial) = world.dial() {
            begun.push(dial);
        }
        assert_eq!(begun.len(), MAX_HEARSAY_DIALS);
        let met = PeerId::random();
        world.dials.want(met, vec![at(100)], vec![]);
        assert_eq!(world.dial().unwrap().1, met, "no blackhole holds it up");
        assert!(world.dial().is_none());
        let (id, peer, _) = begun[0].clone();
        assert_eq!(
            world.dials.failed(id, peer, &silent()),
            Outcome::Failed { peer, unreachable: false }
        );
        assert!(world.dial().is_some());
        assert!(world.dials.next(world.now, |_| false).is_none());
        assert_eq!(world.dials.sizes()[1], 0, "who gave up is not dialled");
    }

    #[test]
    fn strangers_are_dialled_at_a_pace_and_peers_that_were_met_are_not_held_up() {
        let mut world = World::new();
        let mut dialled = 0;
        for n in 0..500 {
            let peer = PeerId::random();
            world.dials.want(peer, vec![], vec![at(n)]);
            if let Some((id, peer, _)) = world.dial() {
                dialled += 1;
                world.dials.failed(id, peer, &silent());
            }
        }
        assert_eq!(dialled, HEARSAY_DIAL_BURST);
        assert_eq!(world.dials.sizes(), [0, 0, 0]);
        world.dials.want(PeerId::random(), vec![at(1)], vec![]);
        assert!(world.dial().is_some());
        world.now += HEARSAY_DIAL_GAP;
        world.dials.want(PeerId::random(), vec![], vec![at(1)]);
        assert!(world.dial().is_some());
    }

    #[test]
    fn a_liar_cannot_make_a_peer_unreachable() {
        let mut world = World::new();
        let (peer, liar) = (PeerId::random(), PeerId::random());
        world.dials.want(peer, vec![at(1)], vec![at(66), at(1), at(2)]);
        let (id, _, addresses) = world.dial().unwrap();
        assert_eq!(addresses, [at(1)], "where it is by its own word comes first");
        assert_eq!(world.dials.failed(id, peer, &silent()), Outcome::GoesOn);
        let (id, _, addresses) = world.dial().unwrap();
        assert_eq!(addresses, [at(66), at(2)]);
        let wrong = DialFailure::WrongPeer { obtained: liar, address: at(66) };
        assert_eq!(world.dials.failed(id, peer, &wrong), Outcome::GoesOn);
        let (id, _, addresses) = world.dial().unwrap();
        assert_eq!(addresses, [at(2)]);
        world.dials.connected(id, &peer);
        assert_eq!(world.dials.sizes(), [0, 0, 0]);
        // One whose own addresses fail is unreachable; one that a liar invented an address for is not.
        world.dials.want(peer, vec![], vec![at(66)]);
        let (id, ..) = world.dial().unwrap();
        assert_eq!(
            world.dials.failed(id, peer, &wrong),
            Outcome::Failed { peer, unreachable: false }
        );
        world.dials.want(peer, vec![at(1)], vec![]);
        let (id, ..) = world.dial().unwrap();
        assert_eq!(
            world.dials.failed(id, peer, &silent()),
            Outcome::Failed { peer, unreachable: true }
        );
    }

    #[test]
    fn the_first_to_say_where_a_peer_is_does_not_decide() {
        let mut world = World::new();
        let peer = PeerId::random();
        world.dials.want(peer, vec![], vec![at(66)]);
        let (id, ..) = world.dial().unwrap();
        // While the lie is dialled, another look-up hears better; who repeats it adds nothing.
        world.dials.want(peer, vec![], vec![at(66), at(1)]);
        assert_eq!(world.dials.failed(id, peer, &silent()), Outcome::GoesOn);
        let (id, _, addresses) = world.dial().unwrap();
        assert_eq!(addresses, [at(1)]);
        for n in 0..1000 {
            world.dials.want(peer, vec![], vec![at(n)]);
        }
        world.dials.failed(id, peer, &silent());
        let (id, _, addresses) = world.dial().unwrap();
        assert_eq!(addresses.len(), MAX_TOLD_ADDRESSES * TELLERS - 2);
        world.dials.want(peer, vec![], vec![at(1)]);
        let failed = Outcome::Failed { peer, unreachable: false };
        assert_eq!(world.dials.failed(id, peer, &silent()), failed, "it ends");
    }

    #[test]
    fn who_waits_for_a_connection_to_close_is_dialled_then() {
        let mut world = World::new();
        let peer = PeerId::random();
        world.dials.want(peer, vec![at(1)], vec![]);
        let (id, ..) = world.dial().unwrap();
        world.dials.elsewhere(id);
        assert!(world.dial().is_none(), "it is still connected");
        world.dials.disconnected(&peer);
        world.dials.disconnected(&peer);
        assert_eq!(world.dial().unwrap().2, [at(1)]);
        assert!(world.dial().is_none(), "once");
    }

    #[test]
    fn our_own_limits_say_nothing_about_a_peer() {
        let mut world = World::new();
        let peer = PeerId::random();
        let limit = crate::LimitExceeded { limit: 32, kind: crate::LimitKind::PendingOutgoing };
        for failure in
            [DialFailure::Limit(limit), DialFailure::NotDialled { detail: String::new() }]
        {
            world.dials.want(peer, vec![at(1)], vec![at(2)]);
            let (id, ..) = world.dial().unwrap();
            let outcome = world.dials.failed(id, peer, &failure);
            assert_eq!(outcome, Outcome::Failed { peer, unreachable: false });
        }
        assert_eq!(world.dials.sizes(), [0, 0, 0]);
    }

    #[test]
    fn a_dial_of_another_part_of_the_node_decides_and_then_ours_begins() {
        let mut world = World::new();
        let peer = PeerId::random();
        world.dials.want(peer, vec![at(1)], vec![]);
        let (id, ..) = world.dial().unwrap();
        world.dials.elsewhere(id);
        assert!(world.dial().is_none());
        let other = ConnectionId::new_unchecked(1000);
        assert_eq!(world.dials.failed(other, peer, &silent()), Outcome::GoesOn);
        assert_eq!(world.dial().unwrap().2, [at(1)]);
        assert!(!world.dials.want(PeerId::random(), vec![], vec![]), "nobody knows where it is");
    }
}
