//! The state machine around the analysis.

mod callers;
mod nodes;
mod persist;

use std::{collections::BTreeMap, time::Duration};

use crate::{
    config::Config,
    graph::JoinGraph,
    model::{Circuits, Event, Join, NodeId, Ring, RingKind, Topology, TopologyNode},
    watch::{Now, Watch},
};
use callers::Callers;
use nodes::Nodes;
pub use nodes::SetJoinsError;

/// Time to the next analysis per step of the last one, from start to start, if that is longer than
/// [`Config::analysis_gap`]: ten times what a step takes, so that analysing takes a tenth of the time however the joins of
/// others are made.
const GAP_NANOS_PER_STEP: u64 = 80;
/// [`Detector::analyse_now`] waits for nothing while the last analysis took no more steps than this, 2 to 4 ms: as
/// many as 800 nodes with two joins each and no big ring take. A node or an edge counts as 200 steps.
pub const MAX_WORK_AT_ONCE: usize = 500_000;

/// What [`Detector::set_joins`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The joins differ from those known, or the record was unverified or new; the next analysis takes them in.
    Changed,
    /// Nothing that matters for rings is new.
    Unchanged,
}

/// Knows who joins whom, and says when the local node is in a ring. See the crate's documentation for the rules.
///
/// `now` is monotonic time since any fixed instant, usually the start of the process; it must not run backwards.
#[derive(Debug)]
pub struct Detector<N> {
    config: Config<N>,
    nodes: Nodes<N>,
    callers: Callers<N>,
    rings: Vec<Ring<N>>,
    watches: [Watch<N>; 3],
    /// Per watch: the members that are joined to the local node in the layer of the current ring.
    closers: [Vec<N>; 3],
    /// Members of the local node's rings that were forgotten since the last analysis.
    forgotten: BTreeMap<N, TopologyNode<N>>,
    local_known: bool,
    dirty: bool,
    analysed_at: Option<Duration>,
    /// Of the last analysis, in steps.
    work: usize,
    polled_at: Duration,
    /// Unix ms at `now == 0`, as of the last poll.
    epoch_unix_ms: u64,
}

impl<N: NodeId> Detector<N> {
    /// A detector that knows nothing yet.
    pub fn new(config: Config<N>) -> Self {
        Detector {
            callers: Callers::new(config.max_callers),
            config,
            nodes: Nodes::new(),
            rings: Vec::new(),
            watches: [RingKind::SelfJoin, RingKind::Plain, RingKind::Shared].map(Watch::new),
            closers: [const { Vec::new() }; 3],
            forgotten: BTreeMap::new(),
            local_known: false,
            dirty: false,
            analysed_at: None,
            work: 0,
            polled_at: Duration::ZERO,
            epoch_unix_ms: 0,
        }
    }

    /// Takes in the joins of a newer record of `node`; the caller sees to it that the record is newer and valid.
    ///
    /// The local node's own joins come in the same way and are needed, empty if it has none: before that no ring is said
    /// to be gone. Of joins with the same address and targets the oldest is kept.
    ///
    /// # Errors
    /// If a bound of [`Config`] would be exceeded. The bounds on all targets of a node and on all nodes together do not hold
    /// for the local node. What was known of the node before is then marked unverified.
    pub fn set_joins(
        &mut self,
        now: Duration,
        node: N,
        name: String,
        mut joins: Vec<Join<N>>,
    ) -> Result<Outcome, SetJoinsError> {
        self.check(&node, &name, &joins).inspect_err(|_| self.mark_unverified(now, &node))?;
        joins.sort_by(|a, b| {
            (&a.address, &a.targets, a.since_unix_ms).cmp(&(
                &b.address,
                &b.targets,
                b.since_unix_ms,
            ))
        });
        joins.dedup_by(|a, b| a.address == b.address && a.targets == b.targets);
        self.local_known |= node == self.config.local;
        let is_known = |known: &TopologyNode<N>| !known.unverified && known.joins == joins;
        if self.nodes.get(&node).is_some_and(is_known) {
            self.nodes.rename(&node, name);
            return Ok(Outcome::Unchanged);
        }
        self.nodes.insert(node, name, joins, None);
        self.dirty = true;
        Ok(Outcome::Changed)
    }

