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

/// After a purge, makes sure that each shard can take as many entries again without growing.
///
/// An entry that is removed from a crowded part of a table leaves a slot that blocks until the table is built anew (about
/// one in 15, measured at half load). Left alone, they would fill a table until it grows to twice what its entries need.
pub(crate) fn make_room<K: Hash + Eq, V, S: BuildHasher + Clone>(map: &DashMap<K, V, S>) {
    for shard in map.shards() {
        let mut table = shard.write();
        let (entries, room) = (table.len(), table.capacity() - table.len());
        let would_do = table.buckets() / 8 * 7;
        if room < entries && 2 * entries <= would_do {
            // Into a new table at once: to shrink the old one and let it grow again would hash each entry twice.
            let crowded = std::mem::take(&mut *table);
            let hash = |entry: &(K, dashmap::SharedValue<V>)| map.hasher().hash_one(&entry.0);
            table.reserve(would_do, hash);
            for entry in crowded {
                table.insert(hash(&entry), entry, hash);
            }
        }
    }
}
