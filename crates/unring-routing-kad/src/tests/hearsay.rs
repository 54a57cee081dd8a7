//! What peers that exist only on paper can do to those that exist, on a fake clock.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use libp2p_identity::PeerId;
use proptest::prelude::*;

use crate::{
    DialConfig, Dialer, FAILURES_TO_GIVE_UP, HEARSAY_GAP, Limits, MAX_KNOWN_PEERS, WantedPeer,
};

const S: Duration = Duration::from_secs(1);

/// An id (the identity multihash of its bytes) that follows those with a smaller `(group, n)`.
fn id(group: u8, n: u16) -> PeerId {
    let mut bytes = [group; 34];
    bytes[..2].copy_from_slice(&[0, 32]);
    bytes[3..5].copy_from_slice(&n.to_be_bytes());
    PeerId::from_bytes(&bytes).unwrap()
}

const LOCAL: u8 = 1;
/// Ground to lie between the local id and every honest one.
const FAKE: u8 = 2;
const HONEST: u8 = 3;

fn wanted(group: u8, count: u16, hearsay: bool) -> Vec<WantedPeer> {
    let address = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
    let one =
        |n| WantedPeer { peer: id(group, n), addresses: vec![Clone::clone(&address)], hearsay };
    (0..count).map(one).collect()
}

fn ids(group: u8, count: u16) -> BTreeSet<PeerId> {
    (0..count).map(|n| id(group, n)).collect()
}

struct World {
    dialer: Dialer,
    start: Instant,
    now: Instant,
    /// How long a dial to nobody takes.
    silence: Duration,
    pending: BTreeSet<(Instant, PeerId)>,
    /// In order.
    dials: Vec<(Instant, PeerId)>,
}

impl World {
    fn new(max_connections: u32, seed: u64, silence: Duration) -> Self {
        let config = DialConfig::for_limits(&Limits::new(max_connections));
        let start = Instant::now();
        let dialer = Dialer::new(id(LOCAL, 0), config, seed);
        Self { dialer, start, now: start, silence, pending: BTreeSet::new(), dials: Vec::new() }
    }

    /// Honest peers answer at once, others never; ends when `done` or after `limit`.
    fn run(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        while !done(self) {
            for dial in self.dialer.poll(self.now) {
                self.dials.push((self.now, dial.peer));
                if dial.peer >= id(HONEST, 0) {
                    self.dialer.on_connected(self.now, dial.peer, true);
                } else {
                    self.pending.insert((self.now + self.silence, dial.peer));
                }
            }
            let failed = self.pending.first().map(|(at, _)| *at);
            let Some(next) = failed.into_iter().chain(self.dialer.next_due()).min() else { return };
            if next > end {
                return;
            }
            self.now = self.now.max(next);
            while let Some((at, peer)) = self.pending.pop_first() {
                if at > self.now {
                    self.pending.insert((at, peer));
                    break;
                }
                self.dialer.on_dial_failed(self.now, peer, None);
            }
        }
    }

    fn dialled(&self, group: u8) -> BTreeSet<PeerId> {
        let all = self.dials.iter().map(|(_, peer)| *peer);
        all.filter(|peer| (id(group, 0)..=id(group, u16::MAX)).contains(peer)).collect()
    }
}

fn silence() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(Duration::ZERO), Just(10 * S)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3))]

    #[test]
    fn callers_come_before_any_number_of_fakes(seed in any::<u64>(), silence in silence()) {
        let mut world = World::new(192, seed, silence);
        let fakes = wanted(FAKE, 10_000, true);
        let all = [fakes.clone(), wanted(HONEST, 50, false)].concat();
        // The fakes come first and have every dial in flight.
        world.dialer.set_wanted(world.now, &fakes);
        world.run(S, |_| false);
        let selection = world.dialer.set_wanted(world.now, &all);
        prop_assert_eq!((selection.known.len(), selection.chosen.len()), (MAX_KNOWN_PEERS, 96));
        prop_assert!(selection.chosen.is_superset(&ids(HONEST, 50)));
        world.run(15 * S, |_| false);
        prop_assert_eq!(world.dialled(HONEST), ids(HONEST, 50));
    }

    #[test]
    fn honest_hearsay_is_found_among_dead_fakes(seed in any::<u64>(), silence in silence()) {
        let mut world = World::new(512, seed, silence);
        let all = [wanted(FAKE, 1000, true), wanted(HONEST, 200, true)].concat();
        world.dialer.set_wanted(world.now, &all);
        world.run(6 * 3600 * S, |world| world.dialled(HONEST).len() == 200);
        prop_assert_eq!(world.dialled(HONEST), ids(HONEST, 200));
        let chosen = world.dialer.set_wanted(world.now, &all).chosen;
        prop_assert!(chosen.is_superset(&ids(HONEST, 200)), "connected peers keep their places");
    }

    /// Callers that are never there, as many as places and more, leave room for honest hearsay.
    #[test]
    fn dead_callers_do_not_keep_hearsay_out(seed in any::<u64>(), silence in silence()) {
        let mut world = World::new(64, seed, silence);
        let all = [wanted(FAKE, 100, false), wanted(HONEST, 8, true)].concat();
        let chosen = world.dialer.set_wanted(world.now, &all).chosen;
        prop_assert!(chosen.is_disjoint(&ids(HONEST, 8)));
        world.run(3600 * S, |world| world.dialled(HONEST).len() == 8);
        prop_assert_eq!(world.dialled(HONEST), ids(HONEST, 8));
    }

    /// However many fakes there are, the dials are paced.
    #[test]
    fn dials_to_fakes_are_paced(seed in any::<u64>()) {
        let mut world = World::new(192, seed, Duration::ZERO);
        world.dialer.on_connected(world.now, id(HONEST, 0), false);
        world.dialer.set_wanted(world.now, &wanted(FAKE, 2000, true));
        world.run(200 * S, |_| false);
        let newcomers = 96 + (world.now - world.start).as_secs() / HEARSAY_GAP.as_secs() + 1;
        let count = world.dialled(FAKE).len();
        prop_assert!(u64::try_from(count).unwrap() <= newcomers, "{} peers", count);
        prop_assert!(count > 200, "only {} peers: places are not given on", count);
        let most = usize::try_from(FAILURES_TO_GIVE_UP).unwrap() * count;
        prop_assert!(world.dials.len() <= most, "{} dials", world.dials.len());
    }
}

