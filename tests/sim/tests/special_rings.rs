//! Rings that are no mistake, and those of a single node.

use std::time::Duration;

use unring_cycle_detector::{Event, RingKind, Voice};
use unring_exchange::Incomplete;
use unring_sim::{Shape, Trusting, World, identity, name};

const LATENCY: Duration = Duration::from_millis(2);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn behind(address: &str, nodes: usize, seed: Option<u64>) -> World<Trusting> {
    let mut world = World::new(Trusting, LATENCY);
    world.share(address, (0..nodes).collect(), seed);
    for number in 0..nodes {
        world.add(&name(number), identity(number), &[address], |_| {});
    }
    world
}

#[test]
fn servers_behind_one_address_know_each_other_and_hear_no_warning() {
    // A load balancer that takes turns, and ones that draw lots.
    for (nodes, seed) in [2, 3, 5].into_iter().flat_map(|nodes| {
        [None, Some(1), Some(2), Some(3), Some(4), Some(5)].map(|seed| (nodes, seed))
    }) {
        let case = format!("{nodes} nodes, {seed:?}");
        let mut world = behind("vip", nodes, seed);
        world.run_for(seconds(6 * 3600));
        assert_eq!(world.missing(), [""; 0], "{case}");
        for node in world.nodes() {
            let [Event::RingFound { ring, voice: Voice::Info }] = node.loud()[..] else {
                panic!("{case}: {:?}", node.rings)
            };
            assert_eq!((ring.kind, ring.members.len()), (RingKind::Shared, nodes), "{case}");
            assert!(ring.cuts.is_empty(), "there is nothing to cut");
        }
        let client = world.ask(0, seconds(10));
        world.run_for(seconds(10));
        let answer = world.answer(client).map(|answered| answered.answer.records.len());
        assert_eq!(answer, Some(nodes), "{case}");
    }
}

#[test]
fn a_node_that_joins_itself_is_told_so() {
    let mut world = World::shaped(Trusting, LATENCY, Shape::Ring, 1, |_| {});
    world.run_for(seconds(60));
    let [Event::RingFound { ring, voice: Voice::Warn }] = &world.node(0).rings[..] else {
        panic!("{:?}", world.node(0).rings)
    };
    assert_eq!((ring.kind, ring.cuts.len()), (RingKind::SelfJoin, 1));
    world.traffic = Default::default();
    world.run_for(seconds(600));
    let traffic = &world.traffic;
    assert!(traffic.streams + traffic.local <= 8, "it leaves itself alone: {traffic:?}");
    assert_eq!((traffic.recursive, world.node(0).rings.len()), (0, 1));

    let client = world.ask(0, seconds(10));
    world.run_for(seconds(10));
    let answer = world.answer(client).map(|answered| &answered.answer);
    assert_eq!(answer.map(|answer| answer.incomplete.clone()), Some([Incomplete::Loop].into()));
}

#[test]
fn a_shared_address_with_one_node_behind_it_is_that_node() {
    let mut world = behind("vip", 1, None);
    world.run_for(seconds(60));
    let voices: Vec<_> =
        world.node(0).rings.iter().map(|event| (event.ring().kind, event.voice())).collect();
    assert_eq!(voices, [(RingKind::SelfJoin, Voice::Warn)]);
}

#[test]
fn a_plain_ring_beside_a_shared_address_is_warned_of() {
    // n0, n1 and n2 join a shared address of theirs; n3 and n4 join each other, and n3 the shared address.
    let mut world = World::new(Trusting, LATENCY);
    world.share("vip", vec![0, 1, 2], None);
    for number in 0..3 {
        world.add(&name(number), identity(number), &["vip"], |_| {});
    }
    world.add("n3", identity(3), &["n4", "vip"], |_| {});
    world.add("n4", identity(4), &["n3"], |_| {});
    world.run_for(seconds(60));
    assert_eq!(world.missing(), [""; 0]);
    for (id, node) in world.nodes().iter().enumerate() {
        let said: Vec<_> = node
            .loud()
            .into_iter()
            .map(|event| (event.ring().kind, event.voice(), world.numbers(&event.ring().members)))
            .collect();
        let expected = if id < 3 {
            (RingKind::Shared, Voice::Info, 3)
        } else {
            (RingKind::Plain, Voice::Warn, 2)
        };
        let said: Vec<_> =
            said.iter().map(|(kind, voice, members)| (*kind, *voice, members.len())).collect();
        assert_eq!(said, [expected], "n{id}");
    }
}
