//! From joins to rings.

use std::collections::{BTreeMap, HashMap};

use crate::{
    budget::Budget,
    circuit::shortest_circuit,
    cuts::{Arc, by_preference, feedback_arcs},
    elementary::elementary_circuits,
    graph::{Adjacency, components, induced},
    model::{Circuits, Cut, Join, NodeId, Ring, RingId, RingKind},
};

/// Steps for the witness of one ring, and as many for its cuts: 2 ms. A ring of 40 nodes with 120 joins takes a quarter; in a ring that does, the witness is the shortest circuit found until then, and a smaller set of cuts may
/// exist, which still breaks every circuit and leaves the nodes together.
pub const MAX_RING_STEPS: usize = 400_000;
/// Steps for all rings together that the local node is not in, the smallest ring first. A ring for which too few are left
/// shows the shortest circuit through its smallest member, and as cuts those of one depth-first search, at once.
pub const MAX_OTHER_RINGS_STEPS: usize = 1_000_000;
/// What a node or an edge counts in [`Analysis::work`]: reading it into the graph takes as long as this many steps.
const READ_STEPS: usize = 200;

/// All rings that these joins form, ordered by members and kind. Targets without an entry have no joins.
///
/// Time: linear in nodes and edges for finding the rings; per ring at most [`MAX_RING_STEPS`] each for its witness and for
/// its cuts.
pub fn find_rings<N: NodeId>(joins: &BTreeMap<N, Vec<Join<N>>>) -> Vec<Ring<N>> {
    let nodes = joins.iter().map(|(id, joins)| (id, Known { joins, unverified: false })).collect();
    rings_of(nodes, None).rings
}

/// What an analysis needs to know of a node.
pub(crate) struct Known<'a, N> {
    pub(crate) joins: &'a [Join<N>],
    pub(crate) unverified: bool,
}

/// What an analysis found, and how long it took.
pub(crate) struct Analysis<N> {
    pub(crate) rings: Vec<Ring<N>>,
    /// In steps.
    pub(crate) work: usize,
}

