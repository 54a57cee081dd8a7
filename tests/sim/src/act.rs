//! What a node asks for, done.

use std::time::Duration;

use unring_exchange::{
    Action, Answer, Batch, CallId, Engine, OutboundRequest, Position, Scope, StreamId, UpstreamId,
    Verifier,
};
use unring_peer::{PeerId, SignedRecord};

use crate::message::{Caller, End, Message, Party};
use crate::node::NodeId;
use crate::world::World;

/// How long a node waits for a connection that nobody accepts.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

impl<V: Verifier + Clone> World<V> {
    pub(crate) fn with_engine(&mut self, id: NodeId, event: impl FnOnce(&mut Engine<V>)) {
        if let Some(engine) = self.nodes[id].engine.as_mut() {
            event(engine);
            self.after_event(id);
        }
    }

    pub(crate) fn after_event(&mut self, id: NodeId) {
        let actions = self.nodes[id].engine.as_mut().map(Engine::take_actions).unwrap_or_default();
        for action in actions {
            self.act(id, action);
        }
        let (now, party) = (self.now_of(id), self.party(id));
        let node = &mut self.nodes[id];
        let Some(due) = node.engine.as_ref().and_then(|engine| engine.next_timer(now)) else {
            return;
        };
        let due = due.max(now.mono);
        if node.timer.is_none_or(|timer| timer > due) {
            node.timer = Some(due);
            self.send_after(due - now.mono, Message::Timer(party));
        }
    }

    fn act(&mut self, id: NodeId, action: Action) {
        match action {
            Action::PersistSeq { seq } => {
                self.nodes[id].persisted_seq = seq;
                let now = self.now_of(id);
                if let Some(engine) = self.nodes[id].engine.as_mut() {
                    engine.on_seq_persisted(now, seq);
                }
            }
            Action::Answer { inbound, answer } => {
                if let Some(waiting) = self.waiting.remove(&(self.party(id), inbound)) {
                    self.respond(id, waiting, answer);
                }
            }
            Action::Call { call, upstream, request, timeout } => {
                self.call(id, call, upstream, *request, timeout);
            }
            Action::Probe { call, upstream, connected, request, timeout } => {
                let to = Caller { party: self.party(id), call, fresh: true, upstream };
                self.probe(id, to, &connected, request, timeout);
            }
            Action::OpenStream { stream, upstream, caller_record, resume } => {
                self.assert_persisted(id, std::slice::from_ref(&caller_record));
                self.open(id, stream, upstream, caller_record, resume);
            }
            Action::CloseStream { stream, .. } => self.close(End { party: self.party(id), stream }),
            Action::Push { stream, batch } => {
                self.assert_persisted(id, &batch.records);
                self.push(End { party: self.party(id), stream }, batch);
                // The network takes whatever it is given.
                if let Some(engine) = self.nodes[id].engine.as_mut() {
                    engine.on_stream_taken(stream);
                }
            }
            Action::PersistTargets { address, targets } => {
                self.nodes[id].targets.insert(address, targets);
            }
            Action::BookChanged => {}
            Action::Ring(event) => {
                self.nodes[id].rings.push(event);
                let memory = self.nodes[id].engine.as_ref().map(Engine::ring_memory);
                self.nodes[id].ring_memory = memory.unwrap_or_default();
            }
            Action::Notice(notice) => self.nodes[id].notices.push(notice),
        }
    }

