//! What bounds a run: calls in flight, and messages in all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The bounds of one process. K3s has neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls to servers at the same time.
    pub max_in_flight: usize,
    /// Calls to servers in the life of the process.
    pub max_messages: u64,
}

/// A limit that was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// A call had to wait for others to end.
    InFlight,
    /// A call was not sent.
    Messages,
}

/// What a process has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Calls sent to servers.
    pub sent: u64,
    /// Calls to servers that are waiting for an answer.
    pub in_flight: u64,
    /// The most of them at the same time.
    pub peak_in_flight: u64,
    /// Calls that brought addresses or none, with success.
    pub succeeded: u64,
    /// Calls that failed or got no answer in time.
    pub failed: u64,
    /// Requests received.
    pub received: u64,
    /// Requests refused because of `--cap`.
    pub refused: u64,
    /// Lines logged.
    pub log_lines: u64,
    /// The limits that were met: the counts are lower bounds then.
    pub limits_met: Vec<Limit>,
}

/// Counters as they are counted, and the limits on them.
#[derive(Debug)]
pub(crate) struct Ledger {
    slots: Semaphore,
    max_messages: u64,
    met_in_flight: AtomicBool,
    met_messages: AtomicBool,
    sent: AtomicU64,
    in_flight: AtomicU64,
    peak_in_flight: AtomicU64,
    pub(crate) succeeded: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) log_lines: AtomicU64,
}

/// A call in flight; it is over when this is dropped.
#[derive(Debug)]
pub(crate) struct Sending<'a> {
    ledger: &'a Ledger,
    _slot: SemaphorePermit<'a>,
}

impl Ledger {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            slots: Semaphore::new(limits.max_in_flight.min(Semaphore::MAX_PERMITS)),
            max_messages: limits.max_messages,
            met_in_flight: AtomicBool::default(),
            met_messages: AtomicBool::default(),
            sent: AtomicU64::default(),
            in_flight: AtomicU64::default(),
            peak_in_flight: AtomicU64::default(),
            succeeded: AtomicU64::default(),
            failed: AtomicU64::default(),
            received: AtomicU64::default(),
            refused: AtomicU64::default(),
            log_lines: AtomicU64::default(),
        })
    }

    /// Waits until a call may be sent. Whoever waits has a deadline of its own: after the last message this never
    /// returns, so that a call that is not sent looks like one that nobody answers. To fail it at once would make
    /// thousands of nested requests return together, which K3s never does.
    pub(crate) async fn sending(&self) -> Sending<'_> {
        let slot = match self.slots.try_acquire() {
            Ok(slot) => Some(slot),
            Err(_) => {
                self.met_in_flight.store(true, Ordering::Relaxed);
                // Nobody closes it.
                self.slots.acquire().await.ok()
            }
        };
        let one_more = |sent| (sent < self.max_messages).then_some(sent + 1);
        let counted = self.sent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        let (Some(slot), Ok(_)) = (slot, counted) else {
            self.met_messages.store(true, Ordering::Relaxed);
            return std::future::pending().await;
        };
        let in_flight = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak_in_flight.fetch_max(in_flight, Ordering::Relaxed);
        Sending { ledger: self, _slot: slot }
    }

    pub(crate) fn counters(&self) -> Counters {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let met = [(Limit::InFlight, &self.met_in_flight), (Limit::Messages, &self.met_messages)];
        let met = met.into_iter().filter(|(_, met)| met.load(Ordering::Relaxed));
        Counters {
            sent: count(&self.sent),
            in_flight: count(&self.in_flight),
            peak_in_flight: count(&self.peak_in_flight),
            succeeded: count(&self.succeeded),
            failed: count(&self.failed),
            received: count(&self.received),
            refused: count(&self.refused),
            log_lines: count(&self.log_lines),
            limits_met: met.map(|(limit, _)| limit).collect(),
        }
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.ledger.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::{Ledger, Limit, Limits};

    #[test]
    fn a_call_above_the_limit_waits_for_one_to_end() {
        let ledger = Ledger::new(Limits { max_in_flight: 1, max_messages: 9 });
        let mut context = Context::from_waker(Waker::noop());
        let mut first = Box::pin(ledger.sending());
        let Poll::Ready(first) = first.as_mut().poll(&mut context) else { panic!("a free slot") };
        assert_eq!(ledger.counters().limits_met, []);
        let mut second = pin!(ledger.sending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert_eq!(ledger.counters().limits_met, [Limit::InFlight]);
        assert_eq!((ledger.counters().sent, ledger.counters().in_flight), (1, 1));
        drop(first);
        assert!(second.as_mut().poll(&mut context).is_ready());
        let counters = ledger.counters();
        assert_eq!((counters.sent, counters.in_flight, counters.peak_in_flight), (2, 0, 1));
    }

    #[test]
    fn nothing_is_sent_after_the_last_message() {
        let ledger = Ledger::new(Limits { max_in_flight: 9, max_messages: 2 });
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..2 {
            assert!(pin!(ledger.sending()).poll(&mut context).is_ready());
        }
        assert_eq!(ledger.counters().limits_met, []);
        assert!(pin!(ledger.sending()).poll(&mut context).is_pending());
        assert_eq!((ledger.counters().sent, ledger.counters().in_flight), (2, 0));
        assert_eq!(ledger.counters().limits_met, [Limit::Messages]);
    }
}
