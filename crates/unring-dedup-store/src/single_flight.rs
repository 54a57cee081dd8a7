//! Concurrent calls for the same thing become one.

use std::fmt;
use std::future::poll_fn;
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroUsize;
use std::task::{Context, Poll};

use crate::flight::{Flight, Turn};
use crate::sync::{self, Arc, AtomicUsize, DashMap, Entry, Ordering};

/// Makes concurrent outbound calls for one key into one call, whose result all get. For look-ups that a process starts
/// **for itself**.
///
/// # The wait cycle
///
/// Never call [`run`](Self::run) on behalf of an inbound request if its work asks another node that may do the same. It is
/// tempting ("somebody asks me for the list, I am fetching it already, so let them wait for that"), and it is a deadlock:
///
/// ```text
/// A fetches from B.        B's handler joins B's own fetch, which is from C.
/// B fetches from C.        C's handler joins C's own fetch, which is from A.
/// C fetches from A.        A's handler joins A's own fetch, which is from B. Nobody answers.
/// ```
///
/// In a ring whose nodes all start at once each fetch waits for the next, all the way round. No cap, hop limit or set of seen
/// ids helps, since no message circulates; only timeouts end it, all of them, and a retry builds it again. The rule that
/// prevents it: an inbound request never waits for an outbound request that another request started, nor for a slot, permit
/// or stream that another request holds. Answer it from what is known, or with a call of its own.
/// `examples/outbound_lookups.rs` runs both side by side.
///
/// The smallest such cycle is work that calls `run` with its own key.
///
/// # What holds
///
/// - At most one `work` per key runs at a time.
/// - A call that begins after another one for the key has returned gets a new result: nothing is cached.
/// - Safe to drop at any point. If the leader is dropped, or panics, one of those who wait leads with its own `work`; none
///   is left asleep. If nobody waits, nothing remains.
/// - At most [`FlightLimits::keys`] keys and [`FlightLimits::callers_per_key`] calls of each; beyond, calls are refused at once.
///
/// There is no runtime, task or timer inside: the leader's own task polls the work. A leader that is kept but no longer
/// polled holds up those who wait, so give each call the deadline that it has anyway.
///
/// ```
/// use std::num::NonZeroUsize;
/// use unring_dedup_store::{FlightLimits, SingleFlight};
///
/// # async fn resolve(_name: &str) -> Vec<std::net::IpAddr> { vec![[10, 0, 0, 7].into()] }
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let lookups = SingleFlight::new(FlightLimits {
///     keys: NonZeroUsize::new(64).ok_or("keys")?,
///     callers_per_key: NonZeroUsize::new(256).ok_or("callers")?,
/// });
/// // Ten tasks of this process that need the address make one query.
/// let addresses = lookups.run("server1", || resolve("server1")).await?;
/// # assert_eq!(addresses.len(), 1);
/// # Ok(())
/// # }
/// # futures::executor::block_on(example()).unwrap();
/// ```
pub struct SingleFlight<K, V, S = RandomState> {
    flights: DashMap<K, Arc<Flight<V>>, S>,
    keys: AtomicUsize,
    limits: FlightLimits,
}

/// Bounds of a [`SingleFlight`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlightLimits {
    /// Most keys in flight at a time. Beyond, a call for a further key is refused with [`FlightRefused::Keys`].
    pub keys: NonZeroUsize,
    /// Most calls of one key at a time, the leader included. Beyond, a call is refused with [`FlightRefused::Callers`].
    pub callers_per_key: NonZeroUsize,
}

/// A call that was refused. Its work has not been started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FlightRefused {
    /// As many keys are in flight as may be.
    #[error("{limit} keys are in flight, as many as may be")]
    Keys {
        /// The limit that was met.
        limit: usize,
    },
    /// As many calls wait for this key as may.
    #[error("{limit} calls are in flight for this key, as many as may be")]
    Callers {
        /// The limit that was met.
        limit: usize,
    },
}

