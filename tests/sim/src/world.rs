//! The network: its nodes, its clock, and what a test may do to it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::time::Duration;

use unring_exchange::{
    Answer, Config, InboundId, InvalidTrace, Now, Request, Scope, UpstreamId, Verifier,
};
use unring_peer::{Identity, PeerId, UnixMillis};

use crate::balancer::Balancer;
use crate::faults::Faults;
use crate::message::{End, Message, Party, Waiting};
use crate::node::{Node, NodeId, identity};
use crate::shape::{Shape, name};
use crate::traffic::Traffic;
use crate::wire::Reader;

/// What a client of the network was answered, and how long after it had asked.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The answer.
    pub answer: Answer,
    /// The time it took.
    pub after: Duration,
}

/// The network and its nodes.
#[derive(Debug)]
pub struct World<V> {
    pub(crate) nodes: Vec<Node<V>>,
    pub(crate) verifier: V,
    pub(crate) now: Duration,
    /// The wall clock at the start.
    epoch: UnixMillis,
    pub(crate) latency: Duration,
    /// What goes wrong.
    pub faults: Faults,
    /// What has been sent.
    pub traffic: Traffic,
    /// Which node is at an address.
    pub(crate) by_name: HashMap<String, NodeId>,
    /// Addresses that lead to several nodes.
    pub(crate) shared: BTreeMap<String, Balancer>,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    messages: BTreeMap<u64, Message>,
    next: u64,
    pub(crate) waiting: BTreeMap<(Party, InboundId), Waiting>,
    /// Open streams, from either end.
    pub(crate) streams: BTreeMap<End, End>,
    /// When the last message to an end of a stream arrives.
    pub(crate) in_order: BTreeMap<End, Duration>,
    /// Where the connection of a node to an upstream leads.
    pub(crate) connections: BTreeMap<(NodeId, UpstreamId), Party>,
    pub(crate) asked: Vec<(Duration, Option<Answered>)>,
    pub(crate) reader: Reader,
}

impl<V: Verifier + Clone> World<V> {
    /// An empty network in which a message takes `latency`.
    #[must_use]
    pub fn new(verifier: V, latency: Duration) -> Self {
        Self {
            nodes: Vec::new(),
            verifier,
            now: Duration::ZERO,
            epoch: UnixMillis::new(1_790_000_000_000),
            latency,
            faults: Faults::none(),
            traffic: Traffic::default(),
            by_name: HashMap::new(),
            shared: BTreeMap::new(),
            queue: BinaryHeap::new(),
            messages: BTreeMap::new(),
            next: 0,
            waiting: BTreeMap::new(),
            streams: BTreeMap::new(),
            in_order: BTreeMap::new(),
            connections: BTreeMap::new(),
            asked: Vec::new(),
            reader: Reader::default(),
        }
    }

    /// A network of this shape, whose nodes are called `n0`, `n1` and so on, just started.
    #[must_use]
    pub fn shaped(
        verifier: V,
        latency: Duration,
        shape: Shape,
        nodes: usize,
        change: impl FnMut(&mut Config),
    ) -> Self {
        Self::joined(verifier, latency, nodes, &shape.joins(nodes), change)
    }

    /// A network of `nodes` nodes with these joins, just started.
    #[must_use]
    pub fn joined(
        verifier: V,
        latency: Duration,
        nodes: usize,
        joins: &[(usize, usize)],
        mut change: impl FnMut(&mut Config),
    ) -> Self {
        let mut world = Self::new(verifier, latency);
        let mut upstreams_of = vec![Vec::new(); nodes];
        for (from, to) in joins {
            upstreams_of[*from].push(name(*to));
        }
        for (node, upstreams) in upstreams_of.iter().enumerate() {
            let upstreams: Vec<_> = upstreams.iter().map(String::as_str).collect();
            world.add(&name(node), identity(node), &upstreams, &mut change);
        }
        world
    }

