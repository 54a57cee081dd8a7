//! The accounts of callers, at most so many.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::Entry;

use crate::bucket::Slot;

/// An account for each caller up to the cap, and one for everyone else.
#[derive(Debug)]
pub(crate) struct Callers<K: Hash + Eq> {
    accounts: DashMap<K, Slot>,
    /// Places taken; taken before an account is made, so that the map never passes the cap.
    tracked: AtomicUsize,
    cap: NonZeroUsize,
    everyone_else: Slot,
}

impl<K: Hash + Eq + Clone> Callers<K> {
    pub(crate) fn new(cap: NonZeroUsize) -> Self {
        Self {
            accounts: DashMap::new(),
            tracked: AtomicUsize::new(0),
            cap,
            everyone_else: Slot::default(),
        }
    }

    /// The caller's account, made if need be and possible, else everyone else's. No lock is held when it returns.
    pub(crate) fn slot(&self, caller: &K) -> Slot {
        if let Some(slot) = self.accounts.get(caller) {
            return slot.clone();
        }
        let place = |tracked: usize| (tracked < self.cap.get()).then_some(tracked + 1);
        if self.tracked.fetch_update(Ordering::Relaxed, Ordering::Relaxed, place).is_err() {
            return self.everyone_else.clone();
        }
        match self.accounts.entry(caller.clone()) {
            Entry::Vacant(entry) => entry.insert(Slot::default()).clone(),
            Entry::Occupied(entry) => {
                self.tracked.fetch_sub(1, Ordering::Relaxed);
                entry.get().clone()
            }
        }
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
        self.accounts.retain(|_, slot| {
            // An account that a request holds at this moment is about to be charged.
            let keep = Arc::strong_count(&slot.0) > 1 || !spent(slot);
            if !keep {
                dropped += 1;
                self.tracked.fetch_sub(1, Ordering::Relaxed);
            }
            keep
        });
        self.accounts.shrink_to_fit();
        dropped
    }
}
