use super::{Graph, Ring, WitnessError};

fn rings(nodes: usize, joins: &[(usize, usize)]) -> Vec<(Vec<usize>, usize)> {
    let graph = Graph::new(nodes, joins.iter().copied());
    graph.rings().into_iter().map(|ring| (ring.members, ring.shortest)).collect()
}

#[test]
fn known_graphs_have_the_rings_that_a_person_sees() {
    assert_eq!(rings(0, &[]), []);
    assert_eq!(rings(1, &[]), []);
    assert_eq!(rings(1, &[(0, 0)]), [(vec![0], 1)]);
    assert_eq!(rings(2, &[(0, 1)]), []);
    assert_eq!(rings(2, &[(0, 1), (1, 0)]), [(vec![0, 1], 2)]);
    assert_eq!(rings(3, &[(0, 1), (1, 2), (2, 0)]), [(vec![0, 1, 2], 3)]);
    // A diamond with no way back.
    assert_eq!(rings(4, &[(0, 1), (0, 2), (1, 3), (2, 3)]), []);
    // Two rings that share a node are one component.
    assert_eq!(
        rings(5, &[(0, 1), (1, 0), (1, 2), (2, 3), (3, 1), (3, 4)]),
        [(vec![0, 1, 2, 3], 2)]
    );
    // Two rings with a bridge stay two; the order is that of the smallest member.
    assert_eq!(
        rings(5, &[(4, 1), (1, 4), (0, 2), (2, 3), (3, 0), (0, 1)]),
        [(vec![0, 2, 3], 3), (vec![1, 4], 2)]
    );
    // A self join inside a ring of three is a second ring and does not shorten the first.
    assert_eq!(rings(3, &[(0, 1), (1, 2), (2, 0), (1, 1)]), [(vec![0, 1, 2], 3), (vec![1], 1)]);
}

#[test]
fn a_long_ring_with_a_chord_has_the_shorter_circuit() {
    let ring = (0..30).map(|node| (node, (node + 1) % 30));
    let graph = Graph::new(30, ring.chain([(9, 4)]));
    assert_eq!(graph.rings(), [Ring { members: (0..30).collect(), shortest: 6 }]);
}

/// The length of the shortest walk from `node` back to itself without self joins, by powers of the matrix.
fn way_back(graph: &Graph, node: usize) -> Option<usize> {
    let mut ends = vec![node];
    (1..=graph.nodes()).find(|_| {
        let next = (0..graph.nodes())
            .filter(|&to| ends.iter().any(|&from| from != to && graph.joins(from, to)));
        ends = next.collect();
        ends.contains(&node)
    })
}

#[test]
fn agrees_with_matrix_powers_on_every_digraph_of_four_nodes() {
    for bits in 0..65_536_u32 {
        let joins = (0..16).filter(|bit| bits >> bit & 1 == 1).map(|bit| (bit / 4, bit % 4));
        let graph = Graph::new(4, joins);
        let rings = graph.rings();
        for node in 0..4 {
            let ring =
                rings.iter().find(|ring| ring.members.len() > 1 && ring.members.contains(&node));
            let shortest = ring
                .and_then(|ring| ring.members.iter().filter_map(|&n| way_back(&graph, n)).min());
            assert_eq!(
                ring.is_some(),
                way_back(&graph, node).is_some(),
                "node {node} of {graph:?}"
            );
            assert_eq!(ring.map(|ring| ring.shortest), shortest, "node {node} of {graph:?}");
        }
        let own: Vec<usize> = (0..4).filter(|&node| graph.joins(node, node)).collect();
        let found = rings.iter().filter(|ring| ring.members.len() == 1).map(|ring| ring.members[0]);
        assert_eq!(found.collect::<Vec<_>>(), own, "{graph:?}");
    }
}

#[test]
fn reach_follows_joins_and_a_component_ignores_their_direction() {
    let graph = Graph::new(5, [(0, 1), (1, 2), (3, 1)]);
    assert_eq!(Vec::from_iter(graph.reachable(0)), [1, 2]);
    assert_eq!(Vec::from_iter(graph.reachable(2)), [] as [usize; 0]);
    assert_eq!(Vec::from_iter(graph.component(2)), [0, 1, 3]);
    assert!(graph.component(4).is_empty());
}

#[test]
fn a_witness_is_a_shortest_circuit_inside_its_ring() {
    // 0 -> 1 -> 2 -> 0, a chord 1 -> 0 that makes the shortest circuit 2, a self join at 2, an outsider 3.
    let graph = Graph::new(4, [(0, 1), (1, 2), (2, 0), (1, 0), (2, 2), (2, 3)]);
    let rings = graph.rings();
    let check = |ring: &Ring, witness: &[usize]| graph.check_witness(ring, witness);
    assert_eq!(check(&rings[0], &[0, 1]), Ok(()));
    assert_eq!(check(&rings[0], &[1, 0]), Ok(()));
    assert_eq!(check(&rings[0], &[]), Err(WitnessError::Empty));
    assert_eq!(
        check(&rings[0], &[0, 1, 2]),
        Err(WitnessError::NotShortest { seen: 3, shortest: 2 })
    );
    assert_eq!(check(&rings[0], &[2]), Err(WitnessError::NotShortest { seen: 1, shortest: 2 }));
    assert_eq!(check(&rings[0], &[2, 2]), Err(WitnessError::Repeated { node: 2 }));
    assert_eq!(check(&rings[0], &[1, 3]), Err(WitnessError::Outside { node: 3 }));
    assert_eq!(check(&rings[0], &[0, 2]), Err(WitnessError::NoJoin { from: 0, to: 2 }));
    assert_eq!(check(&rings[1], &[2]), Ok(()));
    assert_eq!(check(&rings[1], &[0]), Err(WitnessError::Outside { node: 0 }));
}

#[test]
fn a_cut_is_a_join_of_its_ring() {
    let graph = Graph::new(3, [(0, 1), (1, 0), (1, 2), (1, 1)]);
    let rings = graph.rings();
    assert!(graph.is_join_of(&rings[0], 0, 1));
    assert!(!graph.is_join_of(&rings[0], 1, 2), "leads out of the ring");
    assert!(!graph.is_join_of(&rings[0], 1, 1), "is the ring of one");
    assert!(graph.is_join_of(&rings[1], 1, 1));
}