    fn check(&self, node: &N, name: &str, joins: &[Join<N>]) -> Result<(), SetJoinsError> {
        self.nodes.check(&self.config, self.callers.contains(node), node, name, joins)
    }

    /// The record of `node` expired: its joins stay, rings through them become unverified. After
    /// [`Config::forget_unverified_after`] without a newer record it is forgotten.
    pub fn mark_unverified(&mut self, now: Duration, node: &N) {
        self.dirty |= self.nodes.mark_unverified(node, now + self.config.forget_unverified_after);
    }

    /// Takes `node` and its joins out. A ring that is lost by this alone is dropped without an event: nobody knows whether
    /// it is gone.
    pub fn forget(&mut self, _now: Duration, node: &N) {
        let Some(known) = self.nodes.remove(node) else { return };
        self.dirty = true;
        let mut rings = self.watches.iter().filter_map(Watch::current);
        if rings.any(|ring| ring.members.binary_search(node).is_ok()) {
            self.forgotten.insert(node.clone(), known);
        }
    }

    /// The local node has itself seen `caller`, authenticated. Cheap enough to be called for each request.
    pub fn caller_seen(&mut self, _now: Duration, caller: &N) {
        if self.callers.seen(caller) {
            for (watch, closers) in self.watches.iter_mut().zip(&self.closers) {
                watch.corroborated |= closers.contains(caller);
            }
        }
    }

    /// Analyses the graph if it changed, whatever [`Config::analysis_gap`] says: for an answer that has to name the rings of
    /// joins learned just now. Only if the last analysis took more than [`MAX_WORK_AT_ONCE`] the gap holds here too, and
    /// [`rings`](Self::rings) stay as they were. What there is to say waits for the next [`poll`](Self::poll).
    pub fn analyse_now(&mut self, now: Duration) {
        if self.dirty && (self.work <= MAX_WORK_AT_ONCE || self.analysis_at() <= now) {
            self.analyse(now);
        }
    }

    /// Analyses the graph if it changed, and returns what is to be said now. `unix_ms` is the wall clock.
    pub fn poll(&mut self, now: Duration, unix_ms: u64) -> Vec<Event<N>> {
        self.polled_at = now;
        self.epoch_unix_ms = unix_ms.saturating_sub(millis(now));
        while let Some((_, node)) = self.nodes.next_expiry().filter(|(at, _)| *at <= now).cloned() {
            self.forget(now, &node);
        }
        if self.dirty && self.analysis_at() <= now {
            self.analyse(now);
        }
        let superseded = self.shared_is_superseded();
        let now = Now { mono: now, unix_ms };
        self.watches
            .iter_mut()
            .filter_map(|watch| {
                let superseded = superseded && watch.kind() == RingKind::Shared;
                watch.poll(now, &self.config, superseded)
            })
            .collect()
    }

    fn shared_is_superseded(&self) -> bool {
        let [_, plain, shared] = &self.watches;
        let (Some(plain), Some(shared)) = (plain.current(), shared.settled_ring()) else {
            return false;
        };
        shared.members.iter().all(|member| plain.members.binary_search(member).is_ok())
    }

    /// When to [`poll`](Self::poll) next if nothing else happens: now if that time has passed, never if `None`. To be asked
    /// again after each call.
    pub fn next_wake(&self) -> Option<Duration> {
        let analysis = self.dirty.then(|| self.analysis_at());
        let expiry = self.nodes.next_expiry().map(|(at, _)| *at);
        let watches = self.watches.iter().filter_map(|watch| watch.next_wake(&self.config));
        watches.chain(analysis).chain(expiry).min()
    }

    fn analysis_at(&self) -> Duration {
        let in_proportion = u64::try_from(self.work).map_or(Duration::MAX, |work| {
            Duration::from_nanos(GAP_NANOS_PER_STEP.saturating_mul(work))
        });
        let gap = self.config.analysis_gap.max(in_proportion);
        self.analysed_at.map_or(Duration::ZERO, |at| at.saturating_add(gap))
    }

