//! What this node does with requests: the governor's word first, then the engine's.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::BoxStream;
use tokio::sync::oneshot;
use unring_cycle_detector::{Ring, Topology};
use unring_exchange::{
    Admission, Answer, Disposition, Engine, InboundId, Request, Scope, Signatures,
};
use unring_peer::PeerId;
use unring_peer_addr::{Caller, Handler, Refusal, Reply, WatchBatch, WatchOpen, WatchUpdate};
use unring_rate_governor::{Decision, Governor, Limited, Priority, WhichLimit};

use super::Exchange;

/// Cost of a forwarded request in units of an answer from the book: it is sent on, verified and merged.
const RECURSIVE_COST: NonZeroU32 = NonZeroU32::new(4).unwrap();

/// Members and cuts of all rings that an answer names. Whoever wants all of a bigger graph asks for the topology.
const ANSWER_RING_ENTRIES: usize = 512;

/// Cuts of one ring that an answer names, newest first.
const ANSWER_CUTS: usize = 16;

/// Rings for an answer: those of this node first, as many as fit.
fn short_rings(rings: &[Ring<PeerId>], me: &PeerId) -> Vec<Ring<PeerId>> {
    let (mine, others): (Vec<_>, Vec<_>) = rings.iter().partition(|ring| ring.members.contains(me));
    let mut room = ANSWER_RING_ENTRIES;
    let mut short = Vec::new();
    for ring in mine.into_iter().chain(others) {
        let cuts = ring.cuts.len().min(ANSWER_CUTS);
        let Some(left) = room.checked_sub(ring.members.len() + cuts) else { continue };
        room = left;
        short.push(Ring {
            id: ring.id,
            kind: ring.kind,
            members: ring.members.clone(),
            witness: ring.witness.clone(),
            cuts: ring.cuts[..cuts].to_vec(),
            unverified: ring.unverified,
        });
    }
    short
}

/// Who is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CallerKey {
    /// An authenticated peer.
    Peer(PeerId),
    /// Whoever calls from this address without saying who it is.
    Anonymous(IpAddr),
}

fn key(caller: &Caller) -> CallerKey {
    caller.peer.map_or(CallerKey::Anonymous(caller.remote.ip()), CallerKey::Peer)
}

/// Answers the service's calls.
pub(crate) struct NodeHandler {
    pub(crate) exchange: Exchange,
    pub(crate) governor: Arc<Governor<CallerKey>>,
    /// Requests refused or degraded by the governor.
    pub(crate) throttled: Arc<AtomicU64>,
}

impl NodeHandler {
    fn admit(
        &self,
        caller: &Caller,
        priority: Priority,
        cost: NonZeroU32,
    ) -> Result<Admission, Refusal> {
        match self.governor.check(&key(caller), priority, cost) {
            Decision::Admitted => Ok(Admission::Full),
            Decision::Degraded(Limited { retry_after, .. }) => {
                self.throttled.fetch_add(1, Ordering::Relaxed);
                Ok(Admission::Degraded { retry_after })
            }
            Decision::Refused(Limited { limit, retry_after, rate_per_second }) => {
                self.throttled.fetch_add(1, Ordering::Relaxed);
                let limit = match limit {
                    WhichLimit::Caller => "caller",
                    WhichLimit::EveryoneElse => "everyone_else",
                    WhichLimit::Total => "total",
                };
                Err(Refusal::RateLimited { limit, retry_after, rate_per_second })
            }
        }
    }
}

/// An answer, and the rings known when it goes out.
fn reply(engine: &Engine<Signatures>, answer: Answer) -> Reply {
    let rings = short_rings(engine.rings(), &engine.me());
    let names = engine.names(rings.iter().flat_map(|ring| &ring.members));
    Reply { answer, rings, names }
}

/// Tells the engine when the caller is gone before its answer is there.
struct Cancel<'a> {
    exchange: &'a Exchange,
    inbound: Option<InboundId>,
}

impl Drop for Cancel<'_> {
    fn drop(&mut self) {
        if let Some(inbound) = self.inbound {
            self.exchange.event(|state, _| {
                state.answers.remove(&inbound);
                state.engine.on_request_cancelled(inbound);
            });
        }
    }
}

impl Handler for NodeHandler {
    fn connected(&self, caller: Caller) {
        if let Some(peer) = caller.peer {
            self.exchange.event(|state, now| state.engine.on_caller(now, peer));
        }
    }

    async fn list_peers(
        &self,
        caller: Caller,
        request: Request,
        budget: Duration,
    ) -> Result<Reply, Refusal> {
        // Whoever forwards or brings its record takes part; the rest is somebody looking.
        let takes_part = request.trace.is_some() || request.caller_record.is_some();
        let priority = if takes_part { Priority::Exchange } else { Priority::Probe };
        let cost = if request.scope == Scope::Recursive { RECURSIVE_COST } else { NonZeroU32::MIN };
        let admission = self.admit(&caller, priority, cost)?;
        let answered = self.exchange.event(|state, now| {
            let disposition =
                state.engine.on_request(now, caller.peer, request, admission, budget)?;
            Ok::<_, Refusal>(match disposition {
                Disposition::Answered(answer) => Ok(reply(&state.engine, *answer)),
                Disposition::Pending(inbound) => {
                    let (caller, answer) = oneshot::channel();
                    state.answers.insert(inbound, caller);
                    Err((inbound, answer))
                }
            })
        })?;
        let (inbound, answer) = match answered {
            Ok(reply) => return Ok(reply),
            Err(pending) => pending,
        };
        let mut cancel = Cancel { exchange: &self.exchange, inbound: Some(inbound) };
        // The engine answers before the budget is over; it drops the request only when the node stops.
        let answer =
            answer.await.map_err(|_| Refusal::Draining { retry_after: Duration::from_secs(1) })?;
        cancel.inbound = None;
        Ok(self.exchange.read(|engine, _| reply(engine, answer)))
    }

    async fn watch_peers(
        &self,
        caller: Caller,
        open: WatchOpen,
        updates: BoxStream<'static, WatchUpdate>,
    ) -> Result<BoxStream<'static, Result<WatchBatch, Refusal>>, Refusal> {
        self.admit(&caller, Priority::Critical, NonZeroU32::MIN)?;
        let (governor, throttled) = (Arc::clone(&self.governor), Arc::clone(&self.throttled));
        let key = key(&caller);
        let charge = move |cost: NonZeroU32| match governor.check(&key, Priority::Exchange, cost) {
            Decision::Admitted => None,
            Decision::Degraded(limited) | Decision::Refused(limited) => {
                throttled.fetch_add(1, Ordering::Relaxed);
                Some(limited.retry_after)
            }
        };
        self.exchange.serve_watcher(caller, open, updates, Arc::new(charge))
    }

    async fn topology(&self, caller: Caller) -> Result<Topology<PeerId>, Refusal> {
        self.admit(&caller, Priority::Probe, NonZeroU32::MIN)?;
        Ok(self.exchange.read(|engine, _| engine.topology()))
    }
}
