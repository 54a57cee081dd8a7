//! What a connection is used for: who serves it tells, who counts places looks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::{AcceptCounters, ConnectInfo};

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
    /// Whether there was a call.
    used: bool,
    /// When it was served, or its last call was over; none before.
    quiet_since: Option<Instant>,
    /// Another connection has its place.
    gave_way: bool,
}

/// Why a connection is closed by its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lapse {
    /// It made no call.
    NoCall,
    /// It has made no call for long.
    Idle,
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
        Call(self.clone())
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

    /// Resolves when there was no call for `first` from the start, or none for `idle` since the last one was over, or when it
    /// has to give way.
    pub(crate) async fn lapsed(&self, first: Duration, idle: Duration) -> Lapse {
        loop {
            let now = Instant::now();
            let (lapse, after, since) = {
                let state = self.state();
                if state.gave_way {
                    return Lapse::GaveWay;
                }
                let since = state.quiet_since.filter(|_| state.calls == 0);
                let (lapse, after) =
                    if state.used { (Lapse::Idle, idle) } else { (Lapse::NoCall, first) };
                (lapse, after, since)
            };
            let until = since.unwrap_or(now) + after;
            if until <= now {
                return lapse;
            }
            tokio::select! {
                () = self.0.told.notified() => {}
                () = sleep_until(until) => {}
            }
        }
    }
}

/// One call, from its headers to the end of its answer.
#[derive(Debug)]
pub(crate) struct Call(Activity);

impl Drop for Call {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.calls = state.calls.saturating_sub(1);
        state.quiet_since = Some(Instant::now());
    }
}
