//! When each connection was last of use to Kademlia, and how many more may be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use libp2p::swarm::ConnectionId;

/// Of all connections; bounded as they are. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Usage(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    all: HashMap<ConnectionId, Used>,
    /// Places that connections of look-ups may have.
    places: usize,
    /// Whoever waits for one of them to be of no use any more.
    waiting: Option<Waker>,
}

#[derive(Debug)]
struct Used {
    /// It has one of the places of look-ups.
    looks_up: bool,
    last: Instant,
    /// Requests of this node on their way.
    now: usize,
    /// It gives way to another and takes nothing any more.
    closing: bool,
}

/// A request on its way over a connection.
#[derive(Debug)]
pub(crate) struct InUse {
    usage: Usage,
    id: ConnectionId,
}

impl Usage {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn opened(&self, now: Instant, id: ConnectionId, looks_up: bool) {
        self.state().all.insert(id, Used { looks_up, last: now, now: 0, closing: false });
    }

    pub(crate) fn closed(&self, id: ConnectionId) {
        let mut state = self.state();
        state.all.remove(&id);
        state.wake();
    }

    pub(crate) fn closes(&self, id: ConnectionId) {
        if let Some(used) = self.state().all.get_mut(&id) {
            used.closing = true;
        }
    }

    pub(crate) fn is_closing(&self, id: ConnectionId) -> bool {
        self.state().all.get(&id).is_some_and(|used| used.closing)
    }

    /// How many places connections of look-ups may have.
    pub(crate) fn set_places(&self, places: usize) {
        let mut state = self.state();
        state.places = places;
        state.wake();
    }

    /// Whether `dials` and those in use leave a place, at once or when one is of no use any more; if not, the task is woken when one may.
    pub(crate) fn poll_place(&self, cx: &Context<'_>, dials: usize) -> Poll<()> {
        let mut state = self.state();
        if state.in_use() + dials < state.places {
            return Poll::Ready(());
        }
        state.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    /// How many more may be dialled now beside `dials`.
    pub(crate) fn free(&self, dials: usize) -> usize {
        let state = self.state();
        state.places.saturating_sub(state.in_use() + dials)
    }

    /// The other end asked something.
    pub(crate) fn asked(&self, now: Instant, id: ConnectionId) {
        if let Some(used) = self.state().all.get_mut(&id) {
            used.last = used.last.max(now);
        }
    }

    /// This node asks something until the result is dropped.
    pub(crate) fn begin(&self, id: ConnectionId) -> InUse {
        if let Some(used) = self.state().all.get_mut(&id) {
            used.now += 1;
        }
        InUse { usage: self.clone(), id }
    }

    /// Since when it is of no use; `None`: it is.
    pub(crate) fn idle_since(&self, id: ConnectionId) -> Option<Instant> {
        self.state().all.get(&id).filter(|used| used.now == 0).map(|used| used.last)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut state = self.usage.state();
        if let Some(used) = state.all.get_mut(&self.id) {
            used.now = used.now.saturating_sub(1);
            used.last = used.last.max(Instant::now());
        }
        state.wake();
    }
}

impl State {
    fn in_use(&self) -> usize {
        self.all.values().filter(|used| used.looks_up && used.now > 0).count()
    }

    fn wake(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}
