//! What a connection is used for: who serves it tells, who counts places looks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::{AcceptCounters, ConnectInfo, ServerConfig};

/// A connection as [`serve`](crate::serve) takes it: what is known of its other end, and what it is used for, which the
/// stream of connections may look at to choose whom it closes.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub(crate) info: ConnectInfo,
    pub(crate) activity: Activity,
}

/// A connection whose place nobody counts.
impl From<ConnectInfo> for Accepted {
    fn from(info: ConnectInfo) -> Self {
        Self { info, activity: Activity::default() }
    }
}

/// The calls of one connection; clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activity(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    /// Tells whoever serves it that it has to give way.
    told: Notify,
    counters: Arc<AcceptCounters>,
}

#[derive(Debug, Default)]
struct State {
    /// Calls that are not over.
    calls: usize,
    next_call: u64,
    /// What waits for its reader, by call: as many as HTTP/2 lets be open.
    unread: HashMap<u64, Unread>,
    /// Whether there was a call.
    used: bool,
    /// When it was served, or its last call was over; none before.
    quiet_since: Option<Instant>,
    /// Another connection has its place.
    gave_way: bool,
}

/// Pieces of an answer that were handed over and are not on the wire.
#[derive(Debug)]
struct Unread {
    pieces: usize,
    /// When the first of them was handed over, or the last one taken.
    since: Instant,
}

/// How long a connection may go without what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// The first call.
    pub(crate) first: Duration,
    /// Any call.
    pub(crate) idle: Duration,
    /// A reader that takes a piece of an answer.
    pub(crate) unread: Duration,
}

impl From<&ServerConfig> for Patience {
    fn from(config: &ServerConfig) -> Self {
        Self {
            first: config.first_call_timeout,
            idle: config.idle_timeout,
            unread: config.unread_timeout,
        }
    }
}

/// Why a connection is closed by its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lapse {
    /// It made no call.
    NoCall,
    /// It has made no call for long.
    Idle,
    /// The answer to a call is not read.
    Unread,
    /// It made no call for a while, and another connection needed its place.
    GaveWay,
}

impl Activity {
    pub(crate) fn new(counters: Arc<AcceptCounters>) -> Self {
        Self(Arc::new(Inner { counters, ..Inner::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is served from now on.
    pub(crate) fn start(&self) {
        self.state().quiet_since = Some(Instant::now());
    }

    /// It is closed for this reason.
    pub(crate) fn count(&self, lapse: Lapse) {
        self.0.counters.lapsed(lapse);
    }

    /// A call has begun, which is over when what is returned is dropped.
    pub(crate) fn call(&self) -> Call {
        let mut state = self.state();
        state.calls += 1;
        state.used = true;
        state.next_call += 1;
        Call { activity: self.clone(), id: state.next_call }
    }

    /// Since when there is no call, on a connection that is served.
    pub(crate) fn quiet_since(&self) -> Option<Instant> {
        let state = self.state();
        state.quiet_since.filter(|_| state.calls == 0)
    }

    /// It is closed as soon as whoever serves it gets to it.
    pub(crate) fn give_way(&self) {
        self.state().gave_way = true;
        self.0.told.notify_one();
    }

    #[cfg(test)]
    pub(crate) fn gave_way(&self) -> bool {
        self.state().gave_way
    }

    /// Resolves when it has to be closed.
    pub(crate) async fn lapsed(&self, patience: Patience) -> Lapse {
        loop {
            let next = match self.state().next(Instant::now(), patience) {
                Ok(lapse) => return lapse,
                Err(next) => next,
            };
            tokio::select! {
                () = self.0.told.notified() => {}
                () = sleep_until(next) => {}
            }
        }
    }
}

impl State {
    /// Why it has to be closed, or when to look again.
    fn next(&self, now: Instant, patience: Patience) -> Result<Lapse, Instant> {
        if self.gave_way {
            return Ok(Lapse::GaveWay);
        }
        let (lapse, after) = match (self.calls, self.used) {
            // Whatever is handed over from now on is not late before that.
            (1.., _) => (Lapse::Unread, patience.unread),
            (0, false) => (Lapse::NoCall, patience.first),
            (0, true) => (Lapse::Idle, patience.idle),
        };
        let quiet_since = self.quiet_since.filter(|_| self.calls == 0);
        let unread = self.unread.values().map(|unread| unread.since + patience.unread).min();
        let (lapse, at) = match unread {
            Some(at) => (Lapse::Unread, at),
            None => (lapse, quiet_since.unwrap_or(now) + after),
        };
        if at <= now { Ok(lapse) } else { Err(at) }
    }
}

/// One call, from its headers until the last byte of its answer is on the wire.
#[derive(Debug)]
pub(crate) struct Call {
    activity: Activity,
    id: u64,
}

impl Call {
    /// A piece of its answer waits for its reader.
    pub(crate) fn handed_over(&self) {
        let unread = Unread { pieces: 0, since: Instant::now() };
        self.activity.state().unread.entry(self.id).or_insert(unread).pieces += 1;
    }

    /// One of them is on the wire.
    pub(crate) fn taken(&self) {
        let mut state = self.activity.state();
        let Some(unread) = state.unread.get_mut(&self.id) else { return };
        unread.pieces = unread.pieces.saturating_sub(1);
        unread.since = Instant::now();
        if unread.pieces == 0 {
            state.unread.remove(&self.id);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.calls = state.calls.saturating_sub(1);
        state.quiet_since = Some(Instant::now());
    }
}
