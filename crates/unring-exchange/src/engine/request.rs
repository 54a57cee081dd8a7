//! An inbound request: cheap checks before dear ones, and never a wait on what another request holds.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::Rng as _;
use unring_peer::PeerId;

use crate::action::{CallId, InboundId};
use crate::book::Introducer;
use crate::config::{
    DEFAULT_HOP_LIMIT, MAX_ANSWER_MARGIN, MAX_CLOCK_SKEW, MAX_PENDING, MIN_CALL_TIMEOUT,
};
use crate::engine::response::Purpose;
use crate::engine::{Engine, Now};
use crate::message::{Answer, Incomplete, OutboundRequest, Request, Scope, UpstreamOutcome};
use crate::trace::{InvalidTrace, RequestId, Trace};
use crate::upstream::UpstreamId;
use crate::verifier::Verifier;
use unring_dedup_store::{Outcome, Standing};

/// What the CPU budget says of a request that it lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// There is room.
    Full,
    /// The budget is used up: answer from the book, and say when to come back.
    Degraded {
        /// After how long asking again is worth it.
        retry_after: Duration,
    },
}

/// What became of an inbound request.
#[derive(Debug)]
pub enum Disposition {
    /// It is answered.
    Answered(Box<Answer>),
    /// It waits for upstreams; [`Action::Answer`](crate::Action::Answer) will name it.
    Pending(InboundId),
}

/// A request that waits for upstreams.
#[derive(Debug)]
pub(crate) struct Pending {
    /// Who gets the answer: a caller, or nobody when the request is our own.
    pub(crate) asker: Asker,
    pub(crate) max_peers: usize,
    pub(crate) calls: BTreeSet<CallId>,
    /// When it is answered with what there is, before the caller gives up.
    pub(crate) answer_at: Duration,
    pub(crate) request_id: RequestId,
    pub(crate) incomplete: BTreeSet<Incomplete>,
    pub(crate) upstreams: Vec<UpstreamOutcome>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    Caller(Option<PeerId>),
    Ourselves,
}

/// How a request may go on, beyond the book.
enum Onward {
    /// Not at all, for this reason; none when there is simply nobody to ask.
    Stay(Option<Incomplete>),
    /// To these upstreams, as this trace, which has been entered as seen.
    Forward { upstreams: Vec<UpstreamId>, trace: Box<Trace> },
}

impl<V: Verifier> Engine<V> {
    /// A request from `caller`, whom the transport authenticated, with `budget` left until the caller gives up.
    ///
    /// # Errors
    /// When the trace breaks a rule: then nothing was stored or sent.
    pub fn on_request(
        &mut self,
        now: Now,
        caller: Option<PeerId>,
        request: Request,
        admission: Admission,
        budget: Duration,
    ) -> Result<Disposition, InvalidTrace> {
        let Request { scope, max_peers, trace, caller_record } = request;
        if let Some(trace) = &trace {
            trace.check(caller).inspect_err(|_| self.counters.invalid_traces += 1)?;
        }
        if let Some(caller) = caller {
            self.detector.caller_seen(now.mono, &caller);
        }
        if let Some(record) = caller_record {
            self.accept(now, record, Introducer { peer: caller, stream: None });
        }
        let asker = Asker::Caller(caller);
        let request_id = trace.as_ref().map(|trace| trace.request_id);
        if scope == Scope::Local {
            return Ok(self.answer_now(now, caller, max_peers, request_id, None));
        }
        if let Admission::Degraded { retry_after } = admission {
            self.counters.degraded += 1;
            let mut answered =
                self.answer_now(now, caller, max_peers, request_id, Some(Incomplete::Degraded));
            if let Disposition::Answered(answer) = &mut answered {
                answer.retry_after = Some(retry_after);
            }
            return Ok(answered);
        }
        let mut unreached = Vec::new();
        let onward = match trace {
            Some(trace) => self.onward(now, trace, caller, budget, &mut unreached)?,
            None => self.originate(now, budget, &mut unreached, false),
        };
        match onward {
            Onward::Stay(why) => {
                let mut answered = self.answer_now(now, caller, max_peers, request_id, why);
                if let Disposition::Answered(answer) = &mut answered {
                    answer.incomplete.extend(unreached.iter().map(|(why, _)| *why));
                    answer.upstreams.extend(unreached.into_iter().map(|(_, outcome)| outcome));
                }
                Ok(answered)
            }
            Onward::Forward { upstreams, trace } => {
                let inbound =
                    self.forward(now, asker, max_peers, upstreams, *trace, budget, unreached);
                Ok(Disposition::Pending(inbound))
            }
        }
    }

