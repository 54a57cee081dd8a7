//! From joins to rings.

use std::collections::{BTreeMap, HashMap};

use crate::{
    circuit::shortest_circuit,
    cuts::{Arc, by_preference, feedback_arcs},
    elementary::elementary_circuits,
    graph::{Adjacency, components, induced},
    model::{Circuits, Cut, Join, NodeId, Ring, RingId, RingKind},
};

/// All rings that these joins form, ordered by members and kind. Targets without an entry have no joins.
///
/// Time: linear in nodes and edges for finding the rings; per ring a breadth-first search per member for its witness, and
/// for its cuts what [`EXACT_CUT_NODES`](crate::EXACT_CUT_NODES) says.
pub fn find_rings<N: NodeId>(joins: &BTreeMap<N, Vec<Join<N>>>) -> Vec<Ring<N>> {
    let nodes = joins.iter().map(|(id, joins)| (id, Known { joins, unverified: false })).collect();
    rings_of(nodes)
}

/// What an analysis needs to know of a node.
pub(crate) struct Known<'a, N> {
    pub(crate) joins: &'a [Join<N>],
    pub(crate) unverified: bool,
}

/// As [`find_rings`], with what is known of each record. `nodes` must be sorted by id.
pub(crate) fn rings_of<N: NodeId>(nodes: Vec<(&N, Known<'_, N>)>) -> Vec<Ring<N>> {
    let graph = Layers::new(nodes);
    let mut rings = graph.self_rings();
    let mut size_of_plain_ring = vec![1; graph.nodes.len()];
    for members in components(&graph.plain).into_iter().filter(|members| members.len() > 1) {
        for &member in &members {
            size_of_plain_ring[member] = members.len();
        }
        rings.push(graph.ring(RingKind::Plain, &members));
    }
    for members in components(&graph.all).into_iter().filter(|members| members.len() > 1) {
        // Plain rings lie inside components of all joins, so one of the same size is the same set.
        if members.first().is_some_and(|&member| size_of_plain_ring[member] < members.len()) {
            rings.push(graph.ring(RingKind::Shared, &members));
        }
    }
    rings.sort_by(|a, b| (&a.members, a.kind).cmp(&(&b.members, b.kind)));
    rings
}

/// At most `max` circuits among `members` in the layer of `kind`.
pub(crate) fn circuits_of<N: NodeId>(
    nodes: Vec<(&N, Known<'_, N>)>,
    kind: RingKind,
    members: &[N],
    max: usize,
) -> Circuits<N> {
    if kind == RingKind::SelfJoin {
        // A join to itself is no edge of the layers.
        let circuits: Vec<Vec<N>> =
            members.iter().take(max).map(|member| vec![member.clone()]).collect();
        return Circuits { truncated: circuits.len() < members.len(), circuits };
    }
    let graph = Layers::new(nodes);
    let mut inside: Vec<usize> =
        members.iter().filter_map(|member| graph.index.get(member).copied()).collect();
    inside.sort_unstable();
    let layer = if kind == RingKind::Shared { &graph.all } else { &graph.plain };
    let (circuits, truncated) = elementary_circuits(&induced(layer, &inside), max);
    let name = |circuit: Vec<usize>| {
        circuit.into_iter().map(|at| graph.nodes[inside[at]].0.clone()).collect()
    };
    Circuits { circuits: circuits.into_iter().map(name).collect(), truncated }
}

struct Layers<'a, N> {
    nodes: Vec<(&'a N, Known<'a, N>)>,
    index: HashMap<&'a N, usize>,
    plain: Adjacency,
    all: Adjacency,
}

impl<'a, N: NodeId> Layers<'a, N> {
    fn new(nodes: Vec<(&'a N, Known<'a, N>)>) -> Self {
        let index: HashMap<&N, usize> =
            nodes.iter().enumerate().map(|(position, (id, _))| (*id, position)).collect();
        let mut plain = vec![Vec::new(); nodes.len()];
        let mut all = vec![Vec::new(); nodes.len()];
        for (from, (_, known)) in nodes.iter().enumerate() {
            for join in known.joins {
                for to in join
                    .targets
                    .iter()
                    .filter_map(|target| index.get(target).copied())
                    .filter(|&to| to != from)
                {
                    all[from].push(to);
                    if !join.is_shared() {
                        plain[from].push(to);
                    }
                }
            }
        }
        for successors in plain.iter_mut().chain(&mut all) {
            successors.sort_unstable();
            successors.dedup();
        }
        Layers { nodes, index, plain, all }
    }

    fn self_rings(&self) -> Vec<Ring<N>> {
        let mut rings = Vec::new();
        for &(id, ref known) in &self.nodes {
            let cuts: Vec<Cut<N>> = known
                .joins
                .iter()
                .filter(|join| join.plain_target() == Some(id))
                .map(|join| cut(id, id, join))
                .collect();
            if !cuts.is_empty() {
                let members = vec![id.clone()];
                rings.push(Ring {
                    id: RingId::of(&members),
                    kind: RingKind::SelfJoin,
                    witness: members.clone(),
                    members,
                    cuts: newest_first(cuts),
                    unverified: known.unverified,
                });
            }
        }
        rings
    }

    fn ring(&self, kind: RingKind, nodes: &[usize]) -> Ring<N> {
        let inside = induced(if kind == RingKind::Shared { &self.all } else { &self.plain }, nodes);
        let id_of = |member: usize| self.nodes[nodes[member]].0.clone();
        let members: Vec<N> = (0..nodes.len()).map(id_of).collect();
        Ring {
            id: RingId::of(&members),
            kind,
            witness: shortest_circuit(&inside).into_iter().map(id_of).collect(),
            cuts: if kind == RingKind::Shared { Vec::new() } else { self.cuts(nodes) },
            // Every member has a join inside the ring, so the ring is no surer than the least sure record.
            unverified: nodes.iter().any(|&node| self.nodes[node].1.unverified),
            members,
        }
    }

    fn cuts(&self, nodes: &[usize]) -> Vec<Cut<N>> {
        let mut edges: BTreeMap<(usize, usize), Vec<&Join<N>>> = BTreeMap::new();
        for (from, &node) in nodes.iter().enumerate() {
            for join in self.nodes[node].1.joins {
                let target = join.plain_target().and_then(|target| self.index.get(target));
                if let Some(to) = target
                    .and_then(|target| nodes.binary_search(target).ok())
                    .filter(|&to| to != from)
                {
                    edges.entry((from, to)).or_default().push(join);
                }
            }
        }
        let mut arcs: Vec<Arc> = edges
            .iter()
            .map(|(&(from, to), joins)| Arc {
                from,
                to,
                weight: joins.len(),
                since: joins.iter().map(|join| join.since_unix_ms).min().unwrap_or(0),
            })
            .collect();
        by_preference(&mut arcs);
        let mut cuts = Vec::new();
        for position in feedback_arcs(nodes.len(), &arcs) {
            let Arc { from, to, .. } = arcs[position];
            let (from_id, to_id) = (self.nodes[nodes[from]].0, self.nodes[nodes[to]].0);
            cuts.extend(
                edges.get(&(from, to)).into_iter().flatten().map(|join| cut(from_id, to_id, join)),
            );
        }
        newest_first(cuts)
    }
}

fn cut<N: Clone>(from: &N, to: &N, join: &Join<N>) -> Cut<N> {
    Cut {
        from: from.clone(),
        to: to.clone(),
        address: join.address.clone(),
        since_unix_ms: join.since_unix_ms,
    }
}

fn newest_first<N: Ord>(mut cuts: Vec<Cut<N>>) -> Vec<Cut<N>> {
    cuts.sort_by(|a, b| {
        b.since_unix_ms
            .cmp(&a.since_unix_ms)
            .then_with(|| (&a.from, &a.to, &a.address).cmp(&(&b.from, &b.to, &b.address)))
    });
    cuts
}