#[test]
fn who_fails_five_times_goes_to_the_end_and_the_others_keep_their_places() {
    let mut world = World::new(8, 1, Duration::ZERO);
    let all = wanted(FAKE, 12, true);
    let first = world.dialer.set_wanted(world.now, &all).chosen;
    assert_eq!(world.dialer.set_wanted(world.now, &all).chosen, first, "stable");
    world.run(3600 * S, |world| world.dialled(FAKE).len() == 12);
    assert_eq!(world.dialled(FAKE), ids(FAKE, 12), "everyone has its turn");
    for peer in ids(FAKE, 12) {
        let dials = world.dials.iter().filter(|dial| dial.1 == peer).count();
        assert!(dials <= 5, "{dials} before everyone had one");
    }
}

#[test]
fn a_place_is_kept_for_four_failures_and_given_on_at_the_fifth() {
    let mut world = World::new(2, 1, Duration::ZERO);
    let all = wanted(FAKE, 2, true);
    let first = world.dialer.set_wanted(world.now, &all).chosen;
    let peer = *first.first().unwrap();
    for _ in 1..FAILURES_TO_GIVE_UP {
        world.dialer.on_dial_failed(world.now, peer, None);
        assert_eq!(world.dialer.take_changed(), None);
    }
    world.dialer.on_dial_failed(world.now, peer, None);
    let other = world.dialer.take_changed().unwrap();
    assert!(other.is_disjoint(&first));
    assert_eq!(
        world.dialer.set_wanted(world.now, &all).chosen,
        other,
        "the same list changes nothing"
    );
}

#[test]
fn a_peer_that_was_connected_is_no_longer_hearsay() {
    let all = [wanted(FAKE, 9, true), wanted(HONEST, 1, true)].concat();
    // A seed that chooses somebody else at first.
    let mut world = (0..)
        .map(|seed| World::new(2, seed, Duration::ZERO))
        .find_map(|mut world| {
            let chosen = world.dialer.set_wanted(world.now, &all).chosen;
            (chosen != ids(HONEST, 1)).then_some(world)
        })
        .unwrap();
    world.dialer.on_connected(world.now, id(HONEST, 0), false);
    world.dialer.on_disconnected(world.now + 20 * S, id(HONEST, 0));
    assert_eq!(world.dialer.take_changed(), Some(ids(HONEST, 1)));
    assert_eq!(world.dialer.set_wanted(world.now, &all).chosen, ids(HONEST, 1));
}

#[test]
fn hearsay_is_chosen_by_chance_and_not_by_id() {
    let all = wanted(FAKE, 100, true);
    let run = |seed| World::new(8, seed, S).dialer.set_wanted(Instant::now(), &all).chosen;
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    assert_ne!(run(1), ids(FAKE, 4));
}

#[test]
fn hearsay_without_an_address_holds_no_place_and_all_have_one_when_there_is_room() {
    let mut all = wanted(FAKE, 28, true);
    let selection = World::new(192, 1, S).dialer.set_wanted(Instant::now(), &all);
    assert_eq!((selection.chosen, selection.left_out), (ids(FAKE, 28), 0));
    for peer in &mut all[4..] {
        peer.addresses.clear();
    }
    assert_eq!(World::new(8, 1, S).dialer.set_wanted(Instant::now(), &all).chosen, ids(FAKE, 4));
}

#[test]
fn hearsay_that_never_answers_leaves_room_for_a_peer_that_is_due_later() {
    let mut world = World::new(192, 1, 10 * S);
    // Its id makes it wait for the others to dial first.
    let config = DialConfig::for_limits(&Limits::new(192));
    world.dialer = Dialer::new(id(HONEST + 1, 0), config, 1);
    let all = [wanted(FAKE, 60, true), wanted(HONEST, 2, false)].concat();
    world.dialer.set_wanted(world.now, &all);
    let honest =
        |world: &World| world.dials.iter().filter(|(_, peer)| *peer >= id(HONEST, 0)).count();
    world.run(60 * S, |world| honest(world) == 2);
    assert_eq!((honest(&world), world.now - world.start), (2, S));
}
