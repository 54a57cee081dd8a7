//! The sets, each as its own documentation says to use it for "have I seen this within `T`?". All hash with the same hasher.

use std::hash::RandomState;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use dashmap::{DashMap, Entry};
use quick_cache::UnitWeighter;
use quick_cache::sync::{DefaultLifecycle, GuardResult};
use unring_dedup_store::{Config, DedupStore, Introducer, Outcome, Standing};

use super::load::{CALLERS, Call, T};

/// A set that may be asked by several threads at once.
pub(super) trait Seen: Sync {
    /// Whether the key is new; from now on it is not. Check and insert are one step.
    fn is_new(&self, call: &Call) -> bool;
}

/// Ours, with a handle for each caller, as a server opens one for each connection.
pub(super) struct Ours(Vec<Introducer<[u8; 16], u64>>);

impl Ours {
    /// No caller meets a cap of its own, as there is none elsewhere; each is charged all the same.
    pub(super) fn new(capacity: usize) -> Result<Self> {
        let capacity = NonZeroUsize::new(capacity).context("a capacity")?;
        let store = Arc::new(DedupStore::new(Config {
            retention: T,
            capacity,
            per_introducer: capacity,
            reserved_for_known: 0,
        }));
        Ok(Self((0..CALLERS).map(|caller| store.introducer(caller)).collect()))
    }
}

impl Seen for Ours {
    fn is_new(&self, call: &Call) -> bool {
        let caller = usize::try_from(call.caller).ok().and_then(|caller| self.0.get(caller));
        caller.is_some_and(|caller| {
            caller.check_and_insert(call.key, Standing::Known, call.now) == Outcome::New
        })
    }
}

/// A map from key to time, which whoever comes by sweeps every `T / 2`. It has no bound.
pub(super) struct Swept {
    seen: DashMap<[u8; 16], u64, RandomState>,
    sweep_at: AtomicU64,
}

impl Swept {
    pub(super) fn new() -> Self {
        Self { seen: DashMap::with_hasher(RandomState::new()), sweep_at: AtomicU64::new(0) }
    }
}

/// `T`, and a time, in nanoseconds.
fn nanos(time: Duration) -> u64 {
    time.as_secs() * 1_000_000_000 + u64::from(time.subsec_nanos())
}

impl Seen for Swept {
    fn is_new(&self, call: &Call) -> bool {
        let (now, t) = (nanos(call.now), nanos(T));
        let due = self.sweep_at.load(Ordering::Relaxed);
        let next = now + t / 2;
        if now >= due
            && self
                .sweep_at
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.seen.retain(|_, seen| now.saturating_sub(*seen) <= t);
        }
        match self.seen.entry(call.key) {
            Entry::Occupied(entry) if now.saturating_sub(*entry.get()) <= t => false,
            Entry::Occupied(mut entry) => {
                entry.insert(now);
                true
            }
            Entry::Vacant(entry) => {
                entry.insert(now);
                true
            }
        }
    }
}

/// A cache with a time to live, by its own clock: nothing expires in the time that a bench takes, the cap does what is done.
pub(super) struct Moka(moka::sync::Cache<[u8; 16], (), RandomState>);

impl Moka {
    pub(super) fn new(capacity: usize) -> Self {
        let builder = moka::sync::Cache::builder().max_capacity(capacity as u64).time_to_live(T);
        Self(builder.build_with_hasher(RandomState::new()))
    }
}

impl Seen for Moka {
    fn is_new(&self, call: &Call) -> bool {
        self.0.entry(call.key).or_insert(()).is_fresh()
    }
}

type Quick = quick_cache::sync::Cache<
    [u8; 16],
    u64,
    UnitWeighter,
    RandomState,
    DefaultLifecycle<[u8; 16], u64>,
>;

/// A cache without a time to live: the time is its value.
pub(super) struct QuickCache(Quick);

impl QuickCache {
    pub(super) fn new(capacity: usize) -> Self {
        let (hasher, lifecycle) = (RandomState::new(), DefaultLifecycle::default());
        Self(Quick::with(capacity, capacity as u64, UnitWeighter, hasher, lifecycle))
    }
}

impl Seen for QuickCache {
    fn is_new(&self, call: &Call) -> bool {
        let now = nanos(call.now);
        match self.0.get_value_or_guard(&call.key, None) {
            GuardResult::Value(seen) if now.saturating_sub(seen) <= nanos(T) => false,
            GuardResult::Guard(guard) => guard.insert(now).is_ok(),
            GuardResult::Value(_) | GuardResult::Timeout => {
                self.0.insert(call.key, now);
                true
            }
        }
    }
}

/// A cache without a time to live: the time is its value.
pub(super) struct SccHashCache(scc::HashCache<[u8; 16], u64, RandomState>);

impl SccHashCache {
    pub(super) fn new(capacity: usize) -> Self {
        Self(scc::HashCache::with_capacity_and_hasher(0, capacity, RandomState::new()))
    }
}

impl Seen for SccHashCache {
    fn is_new(&self, call: &Call) -> bool {
        let now = nanos(call.now);
        match self.0.entry_sync(call.key) {
            scc::hash_cache::Entry::Occupied(seen)
                if now.saturating_sub(*seen.get()) <= nanos(T) =>
            {
                false
            }
            entry => {
                let _ = entry.put_entry(now);
                true
            }
        }
    }
}
