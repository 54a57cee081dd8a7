//! The state machine around the analysis.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use crate::{
    analysis::{Known, circuits_of, rings_of},
    config::Config,
    memory::{RememberedNode, RingMemory},
    model::{Circuits, Event, Join, NodeId, Ring, RingId, RingKind, Topology, TopologyNode},
    watch::{Now, Watch},
};

/// What [`Detector::set_joins`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The joins differ from those known, or the record was unverified or new; the next analysis takes them in.
    Changed,
    /// Nothing that matters for rings is new.
    Unchanged,
}

/// Why joins were refused. What was known of the node before stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetJoinsError {
    /// The node is new and there is no room.
    #[error("{max} nodes are known, which is the most; a new one is refused")]
    TooManyNodes {
        /// [`Config::max_nodes`].
        max: usize,
    },
    /// More joins than a node may have.
    #[error("{got} joins of one node, at most {max} are accepted")]
    TooManyJoins {
        /// As given.
        got: usize,
        /// [`Config::max_joins_per_node`].
        max: usize,
    },
    /// More targets than a join may have.
    #[error("{got} targets of one join, at most {max} are accepted")]
    TooManyTargets {
        /// As given.
        got: usize,
        /// [`Config::max_targets_per_join`].
        max: usize,
    },
    /// All joins together would have more targets than one analysis may take.
    #[error("the joins of all nodes would have more than {max} targets")]
    TooManyEdges {
        /// [`Config::max_edges`].
        max: usize,
    },
    /// A name or an address is too long.
    #[error("a name or address of {got} bytes, at most {max} are accepted")]
    TextTooLong {
        /// Bytes given.
        got: usize,
        /// [`Config::max_text_bytes`].
        max: usize,
    },
}

#[derive(Debug, Clone)]
struct Node<N> {
    name: String,
    /// Sorted by address and targets, no such pair twice.
    joins: Vec<Join<N>>,
    /// Set while the record is unverified.
    forget_at: Option<Duration>,
}

impl<N> Node<N> {
    fn edges(&self) -> usize {
        self.joins.iter().map(|join| join.targets.len()).sum()
    }
}

/// Knows who joins whom, and says when the local node is in a ring. See the crate's documentation for the rules.
///
/// `now` is monotonic time since any fixed instant, usually the start of the process; it must not run backwards.
#[derive(Debug)]
pub struct Detector<N> {
    config: Config<N>,
    nodes: BTreeMap<N, Node<N>>,
    /// Targets of all joins.
    edges: usize,
    /// When unverified nodes are forgotten.
    expiries: BTreeSet<(Duration, N)>,
    callers: Callers<N>,
    rings: Vec<Ring<N>>,
    watches: [Watch<N>; 3],
    /// Per watch: the members that are joined to the local node in the layer of the current ring.
    closers: [Vec<N>; 3],
    /// Members of the local node's rings that were forgotten since the last analysis.
    forgotten: BTreeMap<N, Node<N>>,
    local_known: bool,
    dirty: bool,
    analysed_at: Option<Duration>,
    polled_at: Duration,
    /// Unix ms at `now == 0`, as of the last poll.
    epoch_unix_ms: u64,
}

