//! A cluster in which nothing happens: what it sends while it waits.

use std::time::Duration;

use unring_sim::{Shape, Trusting, World};

const LATENCY: Duration = Duration::from_millis(2);

/// All nodes renew their records after a third of their ttl.
const RENEWAL: Duration = Duration::from_secs(600);

const HEARTBEAT: Duration = Duration::from_secs(15);

const SHAPES: [Shape; 5] = [Shape::Ring, Shape::Line, Shape::Star, Shape::Tree, Shape::Mesh];

fn settled(shape: Shape, nodes: usize) -> World<Trusting> {
    let mut world = World::shaped(Trusting, LATENCY, shape, nodes, |_| {});
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.missing(), [""; 0], "{shape:?}");
    world.traffic = Default::default();
    world
}

#[test]
fn a_steady_cluster_exchanges_no_list_and_opens_no_stream_for_hours() {
    for shape in SHAPES {
        let mut world = settled(shape, 6);
        let joins = world.joins().len() as u64;
        let hours = 6;
        world.run_for(Duration::from_secs(hours * 3600));
        let sent = &world.traffic;
        assert_eq!((sent.recursive, sent.local, sent.streams), (0, 0, 0), "{shape:?}");
        assert_eq!(world.missing(), [""; 0], "{shape:?}");
        // Each renewal is one version, and each version crosses each join once or twice.
        let renewals = hours * 3600 / RENEWAL.as_secs();
        let versions = sent.records.len() as u64;
        assert!(versions <= 6 * (renewals + 1) && versions >= 6 * (renewals - 1), "{versions}");
        for pushes in sent.records.values() {
            assert!((joins..=2 * joins).contains(pushes), "{shape:?}: {pushes} of {joins}");
        }
        assert_eq!(sent.repeated, 0);
        // Two ends of each join say that they are there, at most once in 15 s each.
        let most = 2 * joins * (hours * 3600 / HEARTBEAT.as_secs() + 1);
        assert!(sent.heartbeats <= most && sent.heartbeats * 10 >= most * 8, "{shape:?}");
    }
}

#[test]
fn a_connection_that_breaks_costs_no_record_when_nothing_changed() {
    for shape in SHAPES {
        let mut world = settled(shape, 6);
        let joins = world.joins().len() as u64;
        for round in 1..=3 {
            world.break_all();
            world.run_for(Duration::from_secs(40));
            assert_eq!(world.traffic.records.len(), 0, "{shape:?}: {:?}", world.traffic);
            assert_eq!(world.traffic.streams, round * joins, "{shape:?}: each is opened again");
        }
        let resumed = world.nodes().iter().filter_map(|node| node.engine());
        let resumed: u64 = resumed.map(|engine| engine.counters().streams_resumed).sum();
        assert_eq!(resumed, 3 * joins, "{shape:?}");
    }
}

#[test]
fn what_changed_while_a_connection_was_broken_crosses_and_nothing_else_does() {
    for shape in SHAPES {
        let mut world = settled(shape, 6);
        world.break_all();
        // Its record says that it joins nobody any more, or that it joins one more.
        world.reconfigure(5, &["n0", "n1"]);
        world.run_for(Duration::from_secs(40));
        assert_eq!(world.missing(), [""; 0], "{shape:?}");
        let changed = world.node(5).peer_id();
        // The new join leads to n1, whose stream starts with a snapshot.
        let others = world.traffic.records.iter().filter(|((peer, _), _)| *peer != changed);
        let most = others.map(|(_, pushes)| *pushes).max().unwrap_or_default();
        assert!(most <= 2, "{shape:?}: {:?}", world.traffic.records);
    }
}

#[test]
fn a_node_that_starts_anew_is_told_everything_and_no_other_is() {
    let mut world = settled(Shape::Line, 5);
    world.kill(4);
    world.run_for(Duration::from_secs(5));
    world.start(4);
    world.run_for(Duration::from_secs(60));
    assert_eq!(world.missing(), [""; 0]);
    // n3 joins n4, which has another epoch now: it says all that it knows to it, once.
    let restarted = world.node(4).peer_id();
    let others = world.traffic.records.iter().filter(|((peer, _), _)| *peer != restarted);
    assert!(others.clone().all(|(_, pushes)| *pushes == 1), "{:?}", world.traffic.records);
    assert_eq!(others.count(), 3, "n3's own record came with the request for a stream");
}