    /// Starts a recursive request of our own towards every upstream that is not known to be on a ring. Its answers end
    /// up in the book.
    pub(crate) fn ask_upstreams(&mut self, now: Now) {
        let budget = self.config.request_timeout;
        let mut unreached = Vec::new();
        if let Onward::Forward { upstreams, trace } =
            self.originate(now, budget, &mut unreached, true)
        {
            self.forward(now, Asker::Ourselves, 0, upstreams, *trace, budget, unreached);
        }
    }

    /// Where a request that others forwarded goes on to. The order is that of the cost.
    fn onward(
        &mut self,
        now: Now,
        trace: Trace,
        caller: Option<PeerId>,
        budget: Duration,
        unreached: &mut Vec<(Incomplete, UpstreamOutcome)>,
    ) -> Result<Onward, InvalidTrace> {
        let me = self.me();
        if let Some(position) = trace.position_of(&self.stamp_key, &me) {
            self.counters.loops += 1;
            // The node that we had sent it to, or ourselves where the join leads back at once.
            let next = trace.path.get(position + 1).map_or(me, |hop| hop.peer);
            self.note_ring(now, &next);
            return Ok(Onward::Stay(Some(Incomplete::Loop)));
        }
        self.counters.forged_stamps += trace.forged_mentions(&self.stamp_key, &me) as u64;
        let key = (trace.origin, trace.request_id);
        if self.dedup.contains(&key, now.mono) {
            self.counters.duplicates += 1;
            return Ok(Onward::Stay(Some(Incomplete::Duplicate)));
        }
        let Some(forwarded) = trace.forwarded(&self.stamp_key, me) else {
            self.counters.hop_limit += 1;
            return Ok(Onward::Stay(Some(Incomplete::HopLimit)));
        };
        if trace.issued_at.abs_diff(now.unix) > MAX_CLOCK_SKEW {
            self.counters.clock_skew += 1;
            return Ok(Onward::Stay(Some(Incomplete::ClockSkew)));
        }
        let upstreams = self.reachable_upstreams(now, budget, unreached, false);
        if upstreams.is_empty() {
            return Ok(Onward::Stay(None));
        }
        if let Err(invalid) = self.verifier.verify_trace(&trace) {
            self.counters.invalid_traces += 1;
            return Err(invalid);
        }
        let introducer = caller.unwrap_or(trace.origin);
        if let Some(why) = self.enter(now, key, introducer) {
            return Ok(Onward::Stay(Some(why)));
        }
        Ok(Onward::Forward { upstreams, trace: Box::new(forwarded) })
    }

    /// Where a request that starts here goes.
    fn originate(
        &mut self,
        now: Now,
        budget: Duration,
        unreached: &mut Vec<(Incomplete, UpstreamOutcome)>,
        spare_rings: bool,
    ) -> Onward {
        let upstreams = self.reachable_upstreams(now, budget, unreached, spare_rings);
        if upstreams.is_empty() {
            return Onward::Stay(None);
        }
        let request_id = RequestId::new(self.rng.random());
        let trace = Trace::start(&self.identity, request_id, now.unix, DEFAULT_HOP_LIMIT);
        if let Some(why) = self.enter(now, (self.me(), request_id), self.me()) {
            return Onward::Stay(Some(why));
        }
        match trace.forwarded(&self.stamp_key, self.me()) {
            Some(trace) => Onward::Forward { upstreams, trace: Box::new(trace) },
            None => Onward::Stay(Some(Incomplete::HopLimit)),
        }
    }

    /// Enters a request as seen: only what is really forwarded is entered, so that a refusal costs no room.
    fn enter(
        &mut self,
        now: Now,
        key: (PeerId, RequestId),
        introducer: PeerId,
    ) -> Option<Incomplete> {
        let known = introducer == self.me() || self.book.get(&key.0).is_some();
        let standing = if known { Standing::Known } else { Standing::Newcomer };
        match self.dedup.check_and_insert(key, introducer, standing, now.mono) {
            Outcome::New => None,
            Outcome::Duplicate { .. } => {
                self.counters.duplicates += 1;
                Some(Incomplete::Duplicate)
            }
            Outcome::IntroducerFull { .. } | Outcome::Full { .. } => {
                self.counters.dedup_full += 1;
                Some(Incomplete::DedupFull)
            }
        }
    }

