//! Loss, jitter, partitions and crashes: whatever happened, once it ends all know all again.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use unring_sim::{Shape, Trusting, World};

/// What goes wrong, and for how many milliseconds nothing else does.
#[derive(Clone, Debug)]
enum Fault {
    Cut(usize, usize),
    Kill(usize),
    Start(usize),
    LoseDisk(usize),
    Ask(usize),
    Join(usize, usize),
}

fn fault() -> impl Strategy<Value = (Fault, u64)> {
    let node = 0..12_usize;
    let pair = (node.clone(), node.clone());
    let fault = prop_oneof![
        pair.clone().prop_map(|(a, b)| Fault::Cut(a, b)),
        node.clone().prop_map(Fault::Kill),
        node.clone().prop_map(Fault::Start),
        node.clone().prop_map(Fault::LoseDisk),
        node.prop_map(Fault::Ask),
        pair.prop_map(|(from, to)| Fault::Join(from, to)),
    ];
    (fault, 0..4000_u64)
}

fn apply(world: &mut World<Trusting>, fault: Fault) {
    let nodes = world.nodes().len();
    let is_up = |world: &World<Trusting>, id: usize| world.node(id).engine().is_some();
    match fault {
        Fault::Cut(a, b) => world.cut(a % nodes, b % nodes),
        Fault::Kill(id) => world.kill(id % nodes),
        Fault::Start(id) if !is_up(world, id % nodes) => world.start(id % nodes),
        Fault::LoseDisk(id) if !is_up(world, id % nodes) => world.lose_disk(id % nodes),
        Fault::Ask(id) => drop(world.ask(id % nodes, Duration::from_secs(5))),
        Fault::Join(from, to) if is_up(world, from % nodes) => {
            world.reconfigure(from % nodes, &[&unring_sim::name(to % nodes)]);
        }
        Fault::Start(_) | Fault::LoseDisk(_) | Fault::Join(..) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_was_lost_is_made_up_for(
        seed in 0..u64::MAX,
        nodes in 1..=12_usize,
        loss in 0.0..0.4_f64,
        jitter in 0..300_u64,
        faults in vec(fault(), 0..25),
    ) {
        let latency = Duration::from_millis(5);
        let mut world = World::shaped(Trusting, latency, Shape::Random(seed), nodes, |_| {});
        world.faults.seed(seed);
        world.faults.loss = loss;
        world.faults.jitter = Duration::from_millis(jitter);
        for (fault, pause) in faults {
            apply(&mut world, fault);
            world.run_for(Duration::from_millis(pause));
        }
        world.heal();
        for id in 0..nodes {
            if world.node(id).engine().is_none() {
                world.start(id);
            }
        }
        // The longest back-off of a node without libp2p connections is 10 s, a look that was lost takes a minute to be
        // made up for, and the oldest stream may still have to find out that it is dead.
        world.run_for(Duration::from_secs(120));
        prop_assert_eq!(world.missing(), [""; 0]);
        prop_assert_eq!(world.traffic.repeated, 0);
        let timers = world.traffic.timers;
        prop_assert!(timers < 400 * nodes as u64 + 4000, "{timers} timers: something spins");
        // No request is left behind.
        for node in world.nodes() {
            let upstreams = node.engine().map(|engine| engine.upstreams(world.now()));
            let in_flight: usize =
                upstreams.into_iter().flatten().map(|upstream| upstream.in_flight).sum();
            prop_assert_eq!(in_flight, 0);
        }
        // And each ring is known, by its true members, to all of them.
        for (id, node) in world.nodes().iter().enumerate() {
            let engine = node.engine().expect("all run");
            let mut known: Vec<_> = engine.rings().iter().map(|ring| {
                world.numbers(&ring.members).into_iter().collect::<std::collections::BTreeSet<_>>()
            }).filter(|members| members.contains(&id)).collect();
            known.sort();
            let expected: Vec<_> =
                world.true_rings().into_iter().filter(|ring| ring.contains(&id)).collect();
            prop_assert_eq!(known, expected, "n{}", id);
        }
    }
}
