//! The map, the lock and the atomics that this crate is built on, named in one place so that `tests/shuttle` can compile
//! the same sources on ones whose every step a scheduler controls.

use std::hash::{BuildHasher, Hash};

pub(crate) use dashmap::{DashMap, Entry};
pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

/// Shards of a map: with 64, two of 8 threads that are in the map all the time meet in a shard in a third of their visits
/// at most, and an empty map takes 8 KiB. DashMap's own number is 4 per CPU, where a few CPUs meet often.
const SHARDS: usize = 64;

/// What the shards of an empty map take: each is alone on a pair of cache lines.
pub(crate) const EMPTY_MAP_BYTES: usize = SHARDS * 128;

/// An empty map.
pub(crate) fn map<K: Hash + Eq, V, S: BuildHasher + Clone>(hasher: S) -> DashMap<K, V, S> {
    DashMap::with_capacity_and_hasher_and_shard_amount(0, hasher, SHARDS)
}

/// Slots of the map's tables. Not `capacity`, which leaves out the slots that deleted entries have blocked.
pub(crate) fn slots<K: Hash + Eq, V, S: BuildHasher + Clone>(map: &DashMap<K, V, S>) -> usize {
    let slots = map.shards().iter().map(|shard| {
        let table = shard.read();
        // A table without a place for an entry has not been allocated.
        if table.capacity() == 0 { 0 } else { table.buckets() }
    });
    slots.sum()
}

/// Removes what `keep` refuses, one shard at a time, so that the tables of a steady load do not grow.
///
/// An entry that is removed from a crowded part of a table leaves a slot that blocks until the table is built anew (about
/// one in 15, measured at half load). Left alone, they would fill a table until it grows to twice what its entries need. So
/// a table more than 5/8 full is emptied into a new one, which costs a hash for each entry that stays and nothing for one that
/// goes; from others the expired are removed, which is cheaper there.
pub(crate) fn purge<K: Hash + Eq, V, S: BuildHasher + Clone>(
    map: &DashMap<K, V, S>,
    mut keep: impl FnMut(&V) -> bool,
) {
    let hash = |entry: &(K, dashmap::SharedValue<V>)| map.hasher().hash_one(&entry.0);
    for shard in map.shards() {
        let mut table = shard.write();
        let slots = table.buckets();
        let limit = slots / 8 * 7;
        // Slots that are taken: by entries, or blocked.
        let taken = limit.saturating_sub(table.capacity() - table.len());
        if taken > slots / 8 * 5 {
            let crowded = std::mem::take(&mut *table);
            table.reserve(limit, hash);
            for entry in crowded {
                if keep(entry.1.get()) {
                    table.insert(hash(&entry), entry, hash);
                }
            }
        }
    }
    map.retain(|_, value| keep(value));
}