    /// Adds a node at the address `name` that joins `upstreams`, and starts it.
    pub fn add(
        &mut self,
        name: &str,
        identity: Identity,
        upstreams: &[&str],
        change: impl FnOnce(&mut Config),
    ) -> NodeId {
        let id = self.nodes.len();
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&(id as u64).to_le_bytes());
        let mut config = Config::new(name, seed);
        change(&mut config);
        self.by_name.entry(name.to_owned()).or_insert(id);
        self.nodes.push(Node {
            name: name.to_owned(),
            identity,
            engine: None,
            life: 0,
            config,
            upstreams: upstreams.iter().map(|upstream| (*upstream).to_owned()).collect(),
            persisted_seq: 0,
            ring_memory: Default::default(),
            targets: BTreeMap::new(),
            behind: Duration::ZERO,
            timer: None,
            rings: Vec::new(),
            notices: Vec::new(),
        });
        self.start(id);
        id
    }

    /// Makes `address` lead to `nodes`, as a load balancer does: in turn, or at random from a seed.
    pub fn share(&mut self, address: &str, nodes: Vec<NodeId>, seed: Option<u64>) {
        self.shared.insert(address.to_owned(), Balancer::new(nodes, seed));
    }

    /// Starts a node that is down.
    pub fn start(&mut self, id: NodeId) {
        let (now, verifier) = (self.now_of(id), self.verifier.clone());
        self.nodes[id].start(now, &verifier);
        self.after_event(id);
    }

    /// Stops a node without a word; its connections break.
    pub fn kill(&mut self, id: NodeId) {
        self.nodes[id].engine = None;
        self.break_connections(|node, other| node == id || other == id);
    }

    /// Keeps two nodes from reaching each other; their connections break.
    pub fn cut(&mut self, a: NodeId, b: NodeId) {
        self.faults.cut.insert((a.min(b), a.max(b)));
        self.break_connections(|node, other| (node, other) == (a, b) || (node, other) == (b, a));
    }

    /// Has everything between two nodes vanish, with no word to either: each has to find out. Meant to outlast the streams
    /// between them; what vanished on one that lives on is not sent again.
    pub fn stall(&mut self, a: NodeId, b: NodeId) {
        self.faults.stalled.insert((a.min(b), a.max(b)));
    }

    /// Breaks every connection at once; all nodes run on.
    pub fn break_all(&mut self) {
        self.break_connections(|_, _| true);
    }

    /// Lets all nodes reach each other again, and nothing be lost.
    pub fn heal(&mut self) {
        self.faults.cut.clear();
        self.faults.stalled.clear();
        self.faults.loss = 0.0;
        self.faults.jitter = Duration::ZERO;
    }

    /// Changes the upstreams of a node for its next start.
    pub fn set_upstreams(&mut self, id: NodeId, upstreams: &[&str]) {
        self.nodes[id].upstreams =
            upstreams.iter().map(|upstream| (*upstream).to_owned()).collect();
    }

    /// Changes the upstreams of a node that runs.
    pub fn reconfigure(&mut self, id: NodeId, upstreams: &[&str]) {
        self.set_upstreams(id, upstreams);
        let now = self.now_of(id);
        let configured = upstreams.iter().map(|address| ((*address).to_owned(), now.unix));
        let configured = configured.collect();
        self.with_engine(id, |engine| engine.set_upstreams(now, configured));
    }

    /// Forgets what a node has on disk, but for its key.
    pub fn lose_disk(&mut self, id: NodeId) {
        self.nodes[id].persisted_seq = 0;
        self.nodes[id].ring_memory = Default::default();
        self.nodes[id].targets.clear();
    }

    /// Sets a node's wall clock back by this much.
    pub fn set_back(&mut self, id: NodeId, behind: Duration) {
        self.nodes[id].behind = behind;
    }

    /// One node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node<V> {
        &self.nodes[id]
    }

    /// All nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Node<V>] {
        &self.nodes
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { mono: self.now, unix: self.epoch.saturating_add(self.now) }
    }

    pub(crate) fn now_of(&self, id: NodeId) -> Now {
        let Now { mono, unix } = self.now();
        let behind = u64::try_from(self.nodes[id].behind.as_millis()).unwrap_or(u64::MAX);
        Now { mono, unix: UnixMillis::new(unix.get().saturating_sub(behind)) }
    }

    /// Asks a node as a plain gRPC client does, with that much patience; the number is for [`answer`](Self::answer).
    pub fn ask(&mut self, id: NodeId, budget: Duration) -> usize {
        let client = self.asked.len();
        self.asked.push((self.now, None));
        let request =
            Request { scope: Scope::Recursive, max_peers: 1000, trace: None, caller_record: None };
        let _refused = self.request(id, None, request, budget, Waiting::Client(client));
        client
    }

    /// What a client was answered; none yet.
    #[must_use]
    pub fn answer(&self, client: usize) -> Option<&Answered> {
        self.asked.get(client).and_then(|(_, answered)| answered.as_ref())
    }

    /// Hands a node a request that a test made up, and gives back the answer if it comes at once.
    ///
    /// # Errors
    /// As [`Engine::on_request`](unring_exchange::Engine::on_request).
    pub fn inject(
        &mut self,
        id: NodeId,
        caller: Option<PeerId>,
        request: Request,
    ) -> Result<Option<Answer>, InvalidTrace> {
        let client = self.asked.len();
        self.asked.push((self.now, None));
        self.request(id, caller, request, Duration::from_secs(10), Waiting::Client(client))?;
        Ok(self.asked[client].1.clone().map(|answered| answered.answer))
    }

    /// Runs until `duration` from now.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(Reverse((at, _))) = self.queue.peek().filter(|Reverse((at, _))| *at <= end) {
            let at = *at;
            let Some(Reverse((_, number))) = self.queue.pop() else { break };
            self.now = at;
            if let Some(message) = self.messages.remove(&number) {
                self.deliver(message);
            }
        }
        self.now = end;
    }

    /// Runs until nothing is under way, or until `limit` from now.
    pub fn run_until_quiet(&mut self, limit: Duration) {
        let end = self.now + limit;
        while self.messages.values().any(Message::is_sent) && self.now < end {
            self.run_for(self.latency);
        }
    }

    pub(crate) fn send_after(&mut self, delay: Duration, message: Message) {
        let mut at = self.now + delay;
        if let Some(end) = message.end() {
            let last = self.in_order.entry(end).or_default();
            at = at.max(*last);
            *last = at;
        }
        self.next += 1;
        self.queue.push(Reverse((at, self.next)));
        self.messages.insert(self.next, message);
    }

    pub(crate) fn party(&self, node: NodeId) -> Party {
        Party { node, life: self.nodes[node].life }
    }
}