/// As [`find_rings`], with what is known of each record. `nodes` must be sorted by id. The rings that `local` is not in share
/// one budget; without it there is no such ring.
pub(crate) fn rings_of<N: NodeId>(
    nodes: Vec<(&N, Known<'_, N>)>,
    local: Option<&N>,
) -> Analysis<N> {
    let graph = Layers::new(nodes);
    let mut work = graph.read_work();
    let mut rings = graph.self_rings();
    let local_index = local.and_then(|local| graph.index.get(local).copied());
    let (own, mut others): (Vec<_>, Vec<_>) = graph.larger_rings().into_iter().partition(|ring| {
        local.is_none() || local_index.is_some_and(|at| ring.1.binary_search(&at).is_ok())
    });
    for (kind, members) in own {
        let (ring, spent) = graph.ring(kind, &members, MAX_RING_STEPS);
        work += spent;
        rings.push(ring);
    }
    others.sort_by(|a, b| (a.1.len(), &a.1, a.0).cmp(&(b.1.len(), &b.1, b.0)));
    let mut left = MAX_OTHER_RINGS_STEPS;
    for (kind, members) in others {
        let (ring, spent) = graph.ring(kind, &members, left.min(MAX_RING_STEPS));
        left = left.saturating_sub(spent);
        work += spent;
        rings.push(ring);
    }
    rings.sort_by(|a, b| (&a.members, a.kind).cmp(&(&b.members, b.kind)));
    Analysis { rings, work }
}

/// The kinds of ring that `local` is in, in linear time; and the work.
pub(crate) fn kinds_around<N: NodeId>(
    nodes: Vec<(&N, Known<'_, N>)>,
    local: &N,
) -> (Vec<RingKind>, usize) {
    let graph = Layers::new(nodes);
    let Some(&local) = graph.index.get(local) else { return (Vec::new(), graph.read_work()) };
    let larger = graph.larger_rings();
    let larger = larger.iter().filter(|(_, members)| members.binary_search(&local).is_ok());
    let mut kinds: Vec<RingKind> = larger.map(|(kind, _)| *kind).collect();
    let (id, known) = &graph.nodes[local];
    if known.joins.iter().any(|join| join.plain_target() == Some(*id)) {
        kinds.push(RingKind::SelfJoin);
    }
    (kinds, graph.read_work())
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

    fn read_work(&self) -> usize {
        READ_STEPS * (self.nodes.len() + self.all.iter().map(Vec::len).sum::<usize>())
    }

    /// The rings of more than one node, by position.
    fn larger_rings(&self) -> Vec<(RingKind, Vec<usize>)> {
        let mut rings = Vec::new();
        let mut size_of_plain_ring = vec![1; self.nodes.len()];
        for members in components(&self.plain).into_iter().filter(|members| members.len() > 1) {
            for &member in &members {
                size_of_plain_ring[member] = members.len();
            }
            rings.push((RingKind::Plain, members));
        }
        for members in components(&self.all).into_iter().filter(|members| members.len() > 1) {
            // Plain rings lie inside components of all joins, so one of the same size is the same set.
            if members.first().is_some_and(|&member| size_of_plain_ring[member] < members.len()) {
                rings.push((RingKind::Shared, members));
            }
        }
        rings
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

    /// The ring, and the steps spent. With fewer than [`MAX_RING_STEPS`] what cannot be finished is not begun either: a
    /// witness or a set of cuts is that of the full search, which every node finds, or that of none.
    fn ring(&self, kind: RingKind, nodes: &[usize], steps: usize) -> (Ring<N>, usize) {
        let inside = induced(if kind == RingKind::Shared { &self.all } else { &self.plain }, nodes);
        let id_of = |member: usize| self.nodes[nodes[member]].0.clone();
        let members: Vec<N> = (0..nodes.len()).map(id_of).collect();
        let (witness, for_witness) = within(steps, |budget| shortest_circuit(&inside, budget));
        let (cuts, for_cuts) =
            if kind == RingKind::Shared { (Vec::new(), 0) } else { self.cuts(nodes, steps) };
        let ring = Ring {
            id: RingId::of(&members),
            kind,
            witness: witness.into_iter().map(id_of).collect(),
            cuts,
            // Every member has a join inside the ring, so the ring is no surer than the least sure record.
            unverified: nodes.iter().any(|&node| self.nodes[node].1.unverified),
            members,
        };
        (ring, for_witness + for_cuts)
    }

    fn cuts(&self, nodes: &[usize], steps: usize) -> (Vec<Cut<N>>, usize) {
        let mut edges: Vec<(usize, usize, &Join<N>)> = Vec::new();
        for (from, &node) in nodes.iter().enumerate() {
            for join in self.nodes[node].1.joins {
                let target = join.plain_target().and_then(|target| self.index.get(target));
                if let Some(to) = target
                    .and_then(|target| nodes.binary_search(target).ok())
                    .filter(|&to| to != from)
                {
                    edges.push((from, to, join));
                }
            }
        }
        edges.sort_by_key(|&(from, to, _)| (from, to));
        let mut arcs: Vec<Arc> = edges
            .chunk_by(|a, b| (a.0, a.1) == (b.0, b.1))
            .filter_map(|same| {
                let &(from, to, _) = same.first()?;
                let since = same.iter().map(|(.., join)| join.since_unix_ms).min().unwrap_or(0);
                Some(Arc { from, to, weight: same.len(), since })
            })
            .collect();
        by_preference(&mut arcs);
        let (chosen, spent) = within(steps, |budget| feedback_arcs(nodes.len(), &arcs, budget));
        let mut cuts = Vec::new();
        for position in chosen {
            let Arc { from, to, weight, .. } = arcs[position];
            let (from_id, to_id) = (self.nodes[nodes[from]].0, self.nodes[nodes[to]].0);
            let first = edges.partition_point(|edge| (edge.0, edge.1) < (from, to));
            let joins = edges.iter().skip(first).take(weight);
            cuts.extend(joins.map(|(.., join)| cut(from_id, to_id, join)));
        }
        (newest_first(cuts), spent)
    }
}

/// What `find` finds in this many steps; if they do not suffice and are fewer than the most, what it finds with none.
fn within<T>(steps: usize, find: impl Fn(&mut Budget) -> T) -> (T, usize) {
    let mut budget = Budget::new(steps);
    let found = find(&mut budget);
    if steps >= MAX_RING_STEPS || !budget.is_over() {
        return (found, budget.spent());
    }
    let mut none = Budget::new(0);
    let found = find(&mut none);
    (found, budget.spent() + none.spent())
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
