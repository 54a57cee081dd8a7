//! The same questions answered by trying everything, with nothing of the crate but its data types.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Join, RingKind};

pub(super) type Graph = BTreeMap<u32, Vec<Join<u32>>>;

/// A ring as it should be found. The cuts are `(since, from, to, address)`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Expected {
    pub(super) members: Vec<u32>,
    pub(super) kind: RingKind,
    pub(super) witness: Vec<u32>,
}

/// Pairs (from, to) of one layer, without loops.
pub(super) fn edges(graph: &Graph, kind: RingKind) -> BTreeSet<(u32, u32)> {
    let mut edges = BTreeSet::new();
    for (&from, joins) in graph {
        for join in joins.iter().filter(|join| kind == RingKind::Shared || join.targets.len() == 1)
        {
            edges.extend(join.targets.iter().filter(|to| **to != from).map(|&to| (from, to)));
        }
    }
    edges
}

/// Sets of more than one node that all reach each other, by transitive closure.
fn classes(edges: &BTreeSet<(u32, u32)>) -> BTreeSet<Vec<u32>> {
    let nodes: BTreeSet<u32> = edges.iter().flat_map(|&(from, to)| [from, to]).collect();
    let mut reaches = edges.clone();
    for &via in &nodes {
        for &from in &nodes {
            for &to in &nodes {
                if reaches.contains(&(from, via)) && reaches.contains(&(via, to)) {
                    reaches.insert((from, to));
                }
            }
        }
    }
    let mutual = |a: u32, b: u32| a == b || reaches.contains(&(a, b)) && reaches.contains(&(b, a));
    let class_of =
        |node: u32| nodes.iter().copied().filter(|&other| mutual(node, other)).collect::<Vec<_>>();
    nodes.iter().map(|&node| class_of(node)).filter(|class| class.len() > 1).collect()
}

/// Every circuit without repetition inside `members`, each from its smallest node.
pub(super) fn circuits(edges: &BTreeSet<(u32, u32)>, members: &[u32]) -> Vec<Vec<u32>> {
    fn extend(
        edges: &BTreeSet<(u32, u32)>,
        members: &[u32],
        walk: &mut Vec<u32>,
        found: &mut Vec<Vec<u32>>,
    ) {
        let (first, last) = (walk[0], walk[walk.len() - 1]);
        if edges.contains(&(last, first)) {
            found.push(walk.clone());
        }
        for &next in members {
            if next > first && !walk.contains(&next) && edges.contains(&(last, next)) {
                walk.push(next);
                extend(edges, members, walk, found);
                walk.pop();
            }
        }
    }
    let mut found = Vec::new();
    for &first in members {
        extend(edges, members, &mut vec![first], &mut found);
    }
    found
}

/// All rings, sorted.
pub(super) fn rings(graph: &Graph) -> Vec<Expected> {
    let mut rings = Vec::new();
    for (&node, joins) in graph {
        if joins.iter().any(|join| join.targets == BTreeSet::from([node])) {
            rings.push(Expected {
                members: vec![node],
                kind: RingKind::SelfJoin,
                witness: vec![node],
            });
        }
    }
    let plain = classes(&edges(graph, RingKind::Plain));
    let holds_shared_join = |class: &Vec<u32>| {
        class.iter().any(|from| {
            let mut shared = graph[from].iter().filter(|join| join.targets.len() > 1);
            shared.any(|join| join.targets.iter().any(|to| to != from && class.contains(to)))
        })
    };
    let shared = classes(&edges(graph, RingKind::Shared));
    let shared =
        shared.into_iter().filter(|class| holds_shared_join(class) && !plain.contains(class));
    let layers = plain.iter().cloned().map(|members| (RingKind::Plain, members));
    for (kind, members) in
        layers.chain(shared.map(|members| (RingKind::Shared, members)).collect::<Vec<_>>())
    {
        let witness = circuits(&edges(graph, kind), &members)
            .into_iter()
            .min_by_key(|c| (c.len(), c.clone()))
            .unwrap();
        rings.push(Expected { members, kind, witness });
    }
    rings.sort();
    rings
}

/// Whether a layer without the pairs in `without` has no circuit among `members`.
pub(super) fn is_acyclic(
    edges: &BTreeSet<(u32, u32)>,
    members: &[u32],
    without: &BTreeSet<(u32, u32)>,
) -> bool {
    circuits(&edges.difference(without).copied().collect(), members).is_empty()
}

/// How many parts the graph has when the direction of edges does not matter.
pub(super) fn parts(nodes: &BTreeSet<u32>, edges: &BTreeSet<(u32, u32)>) -> usize {
    let mut label: BTreeMap<u32, u32> = nodes.iter().map(|&node| (node, node)).collect();
    for _ in nodes {
        for (from, to) in edges {
            let least = label[from].min(label[to]);
            label.insert(*from, least);
            label.insert(*to, least);
        }
    }
    label.values().collect::<BTreeSet<_>>().len()
}

/// The best cuts by trying every order of the members: fewest joins, else the pairs that come first when sorted by
/// newest (by the oldest join of the pair), from and to.
pub(super) fn best_cuts(graph: &Graph, members: &[u32]) -> BTreeSet<(u32, u32)> {
    let mut joins: BTreeMap<(u32, u32), Vec<u64>> = BTreeMap::new();
    for (from, to) in edges(graph, RingKind::Plain) {
        if members.contains(&from) && members.contains(&to) {
            let of_pair = graph[&from].iter().filter(|join| join.targets == BTreeSet::from([to]));
            joins.insert((from, to), of_pair.map(|join| join.since_unix_ms).collect());
        }
    }
    let mut orders = vec![Vec::new()];
    for &member in members {
        orders = orders
            .into_iter()
            .flat_map(|order: Vec<u32>| {
                (0..=order.len()).map(move |at| {
                    let mut longer = order.clone();
                    longer.insert(at, member);
                    longer
                })
            })
            .collect();
    }
    let place = |order: &[u32], node: u32| order.iter().position(|&other| other == node);
    let best = orders.iter().map(|order| {
        let back = joins.iter().filter(|((from, to), _)| place(order, *from) > place(order, *to));
        let mut back: Vec<_> = back
            .map(|(&pair, sinces)| (u64::MAX - sinces.iter().min().unwrap(), pair, sinces.len()))
            .collect();
        back.sort_unstable();
        (back.iter().map(|(_, _, count)| count).sum::<usize>(), back)
    });
    best.min().unwrap().1.into_iter().map(|(_, pair, _)| pair).collect()
}