    /// The upstreams that may be asked now; why not the others goes to `unreached`.
    fn reachable_upstreams(
        &mut self,
        now: Now,
        budget: Duration,
        unreached: &mut Vec<(Incomplete, UpstreamOutcome)>,
        spare_rings: bool,
    ) -> Vec<UpstreamId> {
        let too_late = call_timeout(budget).is_none();
        let full = self.pending.len() >= MAX_PENDING;
        let slots = self.config.slots_per_upstream;
        let mut reachable = Vec::new();
        for (id, upstream) in &self.upstreams {
            let why = if too_late {
                Some((Incomplete::Deadline, "too little time is left".to_owned()))
            } else if upstream.is_failed(now.mono) {
                let why = match &upstream.last {
                    Some((_, crate::upstream::LastResult::Failed(why))) => why.clone(),
                    _ => "it failed".to_owned(),
                };
                Some((Incomplete::UpstreamFailed, format!("not asked again yet: {why}")))
            } else if full || upstream.in_flight >= slots.get() {
                Some((Incomplete::Busy, "no slot is free".to_owned()))
            } else {
                None
            };
            match why {
                Some((why, error)) => {
                    let address = upstream.address.clone();
                    let outcome =
                        UpstreamOutcome { address, peer: None, records: 0, error: Some(error) };
                    unreached.push((why, outcome));
                }
                None if spare_rings && upstream.is_in_ring(now.mono) => {}
                None => reachable.push(*id),
            }
        }
        if unreached.iter().any(|(why, _)| *why == Incomplete::Busy) {
            self.counters.busy += 1;
        }
        reachable
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one request, used once")]
    fn forward(
        &mut self,
        now: Now,
        asker: Asker,
        max_peers: usize,
        upstreams: Vec<UpstreamId>,
        trace: Trace,
        budget: Duration,
        unreached: Vec<(Incomplete, UpstreamOutcome)>,
    ) -> InboundId {
        let inbound = InboundId(self.next_id());
        let timeout = call_timeout(budget).unwrap_or(MIN_CALL_TIMEOUT);
        let mut calls = BTreeSet::new();
        for id in upstreams {
            let acquired = self
                .upstreams
                .get_mut(&id)
                .is_some_and(|upstream| upstream.try_acquire(self.config.slots_per_upstream));
            if acquired {
                let request = OutboundRequest {
                    scope: Scope::Recursive,
                    max_peers,
                    trace: Some(trace.clone()),
                    caller_record: self.own.record.clone(),
                };
                calls.insert(self.call(id, Purpose::Forward(inbound), request, timeout, false));
            }
        }
        self.counters.sent += calls.len() as u64;
        self.remember_recent(trace.origin, trace.request_id, calls.len());
        let pending = Pending {
            asker,
            max_peers,
            calls,
            answer_at: now.mono + budget.saturating_sub(margin(budget)),
            request_id: trace.request_id,
            incomplete: unreached.iter().map(|(why, _)| *why).collect(),
            upstreams: unreached.into_iter().map(|(_, outcome)| outcome).collect(),
        };
        self.pending.insert(inbound, pending);
        inbound
    }

    fn answer_now(
        &mut self,
        now: Now,
        caller: Option<PeerId>,
        max_peers: usize,
        request_id: Option<RequestId>,
        why: Option<Incomplete>,
    ) -> Disposition {
        self.counters.served += 1;
        let mut answer = self.answer(now, caller, max_peers);
        answer.request_id = request_id;
        answer.incomplete.extend(why);
        if why == Some(Incomplete::Busy) {
            answer.retry_after = Some(MIN_CALL_TIMEOUT);
        }
        Disposition::Answered(Box::new(answer))
    }
}

/// How much earlier than its caller gives up a node answers.
fn margin(budget: Duration) -> Duration {
    (budget / 8).min(MAX_ANSWER_MARGIN)
}

/// What an upstream is given of `budget`: its answer must be here before ours is due. None when that is not worth it.
pub(crate) fn call_timeout(budget: Duration) -> Option<Duration> {
    let timeout = budget.saturating_sub(margin(budget)).saturating_sub(margin(budget) / 2);
    (timeout >= MIN_CALL_TIMEOUT).then_some(timeout)
}
