//! Law L1: a recursive request costs at most one message per join; and L2: nobody waits for what another one holds.

use std::num::NonZeroUsize;
use std::time::Duration;

use unring_exchange::Incomplete;
use unring_sim::{Shape, Trusting, World};

const SHAPES: [(Shape, &[usize]); 8] = [
    (Shape::Ring, &[1, 2, 3, 10, 50]),
    (Shape::Line, &[2, 10, 50]),
    (Shape::Star, &[5, 50]),
    (Shape::Tree, &[7, 50]),
    (Shape::Mesh, &[2, 5, 12]),
    (Shape::Random(1), &[12, 50]),
    (Shape::Random(2), &[12, 50]),
    (Shape::Random(3), &[12, 50]),
];

const BUDGET: Duration = Duration::from_secs(10);
const LATENCY: Duration = Duration::from_millis(2);

/// Messages of each request, by what every node says of those it took part in.
fn messages_per_request(world: &World<Trusting>) -> Vec<usize> {
    let mut messages = std::collections::BTreeMap::new();
    for engine in world.nodes().iter().filter_map(|node| node.engine()) {
        for request in engine.recent() {
            *messages.entry((request.origin, request.request_id)).or_default() += request.sent;
        }
    }
    messages.into_values().collect()
}

fn for_each_shape(mut check: impl FnMut(Shape, usize)) {
    for (shape, sizes) in SHAPES {
        sizes.iter().for_each(|nodes| check(shape, *nodes));
    }
}

#[test]
fn the_requests_of_a_cold_start() {
    for_each_shape(|shape, nodes| {
        let mut world = World::shaped(Trusting, LATENCY, shape, nodes, |_| {});
        world.run_for(Duration::from_secs(30));
        let joins = world.joins().len();
        let most = messages_per_request(&world).into_iter().max().unwrap_or_default();
        assert!(most <= joins, "{shape:?} of {nodes}: {most} messages for {joins} joins");
        let starters =
            world.joins().iter().map(|(from, _)| *from).collect::<std::collections::BTreeSet<_>>();
        let all = world.traffic.recursive;
        assert!(all <= (starters.len() * joins) as u64, "{shape:?} of {nodes}: {all} in all");
    });
}

#[test]
fn a_client_that_asks_any_node_at_any_time() {
    for_each_shape(|shape, nodes| {
        for settled in [false, true] {
            let mut world = World::shaped(Trusting, LATENCY, shape, nodes, |config| {
                config.refresh = settled;
            });
            if settled {
                world.run_for(Duration::from_secs(30));
            }
            for node in [0, nodes / 2, nodes - 1] {
                let before = world.traffic.recursive;
                let client = world.ask(node, BUDGET);
                world.run_for(BUDGET);
                let sent = world.traffic.recursive - before;
                let joins = world.joins().len() as u64;
                assert!(sent <= joins, "{shape:?} of {nodes}, n{node}: {sent} for {joins} joins");
                let answered = world.answer(client).map(|answered| answered.after);
                assert!(answered.is_some_and(|after| after < BUDGET), "{shape:?} of {nodes}");
            }
        }
    });
}

#[test]
fn forty_in_a_ring_all_ask_at_once_with_one_slot_each() {
    // Each node's own request takes the one slot to its upstream, so that all forty find the next node's slot taken. A
    // slot that is waited for (a semaphore's `acquire`, or a pending request that is forwarded once another one's answer
    // frees the slot) would have each wait for the next, all around the ring: none would be answered before the
    // deadline. So would joining the request in flight instead of making one of one's own. `try_acquire` in
    // `Upstream` and the check before it in `Engine::reachable_upstreams` are what answers them at once.
    for refresh in [false, true] {
        let mut world = World::shaped(Trusting, LATENCY, Shape::Ring, 40, |config| {
            config.slots_per_upstream = NonZeroUsize::MIN;
            config.refresh = refresh;
        });
        let clients: Vec<_> = (0..40).map(|node| world.ask(node, BUDGET)).collect();
        world.run_for(BUDGET);
        for client in clients {
            let answered = world.answer(client).unwrap_or_else(|| panic!("n{client} waits"));
            assert!(answered.after <= LATENCY * 2, "n{client}: {:?}", answered.after);
            let busy = answered.answer.incomplete.contains(&Incomplete::Busy);
            assert!(busy && answered.answer.retry_after.is_some(), "n{client}");
        }
    }
}

#[test]
fn forty_in_a_ring_all_ask_at_once_with_the_default_slots() {
    let mut world =
        World::shaped(Trusting, LATENCY, Shape::Ring, 40, |config| config.refresh = false);
    let clients: Vec<_> = (0..40).map(|node| world.ask(node, BUDGET)).collect();
    world.run_for(BUDGET);
    assert!(world.traffic.recursive <= 40 * 40);
    for client in clients {
        let answered = world.answer(client).unwrap_or_else(|| panic!("n{client} waits"));
        assert!(answered.after < BUDGET / 10, "n{client}: {:?}", answered.after);
        let in_flight = world.node(client).engine().map(|engine| engine.upstreams(world.now()));
        assert!(in_flight.is_some_and(|upstreams| upstreams[0].in_flight == 0));
    }
}

#[test]
fn a_node_that_says_nothing_costs_its_callers_their_deadline_and_no_more() {
    // n0 joins n1 joins n2, whose answer is lost.
    let mut world =
        World::shaped(Trusting, LATENCY, Shape::Line, 3, |config| config.refresh = false);
    let client = world.ask(0, BUDGET);
    world.run_for(LATENCY * 3 / 2);
    world.faults.loss = 1.0;
    world.run_for(Duration::from_secs(1));
    world.faults.loss = 0.0;
    world.run_for(BUDGET);
    let Some(answered) = world.answer(client) else { panic!("no answer") };
    assert!(answered.after < BUDGET, "{:?}", answered.after);
    assert!(answered.answer.incomplete.contains(&Incomplete::UpstreamFailed));
    assert_eq!(answered.answer.records.len(), 2, "n1 has answered without n2");
}
