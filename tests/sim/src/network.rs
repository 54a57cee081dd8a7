//! The network between the nodes: messages take a fixed time, connections lead where their address says.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use unring_exchange::{
    Action, Admission, Answer, CallFailure, CallId, Config, Disposition, Engine, InboundId,
    InvalidTrace, Now, OutboundRequest, RemoteAnswer, Request, Scope, StreamId, Verifier,
};
use unring_peer::{Identity, PeerId, SignedRecord, UnixMillis, UnverifiedRecord};

use crate::node::{Node, NodeId};

/// What a client of the network was answered, and how long after it had asked.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The answer.
    pub answer: Answer,
    /// The time it took.
    pub after: Duration,
}

/// Who waits for the answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Waiting {
    Node(NodeId, CallId),
    Client(usize),
}

#[derive(Debug)]
enum Message {
    Timer(NodeId),
    Request {
        to: NodeId,
        from: NodeId,
        call: CallId,
        request: Box<OutboundRequest>,
        timeout: Duration,
    },
    Response {
        to: NodeId,
        call: CallId,
        from: PeerId,
        answer: Box<Answer>,
        fresh: bool,
    },
    Failure {
        to: NodeId,
        call: CallId,
        reason: &'static str,
    },
    OpenStream {
        to: NodeId,
        from: NodeId,
        stream: StreamId,
        record: SignedRecord,
    },
    StreamOpened {
        to: NodeId,
        stream: StreamId,
        peer: PeerId,
    },
    Records {
        to: NodeId,
        stream: StreamId,
        records: Vec<SignedRecord>,
        snapshot_complete: bool,
    },
    StreamClosed {
        to: NodeId,
        stream: StreamId,
    },
}