    fn analyse(&mut self, now: Duration) {
        self.dirty = false;
        self.analysed_at = Some(now);
        let analysis = self.nodes.graph().analyse(Some(&self.config.local));
        self.rings = analysis.rings;
        self.work = analysis.work;
        let mut forgotten = std::mem::take(&mut self.forgotten);
        let mut with_forgotten = None;
        for position in 0..self.watches.len() {
            let kind = self.watches[position].kind();
            let ring = self.local_ring(kind, &self.rings).cloned();
            let is_lost = ring.is_none() && self.watches[position].current().is_some();
            if is_lost && (with_forgotten.is_some() || !forgotten.is_empty()) {
                // Would it still be there, had nobody been forgotten?
                let kinds = with_forgotten.get_or_insert_with(|| {
                    let forgotten = std::mem::take(&mut forgotten);
                    let (kinds, work) = self.nodes.kinds_around_with(forgotten, &self.config.local);
                    self.work += work;
                    kinds
                });
                if kinds.contains(&kind) {
                    self.watches[position].drop_silently(now);
                }
            }
            self.closers[position] =
                ring.as_ref().map_or_else(Vec::new, |ring| self.closers_of(ring));
            self.watches[position].observe(ring, now, self.config.settle);
            let is_contradicted = self.local_known && self.is_contradicted(&self.watches[position]);
            let watch = &mut self.watches[position];
            watch.observe_contradiction(is_contradicted, now);
            watch.corroborated = kind == RingKind::SelfJoin
                || self.closers[position].iter().any(|closer| self.callers.contains(closer));
        }
    }

    fn local_ring<'a>(&self, kind: RingKind, rings: &'a [Ring<N>]) -> Option<&'a Ring<N>> {
        rings.iter().find(|ring| {
            ring.kind == kind && ring.members.binary_search(&self.config.local).is_ok()
        })
    }

    fn closers_of(&self, ring: &Ring<N>) -> Vec<N> {
        let others = ring.members.iter().filter(|member| **member != self.config.local);
        others
            .filter(|member| self.is_joined(ring.kind, member, &self.config.local))
            .cloned()
            .collect()
    }

    fn is_joined(&self, kind: RingKind, from: &N, to: &N) -> bool {
        self.nodes.get(from).is_some_and(|node| {
            node.joins.iter().any(|join| {
                join.targets.contains(to) && (kind == RingKind::Shared || !join.is_shared())
            })
        })
    }

    /// Whether the last ring, which is not in the graph, is known to be broken: everything about its members is known, or
    /// some member is known to lack its join of the circuit.
    fn is_contradicted(&self, watch: &Watch<N>) -> bool {
        let Some(ring) = watch.settled_ring() else { return false };
        let is_known = |member: &N| self.nodes.get(member).is_some();
        let next = ring.witness.iter().cycle().skip(1);
        ring.members.iter().all(is_known)
            || ring
                .witness
                .iter()
                .zip(next)
                .any(|(from, to)| is_known(from) && !self.is_joined(ring.kind, from, to))
    }

    /// The joins that are known, as a graph.
    pub fn graph(&self) -> &JoinGraph<N> {
        self.nodes.graph()
    }

    /// All rings, whoever is in them, as of the last analysis, ordered by members; at most twice as many as nodes.
    pub fn rings(&self) -> &[Ring<N>] {
        &self.rings
    }

    /// At most `max` of the circuits of `ring`, by the joins as they are now. For people: a dense ring has more circuits than
    /// can be counted, so `max` must be small; each takes time linear in the ring's joins.
    pub fn circuits(&self, ring: &Ring<N>, max: usize) -> Circuits<N> {
        self.nodes.graph().circuits(ring, max)
    }

    /// The name that `node` gives itself.
    pub fn name(&self, node: &N) -> Option<&str> {
        self.nodes.get(node).map(|known| known.name.as_str())
    }

    /// Everything that is known: for exports.
    pub fn topology(&self) -> Topology<N> {
        Topology {
            local: self.config.local.clone(),
            nodes: self.nodes.graph().nodes().cloned().collect(),
            rings: self.rings.clone(),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
