//! The model that all formats are written from: a selection of the topology with positions in place of ids.

use std::collections::{BTreeMap, BTreeSet};

use super::ExportLimits;
use crate::model::{Join, NodeId, Ring, RingKind, Topology};

/// What an export shows: nodes by id, their joins in their order, and rings, the local node's own first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Ascending by id.
    pub nodes: Vec<PictureNode>,
    /// By the node that has it.
    pub joins: Vec<PictureJoin>,
    /// Those that the local node is on come first.
    pub rings: Vec<PictureRing>,
    /// The node whose view it is, as text.
    pub local: String,
    /// What there was no room for.
    pub left_out: LeftOut,
}

/// How much of each is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// Nodes.
    pub nodes: usize,
    /// Joins: of nodes that are not shown, to nodes that are not shown, and too many.
    pub joins: usize,
    /// Rings whose circuit is not shown, and too many.
    pub rings: usize,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureNode {
    /// Its id as text.
    pub id: String,
    /// The name that it gives itself; empty if nothing is known of it.
    pub name: String,
    /// It is known itself, not only named by joins of others.
    pub known: bool,
    /// Its record has expired.
    pub unverified: bool,
    /// It is the one whose view this is.
    pub local: bool,
}

/// A join. Nodes are positions in [`Picture::nodes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureJoin {
    /// The node that has it.
    pub from: usize,
    /// Where it led; empty if it was not reached yet.
    pub targets: Vec<usize>,
    /// As configured.
    pub address: String,
    /// When it was configured, unix ms.
    pub since_unix_ms: u64,
    /// It lies between two members of a ring, in its layer.
    pub on_ring: bool,
    /// It is one of the joins to cut.
    pub cut: bool,
}

/// A ring. Nodes and joins are positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureRing {
    /// Its id as text.
    pub id: String,
    /// What sort of ring.
    pub kind: RingKind,
    /// The record of a member has expired.
    pub unverified: bool,
    /// The members that are shown.
    pub members: Vec<usize>,
    /// How many members there are.
    pub member_count: usize,
    /// Its shortest circuit.
    pub witness: Vec<usize>,
    /// The joins to cut that are shown, newest first: positions in [`Picture::joins`].
    pub cuts: Vec<usize>,
    /// How many joins there are to cut.
    pub cut_count: usize,
}

impl Picture {
    /// Something is not shown, if only some members of a ring.
    pub fn is_truncated(&self) -> bool {
        self.left_out != LeftOut::default()
            || self.rings.iter().any(|ring| {
                ring.members.len() < ring.member_count || ring.cuts.len() < ring.cut_count
            })
    }

    /// What a reader is told of what is not shown; none when all is.
    pub(super) fn truncation(&self) -> Option<String> {
        let LeftOut { nodes, joins, rings } = self.left_out;
        self.is_truncated().then(|| {
            format!("truncated: {nodes} nodes, {joins} joins and {rings} rings are not shown")
        })
    }
}

impl<N: NodeId> Topology<N> {
    /// The model of an export; [`ExportLimits::bytes`] means nothing here.
    pub fn picture(&self, limits: ExportLimits) -> Picture {
        let (shown, all_nodes) = self.shown(limits.nodes);
        let position: BTreeMap<&N, usize> =
            shown.iter().enumerate().map(|(position, id)| (*id, position)).collect();
        let marks = Marks::of(&self.rings);
        let (joins, all_joins) = self.shown_joins(limits.edges, &position, &marks);
        let join_at: BTreeMap<_, usize> = joins
            .iter()
            .enumerate()
            .filter_map(|(at, (from, join))| {
                Some(((*from, join.plain_target()?, &*join.address), at))
            })
            .collect();
        let positions = |ids: &[N]| ids.iter().filter_map(|id| position.get(id).copied()).collect();
        let rings: Vec<PictureRing> = self
            .own_rings_first()
            .filter(|ring| ring.witness.iter().all(|id| position.contains_key(id)))
            .take(limits.rings)
            .map(|ring| PictureRing {
                id: ring.id.to_string(),
                kind: ring.kind,
                unverified: ring.unverified,
                members: positions(&ring.members),
                member_count: ring.members.len(),
                witness: positions(&ring.witness),
                cuts: ring
                    .cuts
                    .iter()
                    .filter_map(|cut| join_at.get(&(&cut.from, &cut.to, &*cut.address)))
                    .copied()
                    .collect(),
                cut_count: ring.cuts.len(),
            })
            .collect();
        let left_out = LeftOut {
            nodes: all_nodes - shown.len(),
            joins: all_joins - joins.len(),
            rings: self.rings.len() - rings.len(),
        };
        let joins = joins.iter().map(|(from, join)| PictureJoin {
            from: position.get(from).copied().unwrap_or(0),
            targets: join.targets.iter().filter_map(|id| position.get(id).copied()).collect(),
            address: join.address.clone(),
            since_unix_ms: join.since_unix_ms,
            on_ring: marks.is_on_ring(from, join),
            cut: marks.is_cut(from, join),
        });
        let joins = joins.collect();
        let nodes = shown.into_iter().map(|id| self.picture_node(id)).collect();
        Picture { nodes, joins, rings, local: self.local.to_string(), left_out }
    }

