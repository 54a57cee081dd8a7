//! How often a new version of a record is pushed.
//!
//! A version goes out at most once on a stream in each direction, and there is one stream per join: **at most 2 E pushes
//! per version, always**. What goes up is held for 200 ms and left out when the upstream sends it meanwhile, so that the
//! second E is rarely used. Measured here: exactly E in lines, stars and trees, whatever the latency; E in a ring, or
//! E + 1 when news meet half-way; E in a mesh whose round trip is below the hold. In random graphs news that climb by
//! several ways at the same multiples of the hold cross now and then: up to 1.25 E.

use std::time::Duration;

use proptest::prelude::*;
use unring_sim::{Shape, Trusting, World};

/// All nodes renew their records after a third of their ttl.
const RENEWAL: Duration = Duration::from_secs(600);

/// The number of joins, and the fewest and most pushes of a version when all nodes renew their records.
fn measure(mut world: World<Trusting>) -> (u64, u64, u64) {
    world.run_for(RENEWAL / 2);
    assert_eq!(world.missing(), [""; 0]);
    world.traffic = Default::default();
    world.run_for(RENEWAL);
    assert_eq!(world.missing(), [""; 0]);
    assert_eq!(world.traffic.repeated, 0, "a version went out twice on a stream");
    let pushes = world.traffic.records.values();
    let fewest = pushes.clone().min().copied().unwrap_or_default();
    let most = pushes.max().copied().unwrap_or_default();
    (world.joins().len() as u64, fewest, most)
}

fn shaped(shape: Shape, nodes: usize, latency: u64) -> (u64, u64, u64) {
    measure(World::shaped(Trusting, Duration::from_millis(latency), shape, nodes, |_| {}))
}

#[test]
fn where_there_is_one_way_each_join_carries_it_once() {
    for shape in [Shape::Line, Shape::Star, Shape::Tree] {
        for (nodes, latency) in [(2, 1), (3, 400), (10, 20), (30, 50)] {
            let (joins, fewest, most) = shaped(shape, nodes, latency);
            assert_eq!((fewest, most), (joins, joins), "{shape:?} of {nodes}, {latency} ms");
        }
    }
}

#[test]
fn in_a_ring_it_may_cross_itself_once() {
    for nodes in [3, 10, 30] {
        for latency in [1, 5, 20, 50, 150, 400] {
            let (joins, fewest, most) = shaped(Shape::Ring, nodes, latency);
            let case = format!("ring of {nodes}, {latency} ms: {fewest} to {most}");
            assert!(fewest >= joins - 1 && most <= joins + 1, "{case}");
            if nodes as u64 * latency < 200 {
                assert_eq!(most, joins, "{case}");
            }
        }
    }
}

#[test]
fn in_a_mesh_each_join_carries_it_once_as_long_as_the_hold_is_long_enough() {
    for (nodes, latency, exact) in [(3, 5, true), (8, 20, true), (8, 50, true), (8, 400, false)] {
        let (joins, _, most) = shaped(Shape::Mesh, nodes, latency);
        let case = format!("mesh of {nodes}, {latency} ms: {most} for {joins} joins");
        assert!(if exact { most == joins } else { most <= 2 * joins }, "{case}");
    }
}

#[test]
fn in_random_graphs_little_is_pushed_twice() {
    for seed in 1..=8 {
        let (joins, _, most) = shaped(Shape::Random(seed), 15, 5);
        assert!(most * 4 <= joins * 5, "seed {seed}: {most} for {joins} joins");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn never_more_than_twice_per_join(
        seed in 0..u64::MAX,
        nodes in 2..9_usize,
        latency in 1..300_u64,
        jitter in 0..400_u64,
    ) {
        let latency = Duration::from_millis(latency);
        let mut world = World::shaped(Trusting, latency, Shape::Random(seed), nodes, |_| {});
        world.faults.jitter = Duration::from_millis(jitter);
        let (joins, _, most) = measure(world);
        prop_assert!(most <= 2 * joins, "{most} for {joins} joins");
    }
}
