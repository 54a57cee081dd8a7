//! The accounts of callers, at most so many.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashTable;
use parking_lot::RwLock;

use crate::bucket::Account;

/// Parts of the map with a lock each: more than the threads that a node serves with, so that they seldom meet.
const SHARDS: usize = 16;

/// An account for each caller up to the cap, and one for everyone else.
#[derive(Debug)]
pub(crate) struct Callers<K: Hash + Eq> {
    shards: [RwLock<HashTable<(K, Account)>>; SHARDS],
    /// Keyed at random: callers choose their ids.
    hasher: RandomState,
    /// Places taken; taken before an account is made, so that the map never passes the cap.
    tracked: AtomicUsize,
    cap: NonZeroUsize,
    everyone_else: Account,
}

impl<K: Hash + Eq + Clone> Callers<K> {
    pub(crate) fn new(cap: NonZeroUsize) -> Self {
        Self {
            shards: [(); SHARDS].map(|()| RwLock::default()),
            hasher: RandomState::new(),
            tracked: AtomicUsize::new(0),
            cap,
            everyone_else: Account::default(),
        }
    }

    /// Lets `decide` work on the caller's account, made if need be and possible, else on everyone else's, which it is told.
    /// `decide` runs under a shard's lock and must not come back here.
    pub(crate) fn with<T>(&self, caller: &K, decide: impl FnOnce(&Account, bool) -> T) -> T {
        let hash = self.hasher.hash_one(caller);
        // The table uses the top 7 bits and the lowest.
        let shard = &self.shards[usize::from(hash.to_le_bytes()[6]) % SHARDS];
        let known = |entry: &(K, Account)| entry.0 == *caller;
        {
            let accounts = shard.read();
            if let Some((_, account)) = accounts.find(hash, known) {
                return decide(account, false);
            }
        }
        if self.tracked() >= self.cap.get() {
            // Strangers who come when the table is full need not wait for each other.
            return decide(&self.everyone_else, true);
        }
        let mut accounts = shard.write();
        if let Some((_, account)) = accounts.find(hash, known) {
            return decide(account, false);
        }
        let place = |tracked: usize| (tracked < self.cap.get()).then_some(tracked + 1);
        if self.tracked.fetch_update(Ordering::Relaxed, Ordering::Relaxed, place).is_err() {
            drop(accounts);
            return decide(&self.everyone_else, true);
        }
        let entry = (caller.clone(), Account::default());
        let entry = accounts.insert_unique(hash, entry, |entry| self.hasher.hash_one(&entry.0));
        decide(&entry.get().1, false)
    }

    pub(crate) fn tracked(&self) -> usize {
        self.tracked.load(Ordering::Relaxed)
    }

    /// Drops the accounts that `spent` says are as good as new, and gives the memory back. Returns how many.
    pub(crate) fn sweep(&self, spent: impl Fn(&Account) -> bool) -> usize {
        let mut dropped = 0;
        for shard in &self.shards {
            let mut accounts = shard.write();
            let before = accounts.len();
            accounts.retain(|(_, account)| !spent(account));
            accounts.shrink_to_fit(|entry| self.hasher.hash_one(&entry.0));
            dropped += before - accounts.len();
        }
        self.tracked.fetch_sub(dropped, Ordering::Relaxed);
        dropped
    }
}
