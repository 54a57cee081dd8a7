//! What upstreams answer, and when a pending request is answered.

use std::time::Duration;

use unring_peer::PeerId;

use crate::action::{Action, CallFailure};
use crate::book::Introducer;
use crate::config::{FAIR_TIMEOUT, MAX_RETRY_AFTER};
use crate::engine::Engine;
use crate::engine::request::{Asker, Pending, retry_after};
use crate::id::{CallId, InboundId, UpstreamId};
use crate::message::{Incomplete, OutboundRequest, RemoteAnswer, UpstreamOutcome};
use crate::now::Now;
use crate::upstream::Upstream;
use crate::verifier::Verifier;

/// One outbound request.
#[derive(Debug)]
pub(crate) struct Call {
    upstream: UpstreamId,
    purpose: Purpose,
    started: Duration,
    timeout: Duration,
}

/// What an outbound request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A request that waits for it.
    Forward(InboundId),
    /// Finding out where an address leads.
    Probe,
    /// Keeping up with an upstream that cannot stream.
    Poll,
}

impl<V: Verifier> Engine<V> {
    pub(crate) fn call(
        &mut self,
        now: Now,
        upstream: UpstreamId,
        purpose: Purpose,
        request: OutboundRequest,
        timeout: Duration,
    ) -> CallId {
        let call = CallId(self.next_id());
        let started = now.mono;
        self.calls.insert(call, Call { upstream, purpose, started, timeout });
        let request = Box::new(request);
        self.actions.push(Action::Call { call, upstream, request, timeout });
        call
    }

    /// An outbound request has ended. `fresh` says that its connection was made for it, so that it tells where the
    /// address leads today.
    pub fn on_call_done(
        &mut self,
        now: Now,
        call: CallId,
        result: Result<RemoteAnswer, CallFailure>,
        fresh: bool,
    ) {
        let address = self.address_of_call(call);
        let Some(Call { upstream, purpose, started, timeout }) = self.calls.remove(&call) else {
            return;
        };
        let had_time = timeout >= FAIR_TIMEOUT || now.mono < started + timeout;
        self.note_end(now, upstream, purpose, result.as_ref().err().filter(|_| had_time));
        self.counters.sent_local += u64::from(purpose == Purpose::Probe);
        let (result, incomplete, retry_after) = match result {
            Ok(answer) => {
                self.observe(now, upstream, answer.responder, fresh);
                let records = answer.records.len();
                self.counters.records_invalid += answer.refused as u64;
                let introducer = Introducer { peer: Some(answer.responder), stream: None };
                self.accept_all(now, answer.records, introducer);
                (Ok((answer.responder, records)), answer.incomplete, answer.retry_after)
            }
            Err(failure) => (Err(failure.reason), [Incomplete::UpstreamFailed].into(), None),
        };
        let Purpose::Forward(inbound) = purpose else { return };
        let Some(pending) = self.pending.get_mut(&inbound) else { return };
        pending.calls.remove(&call);
        pending.incomplete.extend(incomplete);
        pending.retry_after =
            pending.retry_after.max(retry_after.map(|pause| pause.min(MAX_RETRY_AFTER)));
        pending.upstreams.push(match result {
            Ok((peer, records)) => {
                UpstreamOutcome { address, peer: Some(peer), records, error: None }
            }
            Err(error) => UpstreamOutcome { address, peer: None, records: 0, error: Some(error) },
        });
        if pending.calls.is_empty() {
            self.finish(now, inbound);
        }
    }

    pub(crate) fn probe(&mut self, now: Now, upstream: UpstreamId) {
        let call = CallId(self.next_id());
        let (request, timeout) = self.local_request();
        let (purpose, started) = (Purpose::Probe, now.mono);
        self.calls.insert(call, Call { upstream, purpose, started, timeout });
        self.counters.probes += 1;
        let targets = self.upstreams.get(&upstream).map(Upstream::targets).unwrap_or_default();
        let streams = |peer: &PeerId| self.streams.values().any(|one| one.peer == Some(*peer));
        let connected = targets.into_iter().filter(streams).chain([self.me()]).collect();
        let request = Box::new(request);
        self.actions.push(Action::Probe { call, upstream, connected, request, timeout });
    }

