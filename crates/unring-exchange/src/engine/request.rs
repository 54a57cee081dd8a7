//! An inbound request: cheap checks before dear ones, and never a wait on what another request holds.

use std::collections::BTreeSet;
use std::time::Duration;

use unring_peer::PeerId;

use crate::book::Introducer;
use crate::config::{BUSY_RETRY, MAX_REQUEST_TIME, MIN_CALL_TIMEOUT};
use crate::engine::Engine;
use crate::engine::deadline::{answer_within, call_timeout};
use crate::engine::onward::Onward;
use crate::engine::response::Purpose;
use crate::id::{CallId, InboundId, UpstreamId};
use crate::message::{Answer, Incomplete, OutboundRequest, Request, Scope, UpstreamOutcome};
use crate::now::Now;
use crate::trace::{InvalidTrace, RequestId, Trace};
use crate::verifier::Verifier;

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
    /// It waits for upstreams; [`Action::Answer`](crate::Action::Answer) names it.
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
    /// The longest pause that an upstream asked for.
    pub(crate) retry_after: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    Caller(Option<PeerId>),
    Ourselves,
}

impl<V: Verifier> Engine<V> {
    /// A request from `caller`, whom the transport authenticated, with `budget` left until the caller gives up.
    ///
    /// # Errors
    /// When the trace breaks a rule: then the request was not entered as seen, and nothing was sent.
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
        let budget = budget.min(MAX_REQUEST_TIME);
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
                    answer.retry_after = retry_after(&answer.incomplete, None);
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
                calls.insert(self.call(now, id, Purpose::Forward(inbound), request, timeout));
            }
        }
        self.counters.sent += calls.len() as u64;
        self.remember_recent(trace.origin, trace.request_id, calls.len());
        let pending = Pending {
            asker,
            max_peers,
            calls,
            answer_at: now.mono + answer_within(budget),
            request_id: trace.request_id,
            incomplete: unreached.iter().map(|(why, _)| *why).collect(),
            upstreams: unreached.into_iter().map(|(_, outcome)| outcome).collect(),
            retry_after: None,
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
        Disposition::Answered(Box::new(answer))
    }
}

/// When asking again is worth it: when a slot may be free, or when an upstream says so.
pub(crate) fn retry_after(
    incomplete: &BTreeSet<Incomplete>,
    upstreams: Option<Duration>,
) -> Option<Duration> {
    let busy = incomplete.contains(&Incomplete::Busy).then_some(BUSY_RETRY);
    busy.max(upstreams)
}