    fn picture_node(&self, id: &N) -> PictureNode {
        let known = self.nodes.binary_search_by(|node| node.id.cmp(id)).ok();
        let known = known.map(|at| &self.nodes[at]);
        PictureNode {
            id: id.to_string(),
            name: known.map_or_else(String::new, |node| node.name.clone()),
            known: known.is_some(),
            unverified: known.is_some_and(|node| node.unverified),
            local: *id == self.local,
        }
    }

    fn own_rings_first(&self) -> impl Iterator<Item = &Ring<N>> {
        let is_own = |ring: &&Ring<N>| ring.members.binary_search(&self.local).is_ok();
        let others = self.rings.iter().filter(move |ring| !is_own(ring));
        self.rings.iter().filter(is_own).chain(others)
    }

    /// At most `max` nodes by id, and how many there are. The local node and circuits go first, then what is to be cut, other
    /// members of rings, other known nodes, and those that only joins name.
    fn shown(&self, max: usize) -> (BTreeSet<&N>, usize) {
        let circuits = || self.own_rings_first().flat_map(|ring| &ring.witness);
        let cuts = || self.own_rings_first().flat_map(|ring| &ring.cuts);
        let targets = self.nodes.iter().flat_map(|node| &node.joins).flat_map(|join| &join.targets);
        let by_rank = std::iter::once(&self.local)
            .chain(circuits())
            .chain(cuts().flat_map(|cut| [&cut.from, &cut.to]))
            .chain(self.own_rings_first().flat_map(|ring| &ring.members))
            .chain(self.nodes.iter().map(|node| &node.id))
            .chain(targets);
        let (mut all, mut shown) = (BTreeSet::new(), BTreeSet::new());
        for id in by_rank {
            if all.insert(id) && shown.len() < max {
                shown.insert(id);
            }
        }
        (shown, all.len())
    }

    /// Joins between shown nodes with together at most `max` targets, and how many joins there are. Cuts go first, then what
    /// else is on a ring.
    fn shown_joins(
        &self,
        max: usize,
        position: &BTreeMap<&N, usize>,
        marks: &Marks<'_, N>,
    ) -> (Vec<(&N, &Join<N>)>, usize) {
        let all = self.nodes.iter().flat_map(|node| node.joins.iter().map(|join| (&node.id, join)));
        let is_drawable = |(from, join): &(&N, &Join<N>)| {
            position.contains_key(from) && join.targets.iter().all(|id| position.contains_key(id))
        };
        let mut by_rank: Vec<_> = all
            .clone()
            .filter(is_drawable)
            .enumerate()
            .map(|(at, (from, join))| {
                (!marks.is_cut(from, join), !marks.is_on_ring(from, join), at, from, join)
            })
            .collect();
        by_rank.sort_by_key(|&(not_cut, not_on_ring, at, ..)| (not_cut, not_on_ring, at));
        let mut left = max;
        by_rank.retain(|(.., join)| {
            let rest = left.checked_sub(join.targets.len().max(1));
            left = rest.unwrap_or(0);
            rest.is_some()
        });
        by_rank.sort_by_key(|&(_, _, at, ..)| at);
        (by_rank.into_iter().map(|(.., from, join)| (from, join)).collect(), all.count())
    }
}

/// What rings say of joins.
struct Marks<'a, N> {
    /// The rings that each node is on, at most one of each kind.
    rings_of: BTreeMap<&'a N, Vec<(RingKind, usize)>>,
    /// From, to and address.
    cuts: BTreeSet<(&'a N, &'a N, &'a str)>,
}

impl<'a, N: NodeId> Marks<'a, N> {
    fn of(rings: &'a [Ring<N>]) -> Self {
        let mut rings_of: BTreeMap<&N, Vec<_>> = BTreeMap::new();
        for (at, ring) in rings.iter().enumerate() {
            for member in &ring.members {
                rings_of.entry(member).or_default().push((ring.kind, at));
            }
        }
        let cuts = rings.iter().flat_map(|ring| &ring.cuts);
        Marks { rings_of, cuts: cuts.map(|cut| (&cut.from, &cut.to, &*cut.address)).collect() }
    }

    fn is_cut(&self, from: &N, join: &Join<N>) -> bool {
        join.plain_target().is_some_and(|to| self.cuts.contains(&(from, to, &*join.address)))
    }

    fn is_on_ring(&self, from: &N, join: &Join<N>) -> bool {
        let Some(of_from) = self.rings_of.get(from) else { return false };
        let is_inside = |to: &N| {
            let of_to = self.rings_of.get(to).map_or(&[][..], Vec::as_slice);
            of_from.iter().any(|ring| {
                of_to.contains(ring)
                    && match ring.0 {
                        RingKind::SelfJoin => from == to && !join.is_shared(),
                        RingKind::Plain => from != to && !join.is_shared(),
                        RingKind::Shared => from != to,
                    }
            })
        };
        join.targets.iter().any(is_inside)
    }
}
