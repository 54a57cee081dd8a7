//! Where a request goes beyond the book: the checks in the order of their cost, and which upstreams may be asked.

use std::time::Duration;

use rand::Rng as _;
use unring_dedup_store::{Outcome, Standing};
use unring_peer::PeerId;

use crate::config::{DEFAULT_HOP_LIMIT, MAX_CLOCK_SKEW, MAX_PENDING};
use crate::engine::Engine;
use crate::engine::deadline::call_timeout;
use crate::id::UpstreamId;
use crate::message::{Incomplete, UpstreamOutcome};
use crate::now::Now;
use crate::trace::{InvalidTrace, RequestId, Trace};
use crate::upstream::LastResult;
use crate::verifier::Verifier;

/// How a request may go on, beyond the book.
pub(crate) enum Onward {
    /// Not at all, for this reason; none when there is simply nobody to ask.
    Stay(Option<Incomplete>),
    /// To these upstreams, as this trace, which has been entered as seen.
    Forward { upstreams: Vec<UpstreamId>, trace: Box<Trace> },
}

impl<V: Verifier> Engine<V> {
    /// Where a request that others forwarded goes on to. The order is that of the cost.
    pub(crate) fn onward(
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
        if self.upstreams.is_empty() {
            return Ok(Onward::Stay(None));
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
    pub(crate) fn originate(
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
        let me = self.me();
        let mut reachable = Vec::new();
        for (id, upstream) in &self.upstreams {
            let why = if too_late {
                Some((Incomplete::Deadline, "too little time is left".to_owned()))
            } else if upstream.leads_only_to(&me) {
                Some((Incomplete::Loop, "it leads back to this node".to_owned()))
            } else if upstream.is_failed(now.mono) {
                let why = match &upstream.last {
                    Some((_, LastResult::Failed(why))) => why.clone(),
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
}
