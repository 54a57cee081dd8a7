//! The accounts of callers, at most so many.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use crate::bucket::Slot;

/// Parts of the map with a lock each: more than the threads that a node serves with, so that they seldom meet.
const SHARDS: usize = 16;

/// An account for each caller up to the cap, and one for everyone else.
#[derive(Debug)]
pub(crate) struct Callers<K: Hash + Eq> {
    shards: [RwLock<HashMap<K, Slot>>; SHARDS],
    /// Keyed at random: callers choose their ids.
    hasher: RandomState,
    /// Places taken; taken before an account is made, so that the map never passes the cap.
    tracked: AtomicUsize,
    cap: NonZeroUsize,
    everyone_else: Slot,
}

impl<K: Hash + Eq + Clone> Callers<K> {
    pub(crate) fn new(cap: NonZeroUsize) -> Self {
        Self {
            shards: [(); SHARDS].map(|()| RwLock::default()),
            hasher: RandomState::new(),
            tracked: AtomicUsize::new(0),
            cap,
            everyone_else: Slot::default(),
        }
    }

    fn shard(&self, caller: &K) -> &RwLock<HashMap<K, Slot>> {
        #[expect(clippy::cast_possible_truncation, reason = "which bits are used does not matter")]
        let hash = self.hasher.hash_one(caller) as usize;
        &self.shards[hash % SHARDS]
    }

    /// The caller's account, made if need be and possible, else everyone else's. No lock is held when it returns.
    pub(crate) fn slot(&self, caller: &K) -> Slot {
        let shard = self.shard(caller);
        if let Some(slot) = shard.read().get(caller) {
            return slot.clone();
        }
        let mut accounts = shard.write();
        if let Some(slot) = accounts.get(caller) {
            return slot.clone();
        }
        let place = |tracked: usize| (tracked < self.cap.get()).then_some(tracked + 1);
        if self.tracked.fetch_update(Ordering::Relaxed, Ordering::Relaxed, place).is_err() {
            return self.everyone_else.clone();
        }
        accounts.entry(caller.clone()).or_default().clone()
    }

    pub(crate) fn is_everyone_else(&self, slot: &Slot) -> bool {
        *slot == self.everyone_else
    }

    pub(crate) fn tracked(&self) -> usize {
        self.tracked.load(Ordering::Relaxed)
    }

    /// Drops the accounts that `spent` says are as good as new, and gives the memory back. Returns how many.
    pub(crate) fn sweep(&self, spent: impl Fn(&Slot) -> bool) -> usize {
        let mut dropped = 0;
        for shard in &self.shards {
            let mut accounts = shard.write();
            let before = accounts.len();
            // An account that a request holds at this moment is about to be charged.
            accounts.retain(|_, slot| Arc::strong_count(&slot.0) > 1 || !spent(slot));
            accounts.shrink_to_fit();
            dropped += before - accounts.len();
        }
        self.tracked.fetch_sub(dropped, Ordering::Relaxed);
        dropped
    }
}