    /// No node may show a record of its own whose `seq` is not on disk.
    pub(crate) fn assert_persisted<'a>(
        &self,
        id: NodeId,
        records: impl IntoIterator<Item = &'a SignedRecord>,
    ) {
        let node = &self.nodes[id];
        for record in records.into_iter().map(SignedRecord::record) {
            assert!(
                record.peer_id != node.peer_id() || record.seq <= node.persisted_seq,
                "{} shows seq {} with {} on disk",
                node.name,
                record.seq,
                node.persisted_seq
            );
        }
    }

    fn call(
        &mut self,
        id: NodeId,
        call: CallId,
        upstream: UpstreamId,
        request: OutboundRequest,
        timeout: Duration,
    ) {
        self.assert_persisted(id, request.caller_record.as_slice());
        let party = self.party(id);
        let hollow = self.faults.hollow_requests && request.scope == Scope::Recursive;
        if !hollow {
            self.traffic.count_request(&request);
        }
        let Some((to, fresh)) = self.connect(id, upstream, false) else {
            let to = Caller { party, call, fresh: false, upstream };
            return self.send_after(self.latency, Message::Failure { to, reason: "refused" });
        };
        let from = Caller { party, call, fresh, upstream };
        if hollow {
            let responder = self.nodes[to.node].peer_id();
            let answer = Box::new(Answer {
                responder,
                records: Vec::new().into(),
                incomplete: [].into(),
                upstreams: Vec::new(),
                request_id: None,
                retry_after: None,
            });
            return self.send(Message::Response { to: from, from: responder, answer });
        }
        let reason = "no answer in time";
        self.send_after(timeout, Message::Failure { to: from, reason });
        if !self.faults.is_lost() {
            self.send(Message::Request { to, from, request: Box::new(request), timeout });
        }
    }

    /// A handshake, after which the node knows who is there, and a request if that is nobody of `connected`.
    fn probe(
        &mut self,
        id: NodeId,
        to: Caller,
        connected: &[PeerId],
        request: Box<OutboundRequest>,
        timeout: Duration,
    ) {
        self.traffic.probes += 1;
        let reached = self.connect(id, to.upstream, true).filter(|_| !self.faults.is_lost());
        let Some((at, _)) = reached else {
            return self
                .send_after(CONNECT_TIMEOUT.min(timeout), Message::Probed { to, peer: None });
        };
        let (peer, caller) = (self.nodes[at.node].peer_id(), self.nodes[id].peer_id());
        let now = self.now_of(at.node);
        self.with_engine(at.node, |engine| engine.on_caller(now, caller));
        if connected.contains(&peer) {
            return self.send_after(self.latency * 2, Message::Probed { to, peer: Some(peer) });
        }
        self.traffic.count_request(&request);
        self.assert_persisted(id, request.caller_record.as_slice());
        self.send_after(timeout, Message::Failure { to, reason: "no answer in time" });
        self.send(Message::Request { to: at, from: to, request, timeout });
    }

    fn open(
        &mut self,
        id: NodeId,
        stream: StreamId,
        upstream: UpstreamId,
        record: SignedRecord,
        resume: Option<Position>,
    ) {
        self.traffic.streams += 1;
        self.traffic.count_records(std::slice::from_ref(&record));
        let from = End { party: self.party(id), stream };
        let Some((to, fresh)) = self.connect(id, upstream, false) else {
            return self.send(Message::StreamClosed { to: from });
        };
        if self.faults.is_lost() {
            self.connections.remove(&(id, upstream));
            self.send_after(CONNECT_TIMEOUT, Message::StreamClosed { to: from });
        } else {
            self.send(Message::OpenStream { to, from, record, resume, fresh });
        }
    }

    pub(crate) fn close(&mut self, end: End) {
        // The connection below is closed with it: the next one may lead elsewhere.
        let node = end.party.node;
        if let Some(other) = self.streams.remove(&end) {
            if self.faults.is_stalled(node, other.party.node) {
                return;
            }
            self.streams.remove(&other);
            self.connections.retain(|(from, _), to| *from != node || *to != other.party);
            self.send(Message::StreamClosed { to: other });
        }
    }

    fn push(&mut self, from: End, batch: Batch<SignedRecord>) {
        let Some(to) = self.streams.get(&from).copied() else { return };
        self.traffic.count_push(from, &batch);
        if self.faults.is_stalled(from.party.node, to.party.node) {
            return;
        }
        if self.faults.is_lost() {
            self.break_stream(from);
        } else {
            self.send(Message::Batch { to, batch });
        }
    }

    /// Both ends notice that the connection is gone.
    pub(crate) fn break_stream(&mut self, end: End) {
        if let Some(other) = self.streams.remove(&end) {
            self.streams.remove(&other);
            self.send(Message::StreamClosed { to: end });
            self.send(Message::StreamClosed { to: other });
        }
    }

    /// Breaks whatever connects two nodes of which `broken` says so.
    pub(crate) fn break_connections(&mut self, broken: impl Fn(NodeId, NodeId) -> bool) {
        let ends: Vec<_> = self
            .streams
            .iter()
            .filter(|(one, other)| broken(one.party.node, other.party.node))
            .map(|(one, _)| *one)
            .collect();
        for end in ends {
            self.break_stream(end);
        }
        self.connections.retain(|(node, _), to| !broken(*node, to.node));
        let lost: Vec<_> = self.lost_calls(&broken);
        for (to, key) in lost {
            self.waiting.remove(&key);
            self.send(Message::Failure { to, reason: "connection lost" });
        }
    }

    /// Where the connection to an upstream leads, and whether it is a new one.
    fn connect(&mut self, id: NodeId, upstream: UpstreamId, fresh: bool) -> Option<(Party, bool)> {
        let reachable = |world: &Self, to: Party| {
            world.nodes[to.node].engine.is_some()
                && world.nodes[to.node].life == to.life
                && !world.faults.are_cut(id, to.node)
                && !world.faults.is_stalled(id, to.node)
        };
        let known = self.connections.get(&(id, upstream)).copied();
        if let Some(to) = known.filter(|to| !fresh && reachable(self, *to)) {
            return Some((to, false));
        }
        let engine = self.nodes[id].engine.as_ref()?;
        let address = engine.upstream_address(upstream)?.to_owned();
        let to = self.resolve(&address)?;
        let to = Some(self.party(to)).filter(|to| reachable(self, *to))?;
        if !fresh {
            self.connections.insert((id, upstream), to);
        }
        Some((to, true))
    }

    fn resolve(&mut self, address: &str) -> Option<NodeId> {
        if let Some(balancer) = self.shared.get_mut(address) {
            return balancer.pick();
        }
        self.by_name.get(address).copied()
    }

    pub(crate) fn send(&mut self, message: Message) {
        let delay = self.latency + self.faults.delay();
        self.send_after(delay, message);
    }
}
