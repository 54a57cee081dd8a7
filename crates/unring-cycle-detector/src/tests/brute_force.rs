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
    /// By newest, from and to; and how many joins it is.
    type Pair = ((u64, u32, u32), usize);
    /// How many joins, and which pairs.
    type Set = (usize, Vec<(u64, u32, u32)>);

    /// Goes on with each node that is left. A pair that points to a node further ahead is cut.
    fn extend(
        pairs: &[Pair],
        left: &BTreeSet<u32>,
        cut: (usize, BTreeSet<(u64, u32, u32)>),
        best: &mut Option<Set>,
    ) {
        if best.as_ref().is_some_and(|(least, _)| cut.0 > *least) {
            return;
        }
        if left.is_empty() {
            let cut = (cut.0, cut.1.into_iter().collect());
            if best.as_ref().is_none_or(|best| cut < *best) {
                *best = Some(cut);
            }
            return;
        }
        for &node in left {
            let mut rest = left.clone();
            rest.remove(&node);
            let mut cut = cut.clone();
            let is_back =
                |(pair, _): &&Pair| pair.1 != node && pair.2 == node && rest.contains(&pair.1);
            for (pair, joins) in pairs.iter().filter(is_back) {
                cut.0 += joins;
                cut.1.insert(*pair);
            }
            extend(pairs, &rest, cut, best);
        }
    }

    let pairs: Vec<Pair> = edges(graph, RingKind::Plain)
        .into_iter()
        .filter(|(from, to)| members.contains(from) && members.contains(to))
        .map(|(from, to)| {
            let joins = graph[&from].iter().filter(|join| join.targets == BTreeSet::from([to]));
            let oldest = joins.clone().map(|join| join.since_unix_ms).min().unwrap();
            ((u64::MAX - oldest, from, to), joins.count())
        })
        .collect();
    let mut best = None;
    extend(&pairs, &members.iter().copied().collect(), (0, BTreeSet::new()), &mut best);
    best.unwrap().1.into_iter().map(|(_, from, to)| (from, to)).collect()
}
