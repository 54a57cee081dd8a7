//! From joins to rings.

use std::collections::BTreeMap;

use crate::{
    budget::Budget,
    circuit::shortest_circuit,
    cuts::{cut, cuts_of, newest_first},
    elementary::elementary_circuits,
    graph::{JoinGraph, Layers, Members},
    model::{Circuits, Detected, Join, NodeId, Ring, RingId, RingKind},
};

/// Steps for the witness of one ring, and as many for its cuts: 2 ms. A ring of 40 nodes with 120 joins takes a quarter; in
/// a ring that does not get by with them, the witness is the shortest circuit found until then, and a smaller set of cuts
/// may exist, which still breaks every circuit and leaves the nodes together.
pub const MAX_RING_STEPS: usize = 400_000;
/// Steps for all rings together that the local node is not in, the smallest ring first. A ring for which too few are left
/// shows the shortest circuit through its smallest member, and as cuts those of one depth-first search, at once.
pub const MAX_OTHER_RINGS_STEPS: usize = 1_000_000;
/// What a node or an edge counts in [`Analysis::work`]: bringing a change to it in takes as long as this many steps.
const READ_STEPS: usize = 200;

/// All rings that these joins form, ordered by members and kind. Targets without an entry have no joins.
///
/// For joins that change, keep a [`JoinGraph`]. Time: as [`JoinGraph::rings`], and a copy of the joins.
pub fn find_rings<N: NodeId>(joins: &BTreeMap<N, Vec<Join<N>>>) -> Vec<Ring<N>> {
    let mut graph = JoinGraph::new();
    for (node, joins) in joins {
        graph.set_joins(node.clone(), joins.clone());
    }
    graph.rings()
}

impl<N: NodeId> JoinGraph<N> {
    /// Which rings there are: members and witness of each, ordered by members and kind, without ids and cuts. For a ring
    /// of more than one node [`MAX_RING_STEPS`] bound the search for the witness.
    ///
    /// Time: linear in nodes and edges for the members, and one breadth-first search for each member of a ring, cut off at
    /// the best length so far.
    pub fn detect(&self) -> Vec<Detected<'_, N>> {
        let layers = Layers::new(self);
        let name = |nodes: &[u32]| nodes.iter().map(|&node| layers.id(node)).collect::<Vec<_>>();
        let mut found: Vec<Detected<'_, N>> = Vec::new();
        for node in layers.self_joined() {
            let members = name(&[node]);
            found.push(Detected { kind: RingKind::SelfJoin, witness: members.clone(), members });
        }
        for (kind, members) in layers.larger_rings() {
            let inside = layers.induced(kind, &members);
            let witness = shortest_circuit(&inside, &mut Budget::new(MAX_RING_STEPS));
            let witness = witness.iter().map(|&at| layers.id(members[at as usize])).collect();
            found.push(Detected { kind, members: name(&members), witness });
        }
        found.sort_by(|a, b| (&a.members, a.kind).cmp(&(&b.members, b.kind)));
        found
    }

    /// All rings with ids, witnesses and cuts, ordered by members and kind.
    ///
    /// Time: as [`detect`](Self::detect), a hash over the ids of the members, and at most [`MAX_RING_STEPS`] steps for the
    /// cuts of each ring.
    pub fn rings(&self) -> Vec<Ring<N>> {
        self.analyse(None).rings
    }

    /// At most `max` elementary circuits of `ring`. For people: a dense ring has more circuits than can be counted, so `max`
    /// must be small; each takes time linear in the ring's joins.
    pub fn circuits(&self, ring: &Ring<N>, max: usize) -> Circuits<N> {
        if ring.kind == RingKind::SelfJoin {
            // A join to itself is no edge of the layers.
            let circuits: Vec<Vec<N>> =
                ring.members.iter().take(max).map(|member| vec![member.clone()]).collect();
            return Circuits { truncated: circuits.len() < ring.members.len(), circuits };
        }
        let layers = Layers::new(self);
        let mut inside: Vec<u32> =
            ring.members.iter().filter_map(|member| layers.position(member)).collect();
        inside.sort_unstable();
        let (circuits, truncated) = elementary_circuits(&layers.induced(ring.kind, &inside), max);
        let name = |circuit: Vec<u32>| {
            circuit.into_iter().map(|at| layers.id(inside[at as usize]).clone()).collect()
        };
        Circuits { circuits: circuits.into_iter().map(name).collect(), truncated }
    }

    /// As [`rings`](Self::rings). The rings that `local` is not in share one budget; without it there is no such ring.
    pub(crate) fn analyse(&self, local: Option<&N>) -> Analysis<N> {
        let layers = Layers::new(self);
        let mut work = read_work(&layers);
        let mut rings: Vec<Ring<N>> =
            layers.self_joined().map(|node| layers.self_ring(node)).collect();
        let local_position = local.and_then(|local| layers.position(local));
        let (own, mut others): (Vec<_>, Vec<_>) =
            layers.larger_rings().into_iter().partition(|(_, members)| {
                local.is_none()
                    || local_position.is_some_and(|at| members.binary_search(&at).is_ok())
            });
        for (kind, members) in own {
            let (ring, spent) = layers.ring(kind, &members, MAX_RING_STEPS);
            work += spent;
            rings.push(ring);
        }
        others.sort_by(|a, b| (a.1.len(), &a.1, a.0).cmp(&(b.1.len(), &b.1, b.0)));
        let mut left = MAX_OTHER_RINGS_STEPS;
        for (kind, members) in others {
            let (ring, spent) = layers.ring(kind, &members, left.min(MAX_RING_STEPS));
            left = left.saturating_sub(spent);
            work += spent;
            rings.push(ring);
        }
        rings.sort_by(|a, b| (&a.members, a.kind).cmp(&(&b.members, b.kind)));
        Analysis { rings, work }
    }

    /// The kinds of ring that `local` is in, in linear time; and the work.
    pub(crate) fn kinds_around(&self, local: &N) -> (Vec<RingKind>, usize) {
        let layers = Layers::new(self);
        let Some(local) = layers.position(local) else { return (Vec::new(), read_work(&layers)) };
        let larger = layers.larger_rings();
        let larger = larger.iter().filter(|(_, members)| members.binary_search(&local).is_ok());
        let mut kinds: Vec<RingKind> = larger.map(|(kind, _)| *kind).collect();
        if layers.known(local).is_self_joined {
            kinds.push(RingKind::SelfJoin);
        }
        (kinds, read_work(&layers))
    }
}

