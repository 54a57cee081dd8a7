//! What arrives at a node.

use std::time::Duration;

use unring_exchange::{
    Admission, Answer, CallFailure, Disposition, InboundId, InvalidTrace, Position, Request,
    Verifier,
};
use unring_peer::{PeerId, SignedRecord};

use crate::message::{Caller, End, Message, Party, Waiting};
use crate::node::NodeId;
use crate::world::{Answered, World};

impl<V: Verifier + Clone> World<V> {
    pub(crate) fn deliver(&mut self, message: Message) {
        let party = message.party();
        let id = party.node;
        let is_up = self.nodes[id].engine.is_some() && self.nodes[id].life == party.life;
        if !is_up {
            return self.bounce(message);
        }
        let now = self.now_of(id);
        match message {
            Message::Timer(_) => {
                // An earlier one was asked for meanwhile.
                if self.nodes[id].timer != Some(now.mono) {
                    return;
                }
                self.nodes[id].timer = None;
                self.traffic.timers += 1;
                self.with_engine(id, |engine| engine.on_timer(now));
            }
            Message::Request { from, request, timeout, .. } => {
                let caller = self.nodes[from.party.node].peer_id();
                let request = self.reader.request(*request);
                let refused =
                    self.request(id, Some(caller), request, timeout, Waiting::Node(from)).is_err();
                if refused {
                    self.send(Message::Failure { to: from, reason: "refused" });
                }
            }
            Message::Response { to, from, answer } => {
                let answer = self.reader.answer(from, &answer);
                self.with_engine(id, |engine| {
                    engine.on_call_done(now, to.call, Ok(answer), to.fresh);
                });
            }
            Message::Failure { to, reason } => {
                let failure = CallFailure::new(reason);
                self.with_engine(id, |engine| {
                    engine.on_call_done(now, to.call, Err(failure), false);
                });
            }
            Message::Probed { to, peer } => {
                let result = peer.ok_or_else(|| CallFailure::new("no connection"));
                self.with_engine(id, |engine| engine.on_probe_done(now, to.call, result));
            }
            Message::OpenStream { to, from, record, resume, fresh } => {
                self.open_stream(to, from, &record, resume, fresh);
            }
            Message::StreamOpened { to, peer, fresh } => {
                self.with_engine(id, |engine| engine.on_stream_opened(now, to.stream, peer, fresh));
            }
            Message::Batch { to, batch } => {
                let batch = batch.map_records(|records| self.reader.records(&records));
                self.with_engine(id, |engine| engine.on_stream_records(now, to.stream, batch, 0));
            }
            Message::StreamClosed { to } => {
                self.in_order.remove(&to);
                let failure = CallFailure::new("stream closed");
                self.with_engine(id, |engine| engine.on_stream_closed(now, to.stream, &failure));
            }
        }
    }

    /// Nobody is there: whoever waits for an answer notices.
    fn bounce(&mut self, message: Message) {
        match message {
            Message::Request { from, .. } => {
                self.send(Message::Failure { to: from, reason: "connection reset" });
            }
            Message::OpenStream { from, .. } => self.send(Message::StreamClosed { to: from }),
            _ => {}
        }
    }

    pub(crate) fn request(
        &mut self,
        id: NodeId,
        caller: Option<PeerId>,
        request: Request,
        budget: Duration,
        waiting: Waiting,
    ) -> Result<(), InvalidTrace> {
        let now = self.now_of(id);
        let Some(engine) = self.nodes[id].engine.as_mut() else { return Ok(()) };
        match engine.on_request(now, caller, request, Admission::Full, budget)? {
            Disposition::Answered(answer) => self.respond(id, waiting, *answer),
            Disposition::Pending(inbound) => {
                self.waiting.insert((self.party(id), inbound), waiting);
            }
        }
        self.after_event(id);
        Ok(())
    }

    pub(crate) fn respond(&mut self, from: NodeId, waiting: Waiting, answer: Answer) {
        self.assert_persisted(from, answer.records.iter());
        match waiting {
            Waiting::Node(to) => {
                self.traffic.count_records(answer.records.iter());
                let from = self.nodes[from].peer_id();
                if !self.faults.is_lost() {
                    self.send(Message::Response { to, from, answer: Box::new(answer) });
                }
            }
            Waiting::Client(client) => {
                let after = self.now.saturating_sub(self.asked[client].0);
                self.asked[client].1 = Some(Answered { answer, after });
            }
        }
    }

    fn open_stream(
        &mut self,
        to: Party,
        from: End,
        record: &SignedRecord,
        resume: Option<Position>,
        fresh: bool,
    ) {
        let (now, caller) = (self.now_of(to.node), self.nodes[from.party.node].peer_id());
        let record = self.reader.record(record);
        let opened = self.nodes[to.node]
            .engine
            .as_mut()
            .and_then(|engine| engine.on_watcher(now, Some(caller), Some(record), resume).ok());
        match opened {
            Some(stream) => {
                let end = End { party: to, stream };
                self.streams.insert(end, from);
                self.streams.insert(from, end);
                let peer = self.nodes[to.node].peer_id();
                self.send(Message::StreamOpened { to: from, peer, fresh });
            }
            None => self.send(Message::StreamClosed { to: from }),
        }
        self.after_event(to.node);
    }

    /// The calls between two nodes that wait for their answer, if `broken` says so of the nodes.
    pub(crate) fn lost_calls(
        &self,
        broken: impl Fn(NodeId, NodeId) -> bool,
    ) -> Vec<(Caller, (Party, InboundId))> {
        let waiting = self.waiting.iter().filter_map(|(key, waiting)| match waiting {
            Waiting::Node(caller) => Some((*caller, *key)),
            Waiting::Client(_) => None,
        });
        waiting.filter(|(caller, (party, _))| broken(caller.party.node, party.node)).collect()
    }
}