impl<K: Hash + Eq + Clone, V: Clone> SingleFlight<K, V> {
    /// Nothing in flight.
    pub fn new(limits: FlightLimits) -> Self {
        Self::with_hasher(limits, RandomState::new())
    }
}

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher + Clone> SingleFlight<K, V, S> {
    /// Nothing in flight, with a hasher of the caller's choice.
    pub fn with_hasher(limits: FlightLimits, hasher: S) -> Self {
        Self { flights: sync::map(hasher), keys: AtomicUsize::new(0), limits }
    }

    /// The result of `work`, or of the same work that another call has in flight already.
    ///
    /// Nothing happens before the first poll. Dropping the future at any point is safe: see the [type](Self). `V` is cloned
    /// once for each caller; where cloning is dear, or it is an error that cannot be cloned, make it an `Arc`.
    ///
    /// # Errors
    ///
    /// [`FlightRefused`] at once if a bound is met.
    pub async fn run<F, Fut>(&self, key: K, work: F) -> Result<V, FlightRefused>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = V>,
    {
        let mut seat = self.board(key)?;
        match poll_fn(|context| seat.poll_turn(context)).await {
            Turn::Landed(value) => Ok(V::clone(&value)),
            Turn::Lead => {
                let value = work().await;
                seat.land(value.clone());
                Ok(value)
            }
        }
    }

    /// Keys in flight, at most [`FlightLimits::keys`].
    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    fn board(&self, key: K) -> Result<Seat<'_, K, V, S>, FlightRefused> {
        let flight = match self.flights.entry(key.clone()) {
            Entry::Occupied(entry) => {
                // All but the map's own are callers', and new ones are made nowhere but here, under this lock.
                let limit = self.limits.callers_per_key.get();
                if Arc::strong_count(entry.get()) > limit {
                    return Err(FlightRefused::Callers { limit });
                }
                Arc::clone(entry.get())
            }
            Entry::Vacant(entry) => {
                let limit = self.limits.keys.get();
                let room = |held: usize| (held < limit).then_some(held + 1);
                if self.keys.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
                    return Err(FlightRefused::Keys { limit });
                }
                let flight = Arc::new(Flight::new());
                entry.insert(Arc::clone(&flight));
                flight
            }
        };
        Ok(Seat { flights: self, key, flight: Some(flight), role: Role::Waits(None) })
    }

    fn remove_if(&self, key: &K, is_over: impl FnOnce(&Arc<Flight<V>>) -> bool) {
        self.flights.remove_if(key, |_, flight| {
            let over = is_over(flight);
            if over {
                // Under the lock: a call for this key that finds no flight finds the place free too.
                self.keys.fetch_sub(1, Ordering::Relaxed);
            }
            over
        });
    }
}

/// What its holder is to a flight.
#[derive(Debug, Clone, Copy)]
enum Role {
    Waits(Option<u64>),
    Leads,
    Landed,
}

/// A caller's part in a flight; dropping it leaves the flight to the others.
struct Seat<'a, K: Hash + Eq + Clone, V: Clone, S: BuildHasher + Clone> {
    flights: &'a SingleFlight<K, V, S>,
    key: K,
    /// Always there until the drop, which has to give it back before it looks who else is left.
    flight: Option<Arc<Flight<V>>>,
    role: Role,
}

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher + Clone> Seat<'_, K, V, S> {
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<Turn<V>> {
        let (Some(flight), Role::Waits(place)) = (&self.flight, &mut self.role) else {
            return Poll::Pending;
        };
        let turn = flight.poll_turn(place, context.waker());
        if let Poll::Ready(Turn::Lead) = turn {
            // The place among the waiting was taken out when they were woken.
            self.role = Role::Leads;
        }
        turn
    }

    fn land(&mut self, value: V) {
        let Some(flight) = &self.flight else { return };
        // Before anybody can have returned with the result, so that who calls again after that gets a new one.
        self.flights.remove_if(&self.key, |other| Arc::ptr_eq(other, flight));
        self.role = Role::Landed;
        flight.land(Arc::new(value));
    }
}

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher + Clone> Drop for Seat<'_, K, V, S> {
    fn drop(&mut self) {
        let Some(flight) = self.flight.take() else { return };
        match self.role {
            Role::Waits(Some(place)) => flight.leave(place),
            Role::Leads => flight.abandon(),
            Role::Waits(None) | Role::Landed => {}
        }
        drop(flight);
        // Of several who leave at once the last one finds the map's own alone. A new flight of the key has its callers.
        self.flights.remove_if(&self.key, |flight| Arc::strong_count(flight) == 1);
    }
}

impl<K, V, S> fmt::Debug for SingleFlight<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight")
            .field("keys", &self.keys.load(Ordering::Relaxed))
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
