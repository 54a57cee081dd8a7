//! Networks of every shape, started cold and left alone: all know all, each ring is named once, and then it is quiet.
#![expect(clippy::expect_used, reason = "a test")]

use std::collections::BTreeSet;
use std::time::Duration;

use unring_cycle_detector::{Event, Voice};
use unring_sim::{NodeId, Shape, Trusting, World};

const LATENCY: Duration = Duration::from_millis(2);

fn started(shape: Shape, nodes: usize) -> World<Trusting> {
    World::shaped(Trusting, LATENCY, shape, nodes, |_| {})
}

fn assert_all_know_all(world: &World<Trusting>, case: &str) {
    assert_eq!(world.missing(), [""; 0], "{case}");
    assert_eq!(world.wrong_joins(), [""; 0], "{case}");
    // The topology is known too, not just the nodes.
    for node in world.nodes() {
        let engine = node.engine().expect("it runs");
        for known in engine.topology().nodes {
            let truth = world.node(world.number(&known.id).expect("one of ours"));
            let record = truth.engine().and_then(|engine| engine.own_record()).expect("signed");
            let (known, truth) = (known.joins.len(), record.record().joins.len());
            assert_eq!(known, truth, "{case}: joins of a node");
        }
    }
}

/// Each member of each true ring has said so once, loudly; all name the same witness, a real circuit, and the same cut.
fn assert_rings_named_once(world: &World<Trusting>, case: &str) {
    let (joins, rings) = (world.joins(), world.true_rings());
    let mut named = BTreeSet::new();
    for (id, node) in world.nodes().iter().enumerate() {
        let expected: Vec<_> = rings.iter().filter(|ring| ring.contains(&id)).collect();
        let loud = node.loud();
        assert_eq!(loud.len(), expected.len(), "{case}: n{id} says {loud:?}");
        assert_eq!(node.rings.len(), loud.len(), "{case}: n{id} has changed its mind");
        for event in loud {
            let Event::RingFound { ring, voice: Voice::Warn } = event else {
                panic!("{case}: n{id} says {event:?}")
            };
            let members: BTreeSet<NodeId> = world.numbers(&ring.members).into_iter().collect();
            assert!(expected.contains(&&members), "{case}: n{id} names {members:?}");
            let witness = world.numbers(&ring.witness);
            for (index, from) in witness.iter().enumerate() {
                let to = witness[(index + 1) % witness.len()];
                assert!(joins.contains(&(*from, to)), "{case}: {witness:?} is no circuit");
            }
            assert!(!ring.cuts.is_empty(), "{case}");
            let cuts: Vec<_> = ring.cuts.iter().map(|cut| (cut.from, cut.to)).collect();
            named.insert((members, witness, cuts));
        }
    }
    assert_eq!(named.len(), rings.len(), "{case}: all members say the same");
}

/// Nothing is sent in ten minutes but each node's new record, at a third of its ttl, and probes of joins on a ring.
fn assert_quiet(world: &mut World<Trusting>, case: &str) {
    let ttl = Duration::from_secs(30 * 60);
    // The records are all signed within the first seconds, so that one renewal falls into these ten minutes.
    world.run_for(Duration::from_secs(60));
    world.traffic = Default::default();
    world.run_for(ttl / 3);
    let (nodes, joins) = (world.nodes().len() as u64, world.joins().len() as u64);
    assert_eq!((world.traffic.recursive, world.traffic.streams), (0, 0), "{case}");
    let joined: BTreeSet<_> = world.joins().into_iter().flat_map(|(a, b)| [a, b]).collect();
    assert_eq!(world.traffic.records.len(), joined.len(), "{case}: one new version each");
    assert!(world.traffic.most_pushes_of_a_version() <= 2 * joins, "{case}");
    let on_ring = world.true_rings().iter().map(BTreeSet::len).sum::<usize>() > 0;
    let probes = if on_ring { 3 * joins } else { 0 };
    assert!(world.traffic.probes <= probes, "{case}: {} probes", world.traffic.probes);
    assert_eq!(world.traffic.local, 0, "{case}: nobody is asked for a list");
    // Besides, nothing at all but those probes, and four heartbeats a minute from each end of a join, five where ends begin
    // to take turns. Renewals that are still under way go with them.
    world.run_for(Duration::from_secs(60));
    world.traffic = Default::default();
    world.run_for(Duration::from_secs(7 * 60));
    assert_eq!(world.traffic.recursive, 0, "{case}");
    let (timers, sent) = (world.traffic.timers, world.traffic.heartbeats + world.traffic.pushes);
    assert!(sent <= 2 * joins * 7 * 5, "{case}: {sent} messages on streams");
    assert!(timers <= nodes * 4 + world.traffic.probes * 2 + sent, "{case}: {timers} timers");
}

fn check(shape: Shape, nodes: usize) {
    let case = format!("{shape:?} of {nodes}");
    let mut world = started(shape, nodes);
    world.run_for(Duration::from_secs(15));
    assert_all_know_all(&world, &case);
    assert_rings_named_once(&world, &case);
    assert_quiet(&mut world, &case);
    assert_all_know_all(&world, &case);
    assert_rings_named_once(&world, &case);
}

#[test]
fn rings() {
    for nodes in [2, 3, 10, 30] {
        check(Shape::Ring, nodes);
    }
}

#[test]
fn a_ring_of_100() {
    check(Shape::Ring, 100);
}

#[test]
fn lines_stars_and_trees() {
    for shape in [Shape::Line, Shape::Star, Shape::Tree] {
        for nodes in [1, 2, 5, 20] {
            check(shape, nodes);
        }
    }
}

#[test]
fn meshes() {
    for nodes in [3, 5, 10] {
        check(Shape::Mesh, nodes);
    }
}

#[test]
fn random_ones() {
    for seed in 1..=10 {
        check(Shape::Random(seed), 12);
    }
}

#[test]
fn the_leaves_of_a_star_know_each_other_within_five_seconds() {
    let mut world = started(Shape::Star, 5);
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.missing(), [""; 0]);
    assert!(world.nodes().iter().all(|node| node.rings.is_empty()));
}
