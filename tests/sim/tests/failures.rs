//! Nodes that die, come back, lose their disk or are copied, and joins that are taken out.

use std::time::Duration;

use unring_cycle_detector::{Event, Voice};
use unring_exchange::Notice;
use unring_sim::{Shape, Trusting, World, identity};

const LATENCY: Duration = Duration::from_millis(2);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn settled(shape: Shape, nodes: usize, ttl: Duration) -> World<Trusting> {
    let mut world =
        World::shaped(Trusting, LATENCY, shape, nodes, |config| config.record_ttl = ttl);
    world.run_for(seconds(15));
    assert_eq!(world.missing(), [""; 0]);
    world
}

/// Who knows node `id`.
fn knowing(world: &World<Trusting>, id: usize) -> usize {
    let subject = world.node(id).peer_id();
    let engines = world.nodes().iter().filter_map(|node| node.engine());
    engines
        .filter(|engine| {
            engine.peers(world.now()).iter().any(|peer| peer.record.record().peer_id == subject)
        })
        .count()
}

fn gone(world: &World<Trusting>) -> Vec<(usize, Voice)> {
    let nodes = world.nodes().iter().enumerate();
    let gone = nodes.flat_map(|(id, node)| {
        node.rings.iter().filter_map(move |event| match event {
            Event::RingGone { voice, .. } => Some((id, *voice)),
            _ => None,
        })
    });
    gone.collect()
}

#[test]
fn a_dead_node_expires_everywhere_and_comes_back_with_a_higher_seq() {
    for shape in [Shape::Ring, Shape::Line, Shape::Mesh, Shape::Star] {
        let ttl = seconds(30);
        let mut world = settled(shape, 5, ttl);
        let (peer, seq) = (world.node(2).peer_id(), world.node(2).persisted_seq());
        world.kill(2);
        world.run_for(ttl / 3);
        assert_eq!(knowing(&world, 2), 4, "{shape:?}: valid for as long as it signed");
        world.run_for(ttl * 2 / 3);
        // It does not return, though its neighbours' streams open and close and all renew their records.
        for minute in 0..10 {
            assert_eq!(knowing(&world, 2), 0, "{shape:?}: after {minute} minutes");
            assert!(gone(&world).is_empty(), "{shape:?}: an expired record is no news");
            world.run_for(seconds(60));
        }
        world.start(2);
        world.run_for(seconds(60 * 5 + 16));
        assert_eq!(world.missing(), [""; 0], "{shape:?}");
        assert_eq!(world.node(2).peer_id(), peer);
        assert!(world.node(2).persisted_seq() > seq);
        assert!(gone(&world).is_empty(), "{shape:?}");
    }
}

#[test]
fn the_others_do_without_a_dead_node_where_they_have_another_way() {
    let mut world = settled(Shape::Mesh, 5, seconds(30));
    world.kill(0);
    world.run_for(seconds(120));
    assert_eq!(world.missing(), [""; 0]);
}

#[test]
fn a_lost_database_and_a_clock_that_went_back() {
    for shape in [Shape::Ring, Shape::Line, Shape::Star] {
        let mut world = settled(shape, 4, seconds(1800));
        let before = world.node(1).persisted_seq();
        world.kill(1);
        world.lose_disk(1);
        world.set_back(1, seconds(240));
        world.start(1);
        assert!(world.node(1).persisted_seq() < before, "else this shows nothing");
        world.run_for(seconds(15));
        assert!(world.node(1).persisted_seq() > before, "{shape:?}");
        assert_eq!(world.missing(), [""; 0], "{shape:?}: it is heard again");
        let adopted = world.node(1).notices.iter();
        let adopted = adopted.filter(|notice| matches!(notice, Notice::SeqAdopted { .. })).count();
        assert_eq!((adopted, world.node(1).notices.len()), (1, 1), "{shape:?}");
    }
}