    /// An [`Action::Probe`] has ended with nothing asked: who was there.
    pub fn on_probe_done(&mut self, now: Now, call: CallId, result: Result<PeerId, CallFailure>) {
        let Some(Call { upstream, purpose, .. }) = self.calls.remove(&call) else { return };
        self.note_end(now, upstream, purpose, result.as_ref().err());
        if let Ok(peer) = result {
            self.observe(now, upstream, peer, true);
        }
    }

    fn address_of_call(&self, call: CallId) -> String {
        let call = self.calls.get(&call);
        let upstream = call.and_then(|call| self.upstreams.get(&call.upstream));
        upstream.map(|upstream| upstream.address.clone()).unwrap_or_default()
    }

    /// Answers a pending request with what there is.
    pub(crate) fn finish(&mut self, now: Now, inbound: InboundId) {
        let Some(pending) = self.pending.remove(&inbound) else { return };
        let Pending { asker, max_peers, calls, request_id, .. } = pending;
        let Pending { mut incomplete, mut upstreams, .. } = pending;
        for call in calls {
            incomplete.insert(Incomplete::UpstreamFailed);
            let error = Some("no answer in time".to_owned());
            let address = self.address_of_call(call);
            upstreams.push(UpstreamOutcome { address, peer: None, records: 0, error });
        }
        let Asker::Caller(caller) = asker else { return };
        self.counters.served += 1;
        // What the upstreams brought may have closed a ring, which the answer is to name.
        self.detector.analyse_now(now.mono);
        let mut answer = self.answer(now, caller, max_peers);
        answer.request_id = Some(request_id);
        answer.retry_after = retry_after(&incomplete, pending.retry_after);
        answer.incomplete = incomplete;
        answer.upstreams = upstreams;
        self.actions.push(Action::Answer { inbound, answer });
    }

    /// The caller of a pending request is gone: its answer would go nowhere. The calls go on; what they bring is kept.
    pub fn on_request_cancelled(&mut self, inbound: InboundId) {
        self.pending.remove(&inbound);
    }

    /// `upstream` was reached and `peer` answered there.
    pub(crate) fn observe(&mut self, now: Now, upstream: UpstreamId, peer: PeerId, fresh: bool) {
        let Some(upstream) = self.upstreams.get_mut(&upstream) else { return };
        let before = upstream.targets();
        upstream.succeeded(now.mono, peer, fresh);
        let after = upstream.targets();
        if after != before {
            let (address, targets) = (upstream.address.clone(), after.into_iter().collect());
            self.actions.push(Action::PersistTargets { address, targets });
            self.rings_seen = None;
        }
        self.refresh_own(now);
    }

    /// A call has ended; what follows from it for its upstream.
    fn note_end(
        &mut self,
        now: Now,
        upstream: UpstreamId,
        purpose: Purpose,
        failure: Option<&CallFailure>,
    ) {
        let hurried = self.is_hurried(now);
        let Some(upstream) = self.upstreams.get_mut(&upstream) else { return };
        let (now, rng) = (now.mono, &mut self.rng);
        match (purpose, failure) {
            (Purpose::Forward(_), why) => {
                upstream.release();
                if let Some(why) = why {
                    upstream.failed(now, why, hurried, rng);
                }
            }
            // It says nothing about requests.
            (Purpose::Probe, why) => upstream.probe_done(now, why.is_some(), rng),
            (Purpose::Poll, why) => upstream.polled(now, why, hurried, rng),
        }
    }

    /// A request that we had forwarded to `next` came back.
    pub(crate) fn note_ring(&mut self, now: Now, next: &PeerId) {
        for upstream in self.upstreams.values_mut().filter(|upstream| upstream.leads_to(next)) {
            upstream.found_in_ring(now.mono, &mut self.rng);
        }
    }
}