/// What an analysis found, and how long it took.
pub(crate) struct Analysis<N> {
    pub(crate) rings: Vec<Ring<N>>,
    /// In steps.
    pub(crate) work: usize,
}

fn read_work<N: NodeId>(layers: &Layers<'_, N>) -> usize {
    READ_STEPS * layers.size()
}

impl<N: NodeId> Layers<'_, N> {
    fn self_ring(&self, node: u32) -> Ring<N> {
        let known = self.known(node);
        let id = &known.node.id;
        let joins = known.node.joins.iter().filter(|join| join.plain_target() == Some(id));
        let members = vec![id.clone()];
        Ring {
            id: RingId::of([&*known.text]),
            kind: RingKind::SelfJoin,
            witness: members.clone(),
            members,
            cuts: newest_first(joins.map(|join| cut(id, id, join)).collect()),
            unverified: known.node.unverified,
        }
    }

    /// The ring, and the steps spent. With fewer than [`MAX_RING_STEPS`] what cannot be finished is not begun either: a
    /// witness or a set of cuts is that of the full search, which every node finds, or that of none.
    fn ring(&self, kind: RingKind, nodes: &Members, steps: usize) -> (Ring<N>, usize) {
        let inside = self.induced(kind, nodes);
        let (witness, for_witness) = within(steps, |budget| shortest_circuit(&inside, budget));
        let (cuts, for_cuts) = match kind {
            RingKind::Shared => (Vec::new(), 0),
            _ => within(steps, |budget| cuts_of(self, nodes, budget)),
        };
        let known = || nodes.iter().map(|&node| self.known(node));
        let ring = Ring {
            id: RingId::of(known().map(|known| &*known.text)),
            kind,
            witness: witness.iter().map(|&at| self.id(nodes[at as usize]).clone()).collect(),
            cuts,
            // Every member has a join inside the ring, so the ring is no surer than the least sure record.
            unverified: known().any(|known| known.node.unverified),
            members: known().map(|known| known.node.id.clone()).collect(),
        };
        (ring, for_witness + for_cuts)
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
