//! Connections that carry nothing any more and do not break.

use std::time::Duration;

use unring_sim::{Shape, Trusting, World};

const LATENCY: Duration = Duration::from_millis(2);

/// Three heartbeats.
const STREAM_TIMEOUT: Duration = Duration::from_secs(45);

fn silent(world: &World<Trusting>) -> Vec<u64> {
    let engines = world.nodes().iter().filter_map(|node| node.engine());
    engines.map(|engine| engine.counters().silent_streams).collect()
}

#[test]
fn both_ends_find_out_in_time_and_resume_when_it_is_over() {
    for shape in [Shape::Line, Shape::Ring, Shape::Mesh] {
        let mut world = World::shaped(Trusting, LATENCY, shape, 4, |_| {});
        world.run_for(Duration::from_secs(60));
        let between = world.joins().iter().filter(|join| [(0, 1), (1, 0)].contains(join)).count();
        world.stall(0, 1);
        world.run_for(STREAM_TIMEOUT - Duration::from_secs(16));
        assert_eq!(silent(&world), [0; 4], "{shape:?}: too early");
        world.run_for(Duration::from_secs(16) + LATENCY * 2);
        let both = between as u64;
        assert_eq!(silent(&world), [both, both, 0, 0], "{shape:?}");
        world.heal();
        world.traffic = Default::default();
        world.run_for(Duration::from_secs(20));
        assert_eq!(world.missing(), [""; 0], "{shape:?}");
        assert_eq!(silent(&world), [both, both, 0, 0], "{shape:?}: once");
        assert_eq!(world.traffic.records.len(), 0, "{shape:?}: nothing had changed");
    }
}

#[test]
fn news_go_another_way_meanwhile() {
    let mut world = World::shaped(Trusting, LATENCY, Shape::Mesh, 4, |_| {});
    world.run_for(Duration::from_secs(60));
    world.stall(0, 1);
    world.reconfigure(1, &["n2"]);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.missing(), [""; 0], "n0 has it from n2 or n3");
    assert_eq!(silent(&world), [0; 4], "before anybody noticed");
}
