//! Runs the engine: one lock around the state machine, tasks around its actions.
//!
//! An event takes the lock, tells the engine, and takes its actions in their order before the lock is given back. No
//! action waits: requests and streams become tasks, what is sent on a stream goes into a bounded queue, what is to be
//! kept is marked and written by a thread of its own.

mod act;
mod call;
mod clients;
mod disk;
mod handler;
mod rings;
mod serving;
mod watching;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use unring_exchange::{Answer, Engine, InboundId, Now, Signatures, StreamId};
use unring_peer::{PeerId, UnixMillis};

pub(crate) use self::clients::Clients as UpstreamClients;
pub(crate) use self::handler::{CallerKey, NodeHandler};

use self::clients::Clients;
use self::serving::ServingEnd;
use self::watching::WatchingEnd;
use crate::keeper::Keeper;

/// The time since the process started and the wall clock, together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(self) -> Now {
        Now { mono: self.start.elapsed(), unix: wall_clock() }
    }
}

/// The wall clock; before 1970 it is 1970.
pub(crate) fn wall_clock() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What the lock guards.
pub(crate) struct State {
    pub(crate) engine: Engine<Signatures>,
    /// Callers whose requests wait for upstreams.
    answers: HashMap<InboundId, oneshot::Sender<Answer>>,
    serving: HashMap<StreamId, ServingEnd>,
    watching: HashMap<StreamId, WatchingEnd>,
    /// When the timer task wakes up.
    wakes_at: Option<Duration>,
}

struct Shared {
    state: Mutex<State>,
    clock: Clock,
    me: PeerId,
    keeper: Arc<Keeper>,
    clients: Clients,
    /// Time that an upstream has to open a stream.
    request_timeout: Duration,
    tasks: TaskTracker,
    stop: CancellationToken,
    timer: Notify,
    book_changed: Notify,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // A node that was dropped instead of drained: the disk is let go of all the same.
        self.keeper.let_go();
    }
}

/// The running engine. Clones share it.
#[derive(Clone)]
pub(crate) struct Exchange(Arc<Shared>);

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("me", &self.0.me).finish_non_exhaustive()
    }
}

impl Exchange {
    pub(crate) fn new(
        engine: Engine<Signatures>,
        clock: Clock,
        keeper: Arc<Keeper>,
        clients: Clients,
        request_timeout: Duration,
    ) -> Self {
        let me = engine.me();
        let state = State {
            engine,
            answers: HashMap::new(),
            serving: HashMap::new(),
            watching: HashMap::new(),
            wakes_at: None,
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            clock,
            me,
            keeper,
            clients,
            request_timeout,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            timer: Notify::new(),
            book_changed: Notify::new(),
        }))
    }

    pub(crate) fn now(&self) -> Now {
        self.0.clock.now()
    }

    /// Reads the engine's state.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Engine<Signatures>, Now) -> T) -> T {
        let state = self.0.state.lock();
        read(&state.engine, self.now())
    }

    /// Tells the engine of an event and takes the actions that it leaves.
    pub(crate) fn event<T>(&self, event: impl FnOnce(&mut State, Now) -> T) -> T {
        let mut state = self.0.state.lock();
        // Under the lock, so that the engine's clock never goes back.
        let now = self.now();
        let result = event(&mut state, now);
        if state.engine.next_timer(now).is_some_and(|due| due <= now.mono) {
            state.engine.on_timer(now);
        }
        self.act(&mut state);
        let due = state.engine.next_timer(now).map(|due| due.max(now.mono + MIN_TIMER_GAP));
        // The timer task sleeps until `wakes_at`; it is woken only for what is due before.
        let sooner = due.is_some_and(|due| state.wakes_at.is_none_or(|wakes_at| due < wakes_at));
        if sooner {
            self.0.timer.notify_one();
        }
        result
    }

    /// Wakes the engine when something is due, until the node stops.
    pub(crate) async fn run_timer(self) {
        loop {
            let due = self.event(|state, now| {
                state.engine.on_timer(now);
                // Never busier than this, whatever is due when.
                let due = state.engine.next_timer(now).map(|due| due.max(now.mono + MIN_TIMER_GAP));
                state.wakes_at = due;
                due
            });
            let sleep = async {
                match due {
                    Some(due) => tokio::time::sleep_until(self.0.clock.start + due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = self.0.timer.notified() => {}
                () = sleep => {}
            }
        }
    }

    /// Since when each upstream has been configured; a new one since now.
    pub(crate) fn joins_since(&self, addresses: &[String]) -> Vec<(String, UnixMillis)> {
        self.0.keeper.joins_since(addresses, wall_clock())
    }

    /// What is kept on disk.
    pub(crate) fn keeper(&self) -> &Keeper {
        &self.0.keeper
    }

    /// How the disk is doing.
    pub(crate) fn disk(&self) -> crate::keeper::View {
        self.0.keeper.view()
    }

    /// Lets go of connections to addresses that are not configured any more.
    pub(crate) fn retain_clients(&self, addresses: &[String]) {
        self.0.clients.retain(addresses);
    }

    /// Resolves when the book has changed since it last did.
    pub(crate) async fn book_changed(&self) {
        self.0.book_changed.notified().await;
    }

    /// Closes the streams to downstream nodes; they have no end of their own.
    pub(crate) fn close_streams(&self) {
        self.0.state.lock().serving.clear();
    }

    /// Ends every stream and task; open requests are given up.
    pub(crate) async fn stop(&self) {
        self.0.stop.cancel();
        {
            let mut state = self.0.state.lock();
            state.serving.clear();
            state.watching.clear();
            state.answers.clear();
        }
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.keeper.stop().await;
    }
}

/// The least time between two wake-ups of the timer.
const MIN_TIMER_GAP: Duration = Duration::from_millis(1);