#[test]
fn a_copied_identity_is_warned_of_and_does_not_duel() {
    // n1 and its copy join the same hub, or follow each other in a ring.
    let topologies: [&[(&str, &[&str])]; 2] = [
        &[("n0", &[]), ("n1", &["n0"]), ("copy", &["n0"]), ("n3", &["n0"])],
        &[("n0", &["n1"]), ("n1", &["copy"]), ("copy", &["n3"]), ("n3", &["n0"])],
    ];
    for topology in topologies {
        let mut world = World::new(Trusting, LATENCY);
        for (number, (name, upstreams)) in topology.iter().enumerate() {
            let number = if *name == "copy" { 1 } else { number };
            world.add(name, identity(number), upstreams, |_| {});
        }
        world.run_for(seconds(600));
        let pair = [world.node(1), world.node(2)];
        let notices: Vec<_> = pair.iter().flat_map(|node| &node.notices).collect();
        let is_warning = |notice: &&&Notice| matches!(notice, Notice::ClonedIdentity { .. });
        assert_eq!(notices.iter().filter(is_warning).count(), 1, "{notices:?}");
        assert!(notices.len() <= 4, "{notices:?}");
        let versions = world.traffic.records.keys();
        let versions = versions.filter(|(peer, _)| *peer == pair[0].peer_id()).count();
        assert!(versions <= 12, "{versions} versions in ten minutes");
        let quiet = world.traffic.pushes;
        world.run_for(seconds(7 * 60));
        let pushes = world.traffic.pushes - quiet;
        assert!(pushes < 100, "{pushes} pushes in the seven minutes after");
    }
}

#[test]
fn a_join_taken_out_is_said_once_by_each_member() {
    for live in [true, false] {
        let mut world = settled(Shape::Ring, 5, seconds(1800));
        assert!(world.nodes().iter().all(|node| node.loud().len() == 1));
        if live {
            world.reconfigure(2, &[]);
        } else {
            world.kill(2);
            world.set_upstreams(2, &[]);
            world.start(2);
        }
        world.run_for(seconds(60));
        assert_eq!(gone(&world), [0, 1, 2, 3, 4].map(|id| (id, Voice::Info)), "live: {live}");
        world.run_for(seconds(3600));
        assert!(world.nodes().iter().all(|node| node.loud().len() == 2), "nothing more is said");
        assert_eq!(world.missing(), [""; 0]);
    }
}

#[test]
fn a_restart_says_nothing_of_a_ring_that_stays() {
    for together in [true, false] {
        let mut world = settled(Shape::Ring, 5, seconds(1800));
        for id in 0..5 {
            world.kill(id);
            if !together {
                world.run_for(seconds(1));
                world.start(id);
                world.run_for(seconds(20));
            }
        }
        if together {
            world.run_for(seconds(60));
            (0..5).for_each(|id| world.start(id));
        }
        // Long enough for the renewals of all, which wait at each hop.
        world.run_for(seconds(660));
        assert_eq!(world.missing(), [""; 0]);
        for node in world.nodes() {
            assert_eq!(node.rings.len(), 1, "together: {together}: {:?}", node.rings);
        }
    }
}

#[test]
fn a_ring_of_strangers_is_noticed_when_it_is_closed_later() {
    let mut world = settled(Shape::Line, 4, seconds(1800));
    assert!(world.nodes().iter().all(|node| node.rings.is_empty()));
    world.reconfigure(3, &["n0"]);
    world.run_for(seconds(10));
    for node in world.nodes() {
        let [Event::RingFound { ring, voice: Voice::Warn }] = &node.rings[..] else {
            panic!("{:?}", node.rings)
        };
        assert_eq!(ring.members.len(), 4);
    }
}

#[test]
fn a_node_that_restarts_while_its_upstream_is_down_says_no_ring_is_gone() {
    let mut world = settled(Shape::Ring, 4, seconds(1800));
    world.kill(2);
    world.kill(1);
    world.run_for(seconds(5));
    world.start(1);
    world.run_for(seconds(300));
    assert!(
        gone(&world).is_empty(),
        "n1 still joins n2, as far as anybody knows: {:?}",
        gone(&world)
    );
    world.start(2);
    world.run_for(seconds(360));
    assert_eq!(world.missing(), [""; 0]);
    assert!(world.nodes().iter().all(|node| node.rings.len() == 1), "nothing was said again");
}