/// The network and its nodes.
#[derive(Debug)]
pub struct World<V> {
    nodes: Vec<Node<V>>,
    verifier: V,
    now: Duration,
    /// The wall clock at the start.
    epoch: UnixMillis,
    latency: Duration,
    /// Addresses that lead to several nodes in turn.
    shared: BTreeMap<String, (usize, Vec<NodeId>)>,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    messages: BTreeMap<u64, Message>,
    next: u64,
    waiting: BTreeMap<(NodeId, InboundId), Waiting>,
    streams: BTreeMap<(NodeId, StreamId), (NodeId, StreamId)>,
    asked: Vec<(Duration, Option<Answered>)>,
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
            shared: BTreeMap::new(),
            queue: BinaryHeap::new(),
            messages: BTreeMap::new(),
            next: 0,
            waiting: BTreeMap::new(),
            streams: BTreeMap::new(),
            asked: Vec::new(),
        }
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
        let upstreams = upstreams.iter().map(|upstream| (*upstream).to_owned()).collect();
        self.nodes.push(Node {
            name: name.to_owned(),
            identity,
            engine: None,
            config,
            upstreams,
            persisted_seq: 0,
            timer: None,
            rings: Vec::new(),
            notices: Vec::new(),
        });
        self.start(id);
        id
    }

    /// Makes `address` lead to `nodes` in turn, as a load balancer would.
    pub fn share(&mut self, address: &str, nodes: Vec<NodeId>) {
        self.shared.insert(address.to_owned(), (0, nodes));
    }

    /// Starts a node that is down.
    pub fn start(&mut self, id: NodeId) {
        let now = self.now();
        let verifier = self.verifier.clone();
        self.nodes[id].start(now, &verifier);
        self.after_event(id);
    }

    /// Stops a node without a word; its connections break.
    pub fn kill(&mut self, id: NodeId) {
        self.nodes[id].engine = None;
        let broken: Vec<_> =
            self.streams.iter().filter(|((node, _), _)| *node == id).map(|(_, end)| *end).collect();
        self.streams.retain(|(node, _), (other, _)| *node != id && *other != id);
        for (to, stream) in broken {
            self.send(Message::StreamClosed { to, stream });
        }
        let waiting: Vec<_> = self
            .waiting
            .iter()
            .filter(|((node, _), _)| *node == id)
            .map(|(key, waiting)| (*key, *waiting))
            .collect();
        for (key, waiting) in waiting {
            self.waiting.remove(&key);
            if let Waiting::Node(to, call) = waiting {
                self.send(Message::Failure { to, call, reason: "connection lost" });
            }
        }
    }

    /// Changes the upstreams of a node, now or for its next start.
    pub fn set_upstreams(&mut self, id: NodeId, upstreams: &[&str]) {
        self.nodes[id].upstreams =
            upstreams.iter().map(|upstream| (*upstream).to_owned()).collect();
    }

    /// Forgets what a node has on disk.
    pub fn lose_disk(&mut self, id: NodeId) {
        self.nodes[id].persisted_seq = 0;
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

    /// Recursive requests sent so far by all nodes.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.nodes.iter().filter_map(Node::engine).map(|engine| engine.counters().sent).sum()
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

    /// Hands a node a request that a test made up.
    ///
    /// # Errors
    /// As [`Engine::on_request`].
    pub fn inject(
        &mut self,
        id: NodeId,
        caller: PeerId,
        request: Request,
    ) -> Result<Option<Answer>, InvalidTrace> {
        let client = self.asked.len();
        self.asked.push((self.now, None));
        self.request(id, Some(caller), request, Duration::from_secs(10), Waiting::Client(client))?;
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
        while self
            .messages
            .values()
            .any(|message| !matches!(message, Message::Timer(_) | Message::Failure { .. }))
            && self.now < end
        {
            self.run_for(self.latency);
        }
    }

    fn send(&mut self, message: Message) {
        self.send_after(self.latency, message);
    }

    fn send_after(&mut self, delay: Duration, message: Message) {
        self.next += 1;
        self.queue.push(Reverse((self.now + delay, self.next)));
        self.messages.insert(self.next, message);
    }

    fn resolve(&mut self, address: &str) -> Option<NodeId> {
        if let Some((turn, nodes)) = self.shared.get_mut(address) {
            *turn += 1;
            return nodes.get(*turn % nodes.len()).copied();
        }
        self.nodes.iter().position(|node| node.name == address)
    }

    fn deliver(&mut self, message: Message) {
        let now = self.now();
        match message {
            Message::Timer(id) => {
                self.nodes[id].timer = None;
                self.with_engine(id, |engine| engine.on_timer(now));
            }
            Message::Request { to, from, call, request, timeout } => {
                let caller = self.nodes[from].peer_id();
                let request = received(*request);
                if self.nodes[to].engine.is_none()
                    || self
                        .request(to, Some(caller), request, timeout, Waiting::Node(from, call))
                        .is_err()
                {
                    self.send(Message::Failure { to: from, call, reason: "refused" });
                }
            }
            Message::Response { to, call, from, answer, fresh } => {
                let answer = remote(from, &answer);
                self.with_engine(to, |engine| engine.on_call_done(now, call, Ok(answer), fresh));
            }
            Message::Failure { to, call, reason } => {
                let failure = CallFailure::new(reason);
                self.with_engine(to, |engine| engine.on_call_done(now, call, Err(failure), false));
            }
            Message::OpenStream { to, from, stream, record } => {
                self.open_stream(to, from, stream, &record)
            }
            Message::StreamOpened { to, stream, peer } => {
                self.with_engine(to, |engine| engine.on_stream_opened(now, stream, peer, true));
            }
            Message::Records { to, stream, records, snapshot_complete } => {
                let records = records.iter().map(unverified).collect();
                self.with_engine(to, |engine| {
                    engine.on_stream_records(now, stream, records, 0, snapshot_complete)
                });
            }
            Message::StreamClosed { to, stream } => {
                let failure = CallFailure::new("stream closed");
                self.with_engine(to, |engine| engine.on_stream_closed(now, stream, &failure));
            }
        }
    }

    fn request(
        &mut self,
        id: NodeId,
        caller: Option<PeerId>,
        request: Request,
        budget: Duration,
        waiting: Waiting,
    ) -> Result<(), InvalidTrace> {
        let now = self.now();
        let Some(engine) = self.nodes[id].engine.as_mut() else { return Ok(()) };
        match engine.on_request(now, caller, request, Admission::Full, budget)? {
            Disposition::Answered(answer) => self.respond(id, waiting, *answer),
            Disposition::Pending(inbound) => {
                self.waiting.insert((id, inbound), waiting);
            }
        }
        self.after_event(id);
        Ok(())
    }

    fn respond(&mut self, from: NodeId, waiting: Waiting, answer: Answer) {
        match waiting {
            Waiting::Node(to, call) => {
                let from = self.nodes[from].peer_id();
                self.send(Message::Response {
                    to,
                    call,
                    from,
                    answer: Box::new(answer),
                    fresh: true,
                });
            }
            Waiting::Client(client) => {
                let after = self.now.saturating_sub(self.asked[client].0);
                self.asked[client].1 = Some(Answered { answer, after });
            }
        }
    }

    fn open_stream(&mut self, to: NodeId, from: NodeId, stream: StreamId, record: &SignedRecord) {
        let (now, caller, peer) =
            (self.now(), self.nodes[from].peer_id(), self.nodes[to].peer_id());
        let record = unverified(record);
        let opened = self.nodes[to]
            .engine
            .as_mut()
            .and_then(|engine| engine.on_watcher(now, Some(caller), Some(record)).ok());
        match opened {
            Some(serving) => {
                self.streams.insert((to, serving), (from, stream));
                self.streams.insert((from, stream), (to, serving));
                self.send(Message::StreamOpened { to: from, stream, peer });
                self.after_event(to);
            }
            None => self.send(Message::StreamClosed { to: from, stream }),
        }
    }

    fn with_engine(&mut self, id: NodeId, event: impl FnOnce(&mut Engine<V>)) {
        if let Some(engine) = self.nodes[id].engine.as_mut() {
            event(engine);
            self.after_event(id);
        }
    }

    fn after_event(&mut self, id: NodeId) {
        let actions = self.nodes[id].engine.as_mut().map(Engine::take_actions).unwrap_or_default();
        for action in actions {
            self.act(id, action);
        }
        let now = self.now();
        let node = &mut self.nodes[id];
        let Some(due) = node.engine.as_ref().and_then(|engine| engine.next_timer(now)) else {
            return;
        };
        let due = due.max(self.now);
        if node.timer.is_none_or(|timer| timer > due) {
            node.timer = Some(due);
            self.send_after(due - self.now, Message::Timer(id));
        }
    }

    fn act(&mut self, id: NodeId, action: Action) {
        match action {
            Action::PersistSeq(seq) => self.nodes[id].persisted_seq = seq,
            Action::Answer { inbound, answer } => {
                if let Some(waiting) = self.waiting.remove(&(id, inbound)) {
                    self.respond(id, waiting, answer);
                }
            }
            Action::Call { call, upstream, request, timeout, .. } => {
                let address = self.upstream_address(id, upstream);
                match self.resolve(&address).filter(|to| self.nodes[*to].engine.is_some()) {
                    Some(to) => {
                        self.send(Message::Request { to, from: id, call, request, timeout });
                        self.send_after(
                            timeout,
                            Message::Failure { to: id, call, reason: "no answer in time" },
                        );
                    }
                    None => {
                        self.send(Message::Failure { to: id, call, reason: "connection refused" })
                    }
                }
            }
            Action::OpenStream { stream, upstream, caller_record } => {
                let address = self.upstream_address(id, upstream);
                match self.resolve(&address).filter(|to| self.nodes[*to].engine.is_some()) {
                    Some(to) => self.send(Message::OpenStream {
                        to,
                        from: id,
                        stream,
                        record: caller_record,
                    }),
                    None => self.send(Message::StreamClosed { to: id, stream }),
                }
            }
            Action::CloseStream(stream) => {
                if let Some((to, other)) = self.streams.remove(&(id, stream)) {
                    self.streams.remove(&(to, other));
                    self.send(Message::StreamClosed { to, stream: other });
                }
            }
            Action::Push { stream, records, snapshot_complete, .. } => {
                if let Some((to, stream)) = self.streams.get(&(id, stream)).copied() {
                    self.send(Message::Records { to, stream, records, snapshot_complete });
                }
            }
            Action::BookChanged => {}
            Action::Ring(event) => self.nodes[id].rings.push(event),
            Action::Notice(notice) => self.nodes[id].notices.push(notice),
        }
    }

    fn upstream_address(&self, id: NodeId, upstream: unring_exchange::UpstreamId) -> String {
        let engine = self.nodes[id].engine.as_ref();
        engine.and_then(|engine| engine.upstream_address(upstream)).unwrap_or_default().to_owned()
    }
}

fn unverified(record: &SignedRecord) -> UnverifiedRecord {
    let decoded =
        UnverifiedRecord::decode(record.envelope().clone(), record.membership_tag().clone());
    decoded.expect("a signed record can be decoded")
}

fn received(request: OutboundRequest) -> Request {
    Request {
        scope: request.scope,
        max_peers: request.max_peers,
        trace: request.trace,
        caller_record: request.caller_record.as_ref().map(unverified),
    }
}

fn remote(responder: PeerId, answer: &Answer) -> RemoteAnswer {
    RemoteAnswer {
        responder,
        records: answer.records.iter().map(unverified).collect(),
        refused: 0,
        incomplete: answer.incomplete.clone(),
        retry_after: answer.retry_after,
    }
}
