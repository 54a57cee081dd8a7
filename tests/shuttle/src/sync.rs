//! What the store's own `sync` names, on shuttle. The map is as `dashmap`'s: shards with a lock each, one of which a guard
//! holds until it is dropped, and that are visited one after the other.
#![expect(clippy::expect_used, reason = "an occupied entry is there as long as its lock is held")]

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::PoisonError;

pub(crate) use shuttle::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
pub(crate) use shuttle::sync::{Arc, Mutex, MutexGuard};
use shuttle::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Two are enough for an order between shards, and few enough to meet in one.
const SHARDS: usize = 2;

pub(crate) struct DashMap<K, V, S> {
    shards: [RwLock<HashMap<K, V, S>>; SHARDS],
    hasher: S,
}

pub(crate) const EMPTY_MAP_BYTES: usize = 0;

pub(crate) fn map<K: Hash + Eq, V, S: BuildHasher + Clone>(hasher: S) -> DashMap<K, V, S> {
    DashMap::with_hasher(hasher)
}

pub(crate) fn slots<K: Hash + Eq, V, S: BuildHasher + Clone>(map: &DashMap<K, V, S>) -> usize {
    map.shards.iter().map(|shard| read(shard).capacity()).sum()
}

/// Twice, as the store's own, which first builds the crowded tables anew.
pub(crate) fn purge<K: Hash + Eq, V, S: BuildHasher + Clone>(
    map: &DashMap<K, V, S>,
    mut keep: impl FnMut(&V) -> bool,
) {
    for _ in 0..2 {
        map.retain(|_, value| keep(value));
    }
}

pub(crate) enum Entry<'a, K, V, S> {
    Occupied(OccupiedEntry<'a, K, V, S>),
    Vacant(VacantEntry<'a, K, V, S>),
}

pub(crate) struct OccupiedEntry<'a, K, V, S> {
    shard: RwLockWriteGuard<'a, HashMap<K, V, S>>,
    key: K,
}

pub(crate) struct VacantEntry<'a, K, V, S> {
    shard: RwLockWriteGuard<'a, HashMap<K, V, S>>,
    key: K,
}

impl<K: Hash + Eq, V, S: BuildHasher + Clone> DashMap<K, V, S> {
    pub(crate) fn with_hasher(hasher: S) -> Self {
        let shards = std::array::from_fn(|_| RwLock::new(HashMap::with_hasher(hasher.clone())));
        Self { shards, hasher }
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> &RwLock<HashMap<K, V, S>> {
        &self.shards[usize::from(self.hasher.hash_one(key) & 1 == 1)]
    }

    pub(crate) fn entry(&self, key: K) -> Entry<'_, K, V, S> {
        let shard = write(self.shard(&key));
        match shard.contains_key(&key) {
            true => Entry::Occupied(OccupiedEntry { shard, key }),
            false => Entry::Vacant(VacantEntry { shard, key }),
        }
    }

    pub(crate) fn view<Q, R>(&self, key: &Q, look: impl FnOnce(&K, &V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        read(self.shard(key)).get_key_value(key).map(|(key, value)| look(key, value))
    }

    pub(crate) fn remove_if(&self, key: &K, remove: impl FnOnce(&K, &V) -> bool) -> Option<(K, V)> {
        let mut shard = write(self.shard(key));
        match shard.get_key_value(key).is_some_and(|(key, value)| remove(key, value)) {
            true => shard.remove_entry(key),
            false => None,
        }
    }

    pub(crate) fn retain(&self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        for shard in &self.shards {
            write(shard).retain(&mut keep);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| read(shard).len()).sum()
    }

    pub(crate) fn shrink_to_fit(&self) {
        for shard in &self.shards {
            write(shard).shrink_to_fit();
        }
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> OccupiedEntry<'_, K, V, S> {
    pub(crate) fn get(&self) -> &V {
        self.shard.get(&self.key).expect("occupied")
    }

    pub(crate) fn get_mut(&mut self) -> &mut V {
        self.shard.get_mut(&self.key).expect("occupied")
    }

    pub(crate) fn insert(&mut self, value: V) -> V {
        std::mem::replace(self.get_mut(), value)
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> VacantEntry<'_, K, V, S> {
    pub(crate) fn insert(mut self, value: V) {
        self.shard.insert(self.key, value);
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
