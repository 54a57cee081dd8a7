//! Promises that must hold between threads. Each run ends by itself: nothing here waits for a lock with a guard in hand.

use std::num::NonZeroUsize;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::{T, at, config};
use crate::{Config, DedupStore, Outcome, Standing};

/// Runs `work(thread)` in each of so many threads, started together.
pub(super) fn in_threads<R: Send>(threads: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        let spawned: Vec<_> = (0..threads)
            .map(|thread| {
                let (barrier, work) = (&barrier, &work);
                scope.spawn(move || {
                    barrier.wait();
                    work(thread)
                })
            })
            .collect();
        spawned.into_iter().map(|handle| handle.join().unwrap()).collect()
    })
}

#[test]
fn exactly_one_thread_gets_each_key_even_in_a_store_just_large_enough() {
    const KEYS: usize = 5_000;
    for threads in [2, 4, 8] {
        let store: DedupStore<usize, usize> = DedupStore::new(config(KEYS, KEYS, 0));
        let new = in_threads(threads, |thread| {
            let mut new = 0;
            for key in 0..KEYS {
                match store.check_and_insert(key, thread, Standing::Newcomer, at(1)) {
                    Outcome::New => new += 1,
                    Outcome::Duplicate { first_seen } => assert_eq!(first_seen, at(1)),
                    refused => panic!("key {key}: {refused:?}"),
                }
            }
            new
        });
        assert_eq!(new.iter().sum::<usize>(), KEYS, "{threads} threads: {new:?}");
        assert_eq!(store.len(), KEYS);
    }
}

/// Each round has keys of its own and straddles a boundary: half the threads read the clock just before it, half just after.
#[test]
fn a_rotation_between_check_and_insert_makes_no_second_new() {
    const ROUNDS: u64 = 400;
    const KEYS: u64 = 16;
    for threads in [2, 4, 8] {
        let store: DedupStore<(u64, u64), usize> = DedupStore::new(config(1_000_000, 1_000_000, 0));
        let barrier = Barrier::new(threads);
        let new = in_threads(threads, |thread| {
            let mut new = 0_u64;
            for round in 0..ROUNDS {
                barrier.wait();
                let boundary = T * u32::try_from(round + 1).unwrap();
                let now =
                    if thread % 2 == 0 { boundary - Duration::from_millis(1) } else { boundary };
                for key in 0..KEYS {
                    let outcome =
                        store.check_and_insert((round, key), thread, Standing::Known, now);
                    new += u64::from(outcome == Outcome::New);
                }
            }
            new
        });
        assert_eq!(new.iter().sum::<u64>(), ROUNDS * KEYS, "{threads} threads: {new:?}");
    }
}

#[test]
fn a_duplicate_within_t_is_seen_by_every_thread_across_rotations() {
    for threads in [2, 4, 8] {
        let store: DedupStore<(usize, u64), usize> =
            DedupStore::new(config(1_000_000, 1_000_000, 0));
        let (clock, within_t) = (AtomicU64::new(0), AtomicUsize::new(0));
        in_threads(threads, |thread| {
            for step in 0..2_000 {
                // One shared clock, so that all threads agree on time as they do on a monotonic clock.
                let now = Duration::from_secs(clock.fetch_add(1, Ordering::SeqCst));
                assert_eq!(
                    store.check_and_insert((thread, step), thread, Standing::Known, now),
                    Outcome::New
                );
                let outcome = store.check_and_insert((thread, step), thread, Standing::Known, now);
                // Read after the call: a thread may sleep between reading the clock and using what it read.
                let age = Duration::from_secs(clock.load(Ordering::SeqCst)) - now;
                if age <= T {
                    within_t.fetch_add(1, Ordering::Relaxed);
                    let Outcome::Duplicate { first_seen } = outcome else {
                        panic!("{outcome:?} at an age of {age:?}")
                    };
                    assert!(now <= first_seen && first_seen <= now + age);
                }
            }
        });
        assert!(store.evicted() > 0 && within_t.load(Ordering::Relaxed) > threads * 1_000);
    }
}

#[test]
fn the_memory_bound_holds_under_strangers_who_pick_ids_while_generations_pass() {
    const CAPACITY: usize = 500;
    for threads in [2, 8] {
        let store: DedupStore<u64, u64> = DedupStore::new(Config {
            retention: Duration::from_secs(10),
            capacity: NonZeroUsize::new(CAPACITY).unwrap(),
            per_introducer: NonZeroUsize::new(50).unwrap(),
            reserved_for_known: 100,
        });
        let clock = AtomicU64::new(0);
        let refused = AtomicUsize::new(0);
        in_threads(threads, |thread| {
            for step in 0..20_000_u64 {
                let now = Duration::from_millis(clock.fetch_add(1, Ordering::SeqCst));
                let id = u64::try_from(thread).unwrap() << 32 | step;
                match store.check_and_insert(id, id % 1_000, Standing::Newcomer, now) {
                    Outcome::New => {}
                    Outcome::Duplicate { .. } => panic!("a false duplicate of {id}"),
                    Outcome::IntroducerFull { held, limit } => assert!(held >= limit),
                    Outcome::Full { held, limit } => {
                        assert!(held >= limit && limit <= CAPACITY);
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
                assert!(store.len() <= CAPACITY - 100);
                assert!(store.introducers() <= 2 * CAPACITY);
            }
        });
        assert!(refused.load(Ordering::Relaxed) > 0, "the test never reached the cap");
        // Counts and contents agree once the threads are gone, and a later rotation leaves nothing behind.
        assert_eq!(store.seen_len(), store.len());
        store.rotate(Duration::from_secs(100_000));
        assert_eq!((store.len(), store.seen_len(), store.introducers()), (0, 0, 0));
    }
}