impl<N: NodeId> Detector<N> {
    /// A detector that knows nothing yet.
    pub fn new(config: Config<N>) -> Self {
        Detector {
            callers: Callers { cap: config.max_callers, ..Callers::default() },
            config,
            nodes: BTreeMap::new(),
            edges: 0,
            expiries: BTreeSet::new(),
            rings: Vec::new(),
            watches: [RingKind::SelfJoin, RingKind::Plain, RingKind::Shared].map(Watch::new),
            closers: [const { Vec::new() }; 3],
            forgotten: BTreeMap::new(),
            local_known: false,
            dirty: false,
            analysed_at: None,
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
    /// If a bound of [`Config`] would be exceeded. The bounds on all nodes together do not hold for the local node.
    pub fn set_joins(
        &mut self,
        _now: Duration,
        node: N,
        name: String,
        mut joins: Vec<Join<N>>,
    ) -> Result<Outcome, SetJoinsError> {
        self.check(&node, &name, &joins)?;
        joins.sort_by(|a, b| {
            (&a.address, &a.targets, a.since_unix_ms).cmp(&(
                &b.address,
                &b.targets,
                b.since_unix_ms,
            ))
        });
        joins.dedup_by(|a, b| a.address == b.address && a.targets == b.targets);
        self.local_known |= node == self.config.local;
        let new = Node { name, joins, forget_at: None };
        if let Some(known) = self.nodes.get_mut(&node)
            && known.forget_at.is_none()
            && known.joins == new.joins
        {
            known.name = new.name;
            return Ok(Outcome::Unchanged);
        }
        self.insert(node, new);
        Ok(Outcome::Changed)
    }

    fn check(&self, node: &N, name: &str, joins: &[Join<N>]) -> Result<(), SetJoinsError> {
        let Config {
            max_nodes,
            max_joins_per_node,
            max_targets_per_join,
            max_edges,
            max_text_bytes,
            ..
        } = self.config;
        if joins.len() > max_joins_per_node {
            return Err(SetJoinsError::TooManyJoins { got: joins.len(), max: max_joins_per_node });
        }
        let longest =
            joins.iter().map(|join| join.address.len()).chain([name.len()]).max().unwrap_or(0);
        if longest > max_text_bytes {
            return Err(SetJoinsError::TextTooLong { got: longest, max: max_text_bytes });
        }
        if let Some(join) = joins.iter().find(|join| join.targets.len() > max_targets_per_join) {
            return Err(SetJoinsError::TooManyTargets {
                got: join.targets.len(),
                max: max_targets_per_join,
            });
        }
        if *node == self.config.local {
            return Ok(());
        }
        let known = self.nodes.get(node);
        if known.is_none() && self.nodes.len() >= max_nodes {
            return Err(SetJoinsError::TooManyNodes { max: max_nodes });
        }
        let added: usize = joins.iter().map(|join| join.targets.len()).sum();
        if added > 0 && self.edges - known.map_or(0, Node::edges) + added > max_edges {
            return Err(SetJoinsError::TooManyEdges { max: max_edges });
        }
        Ok(())
    }

    fn insert(&mut self, id: N, node: Node<N>) {
        self.remove(&id);
        self.edges += node.edges();
        if let Some(forget_at) = node.forget_at {
            self.expiries.insert((forget_at, id.clone()));
        }
        self.nodes.insert(id, node);
        self.dirty = true;
    }

    fn remove(&mut self, id: &N) -> Option<Node<N>> {
        let node = self.nodes.remove(id)?;
        self.edges -= node.edges();
        if let Some(forget_at) = node.forget_at {
            self.expiries.remove(&(forget_at, id.clone()));
        }
        self.dirty = true;
        Some(node)
    }

    /// The record of `node` expired: its joins stay, rings through them become unverified. After
    /// [`Config::forget_unverified_after`] without a newer record it is forgotten.
    pub fn mark_unverified(&mut self, now: Duration, node: &N) {
        if let Some(known) = self.nodes.get_mut(node).filter(|known| known.forget_at.is_none()) {
            let forget_at = now + self.config.forget_unverified_after;
            known.forget_at = Some(forget_at);
            self.expiries.insert((forget_at, node.clone()));
            self.dirty = true;
        }
    }

    /// Takes `node` and its joins out. A ring that is lost by this alone is dropped without an event: nobody knows whether
    /// it is gone.
    pub fn forget(&mut self, _now: Duration, node: &N) {
        if let Some(known) = self.remove(node)
            && self
                .watches
                .iter()
                .filter_map(Watch::current)
                .any(|ring| ring.members.binary_search(node).is_ok())
        {
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

    /// Analyses the graph if it changed, and returns what is to be said now. `unix_ms` is the wall clock.
    pub fn poll(&mut self, now: Duration, unix_ms: u64) -> Vec<Event<N>> {
        self.polled_at = now;
        self.epoch_unix_ms = unix_ms.saturating_sub(millis(now));
        while let Some((_, node)) = self.expiries.first().filter(|(at, _)| *at <= now).cloned() {
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
        let expiry = self.expiries.first().map(|(at, _)| *at);
        let watches = self.watches.iter().filter_map(|watch| watch.next_wake(&self.config));
        watches.chain(analysis).chain(expiry).min()
    }

    fn analysis_at(&self) -> Duration {
        self.analysed_at.map_or(Duration::ZERO, |at| at + self.config.analysis_gap)
    }

    fn analyse(&mut self, now: Duration) {
        self.dirty = false;
        self.analysed_at = Some(now);
        self.rings = rings_of(self.nodes.iter().map(known).collect());
        let forgotten = std::mem::take(&mut self.forgotten);
        let mut with_forgotten = None;
        for position in 0..self.watches.len() {
            let kind = self.watches[position].kind();
            let ring = self.local_ring(kind, &self.rings).cloned();
            if ring.is_none() && self.watches[position].current().is_some() && !forgotten.is_empty()
            {
                // Would it still be there, had nobody been forgotten?
                let rings = with_forgotten.get_or_insert_with(|| {
                    let kept = forgotten.iter().filter(|(id, _)| !self.nodes.contains_key(*id));
                    rings_of(
                        self.nodes
                            .iter()
                            .chain(kept)
                            .collect::<BTreeMap<_, _>>()
                            .into_iter()
                            .map(known)
                            .collect(),
                    )
                });
                if self.local_ring(kind, rings).is_some() {
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
        let is_known = |member: &N| self.nodes.contains_key(member);
        let next = ring.witness.iter().cycle().skip(1);
        ring.members.iter().all(is_known)
            || ring
                .witness
                .iter()
                .zip(next)
                .any(|(from, to)| is_known(from) && !self.is_joined(ring.kind, from, to))
    }

    /// All rings, whoever is in them, as of the last analysis, ordered by members; at most twice as many as nodes.
    pub fn rings(&self) -> &[Ring<N>] {
        &self.rings
    }

    /// At most `max` of the circuits of `ring`, by the joins as they are now. For people: a dense ring has more circuits than
    /// can be counted, so `max` must be small; each takes time linear in the ring's joins.
    pub fn circuits(&self, ring: &Ring<N>, max: usize) -> Circuits<N> {
        circuits_of(self.nodes.iter().map(known).collect(), ring.kind, &ring.members, max)
    }

    /// The name that `node` gives itself.
    pub fn name(&self, node: &N) -> Option<&str> {
        self.nodes.get(node).map(|known| known.name.as_str())
    }

    /// Everything that is known: for exports.
    pub fn topology(&self) -> Topology<N> {
        let node = |(id, node): (&N, &Node<N>)| TopologyNode {
            id: id.clone(),
            name: node.name.clone(),
            joins: node.joins.clone(),
            unverified: node.forget_at.is_some(),
        };
        Topology {
            local: self.config.local.clone(),
            nodes: self.nodes.iter().map(node).collect(),
            rings: self.rings.clone(),
        }
    }

    /// What has been said, to be persisted; see [`RingMemory`].
    pub fn memory(&self) -> RingMemory<N> {
        let rings =
            self.watches.iter().filter_map(|watch| watch.remember(self.polled_at)).collect();
        let open = self.watches.iter().filter(|watch| watch.is_open());
        let members: BTreeSet<&N> = open
            .flat_map(|watch| {
                watch
                    .spoken_members()
                    .iter()
                    .chain(watch.current().into_iter().flat_map(|ring| &ring.members))
            })
            .collect();
        let remembered = |id: &N| {
            let node = self.nodes.get(id)?;
            let inside =
                |join: &&Join<N>| join.targets.iter().any(|target| members.contains(target));
            Some(RememberedNode {
                id: id.clone(),
                name: node.name.clone(),
                joins: node.joins.iter().filter(inside).cloned().collect(),
                unverified_since_unix_ms: node.forget_at.map(|at| {
                    self.epoch_unix_ms
                        .saturating_add(millis(at))
                        .saturating_sub(millis(self.config.forget_unverified_after))
                }),
            })
        };
        let nodes = members.iter().filter_map(|id| remembered(id)).collect();
        RingMemory { rings, nodes }
    }

    /// Takes up what was said before a restart. Remembered nodes count as unverified until their records arrive, so a ring
    /// that was announced stays, and is said to be gone only once a newer record lacks the circuit. What does not fit in the
    /// bounds or does not concern the local node is left out; what is known already stays.
    pub fn restore(&mut self, now: Duration, unix_ms: u64, memory: RingMemory<N>) {
        for node in memory.nodes {
            if self.nodes.contains_key(&node.id)
                || self.check(&node.id, &node.name, &node.joins).is_err()
            {
                continue;
            }
            let age =
                node.unverified_since_unix_ms.map_or(0, |since| unix_ms.saturating_sub(since));
            let left =
                self.config.forget_unverified_after.saturating_sub(Duration::from_millis(age));
            self.insert(
                node.id,
                Node { name: node.name, joins: node.joins, forget_at: Some(now + left) },
            );
        }
        for mut ring in memory.rings {
            ring.members.sort();
            ring.members.dedup();
            if ring.members.binary_search(&self.config.local).is_err()
                || ring.members.len() > self.config.max_nodes
            {
                continue;
            }
            let id = RingId::of(&ring.members);
            if let Some(watch) = self.watches.iter_mut().find(|watch| watch.kind() == ring.kind) {
                watch.restore(ring, id, Now { mono: now, unix_ms }, &self.config);
            }
        }
        self.dirty = true;
    }
}

fn known<'a, N>((id, node): (&'a N, &'a Node<N>)) -> (&'a N, Known<'a, N>) {
    (id, Known { joins: &node.joins, unverified: node.forget_at.is_some() })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Callers seen, the least recently seen one first to go.
#[derive(Debug)]
struct Callers<N> {
    cap: usize,
    turn: u64,
    by_id: HashMap<N, u64>,
    by_turn: BTreeMap<u64, N>,
}

impl<N> Default for Callers<N> {
    fn default() -> Self {
        Callers { cap: 0, turn: 0, by_id: HashMap::new(), by_turn: BTreeMap::new() }
    }
}

impl<N: NodeId> Callers<N> {
    fn contains(&self, caller: &N) -> bool {
        self.by_id.contains_key(caller)
    }

    /// Whether it is new.
    fn seen(&mut self, caller: &N) -> bool {
        self.turn += 1;
        let before = self.by_id.insert(caller.clone(), self.turn);
        if let Some(before) = before {
            self.by_turn.remove(&before);
        }
        self.by_turn.insert(self.turn, caller.clone());
        if self.by_id.len() > self.cap
            && let Some((_, oldest)) = self.by_turn.pop_first()
        {
            self.by_id.remove(&oldest);
        }
        before.is_none()
    }
}
