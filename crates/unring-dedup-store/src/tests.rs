mod adversary;
mod introducer;
mod model;
mod single_flight;
mod threads;
mod timestamp;

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::account::Account;
use crate::generation::Generation;
use crate::sync::EMPTY_MAP_BYTES;
use crate::{Config, DedupStore, Outcome, Standing};
use Standing::{Known, Newcomer};

/// `T` of every test here.
const T: Duration = Duration::from_secs(60);

fn config(capacity: usize, per_introducer: usize, reserved_for_known: usize) -> Config {
    Config {
        retention: T,
        capacity: NonZeroUsize::new(capacity).unwrap(),
        per_introducer: NonZeroUsize::new(per_introducer).unwrap(),
        reserved_for_known,
    }
}

fn store(capacity: usize, per_introducer: usize, reserved_for_known: usize) -> DedupStore<u64, u8> {
    DedupStore::new(config(capacity, per_introducer, reserved_for_known))
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Runs `(key, introducer, standing, second)` in turn and compares each outcome.
fn check(store: &DedupStore<u64, u8>, steps: &[(u64, u8, Standing, u64, Outcome)]) {
    for (index, &(key, introducer, standing, second, expected)) in steps.iter().enumerate() {
        let outcome = store.check_and_insert(key, introducer, standing, at(second));
        assert_eq!(outcome, expected, "step {index}: key {key} of {introducer} at {second} s");
    }
}

#[test]
fn an_entry_lives_for_more_than_t_and_at_most_2t() {
    // Entered at the very start of a generation it lives 2T, at the very end just over T.
    let seen = |second| Outcome::Duplicate { first_seen: at(second) };
    check(
        &store(8, 8, 0),
        &[
            (1, 0, Known, 60, Outcome::New),
            (2, 0, Known, 119, Outcome::New),
            (1, 0, Known, 179, seen(60)),
            (2, 0, Known, 179, seen(119)),
            (1, 0, Known, 180, Outcome::New),
            (2, 0, Known, 180, Outcome::New),
            (1, 0, Known, 299, seen(180)),
        ],
    );
}

#[test]
fn at_the_cap_the_newcomer_is_refused_and_nothing_is_forgotten() {
    let full = Outcome::Full { held: 2, limit: 2 };
    let seen = Outcome::Duplicate { first_seen: at(0) };
    let store = store(2, 8, 0);
    check(
        &store,
        &[
            (1, 0, Known, 0, Outcome::New),
            (2, 1, Known, 0, Outcome::New),
            (3, 2, Known, 1, full),
            (1, 2, Known, 1, seen),
            (2, 2, Known, 119, seen),
            (3, 2, Known, 119, full),
            (3, 2, Known, 120, Outcome::New),
        ],
    );
    assert_eq!((store.len(), store.evicted()), (1, 2));
}

#[test]
fn one_introducer_cannot_take_the_room_of_another() {
    let store = store(10, 3, 0);
    for key in 0..3 {
        assert_eq!(store.check_and_insert(key, 7, Newcomer, at(0)), Outcome::New);
    }
    for key in 3..100 {
        let refused = Outcome::IntroducerFull { held: 3, limit: 3 };
        assert_eq!(store.check_and_insert(key, 7, Newcomer, at(1)), refused);
    }
    assert_eq!(store.check_and_insert(3, 8, Newcomer, at(1)), Outcome::New);
    assert_eq!((store.held_by(&7), store.held_by(&8), store.held_by(&9)), (3, 1, 0));
    // What was charged in the first generation is written off with it, what was charged in the second is not.
    assert_eq!(store.check_and_insert(200, 8, Newcomer, at(60)), Outcome::New);
    assert_eq!(store.rotate(at(120)), 4);
    assert_eq!((store.held_by(&7), store.held_by(&8), store.introducers()), (0, 1, 1));
}

#[test]
fn reserved_room_is_not_for_newcomers() {
    let store = store(5, 5, 3);
    let full = Outcome::Full { held: 2, limit: 2 };
    check(
        &store,
        &[
            (1, 0, Newcomer, 0, Outcome::New),
            (2, 1, Newcomer, 0, Outcome::New),
            (3, 2, Newcomer, 0, full),
            (3, 3, Known, 0, Outcome::New),
            (4, 3, Known, 0, Outcome::New),
            (5, 3, Known, 0, Outcome::New),
            (6, 3, Known, 0, Outcome::Full { held: 5, limit: 5 }),
        ],
    );
}

#[test]
fn known_introducers_may_use_the_newcomers_share() {
    let store = store(5, 5, 3);
    for key in 0..5 {
        assert_eq!(store.check_and_insert(key, 0, Known, at(0)), Outcome::New);
    }
    assert_eq!(store.check_and_insert(9, 1, Newcomer, at(0)), Outcome::Full { held: 5, limit: 5 });
}

#[test]
fn a_store_reserved_whole_takes_no_newcomer() {
    let store = store(2, 2, 50);
    assert_eq!(store.check_and_insert(1, 0, Newcomer, at(0)), Outcome::Full { held: 0, limit: 0 });
    assert_eq!(store.check_and_insert(1, 0, Known, at(0)), Outcome::New);
}

#[test]
fn callers_refused_at_the_cap_leave_no_account() {
    let store: DedupStore<u64, u64> = DedupStore::new(config(1, 1, 0));
    assert_eq!(store.check_and_insert(0, 0, Known, at(0)), Outcome::New);
    for stranger in 1..1000 {
        assert_eq!(
            store.check_and_insert(stranger, stranger, Newcomer, at(0)),
            Outcome::Full { held: 1, limit: 1 }
        );
    }
    assert_eq!(store.introducers(), 1);
}

#[test]
fn a_clock_that_goes_backwards_forgets_nothing() {
    let seen = |second| Outcome::Duplicate { first_seen: at(second) };
    check(
        &store(8, 8, 0),
        &[
            (1, 0, Known, 200, Outcome::New),
            (1, 0, Known, 3, seen(200)),
            // Counted from the start of the present generation: it is never stamped as expired already.
            (2, 0, Known, 3, Outcome::New),
            (2, 0, Known, 4, seen(180)),
            (2, 0, Known, 240, seen(180)),
        ],
    );
}

#[test]
fn times_at_both_ends_are_accepted() {
    let store = store(8, 8, 0);
    assert_eq!(store.check_and_insert(1, 0, Known, Duration::ZERO), Outcome::New);
    assert_eq!(store.check_and_insert(1, 0, Known, Duration::MAX), Outcome::New);
    assert!(store.contains(&1, Duration::MAX));
    let brief = DedupStore::new(Config { retention: Duration::ZERO, ..config(2, 2, 0) });
    assert_eq!(brief.check_and_insert(1_u64, 0_u8, Known, at(1)), Outcome::New);
    assert_eq!(brief.check_and_insert(1, 0, Known, at(2)), Outcome::New);
    let forever = DedupStore::new(Config { retention: Duration::MAX, ..config(2, 2, 0) });
    assert_eq!(forever.check_and_insert(1_u64, 0_u8, Known, at(1)), Outcome::New);
    assert!(forever.contains(&1, at(1_000_000_000)));
}

#[test]
fn an_expired_entry_that_is_still_in_memory_gives_its_place_to_its_key() {
    let store = store(2, 1, 1);
    assert_eq!(store.check_and_insert(1, 0, Newcomer, at(0)), Outcome::New);
    assert_eq!(store.check_and_insert(2, 1, Known, at(0)), Outcome::New);
    store.rotate_without_purge(at(120));
    // Full in memory: another key waits for the purge, the expired key takes its own place.
    assert_eq!(store.check_and_insert(3, 3, Known, at(120)), Outcome::Full { held: 2, limit: 2 });
    assert_eq!(store.check_and_insert(1, 0, Newcomer, at(120)), Outcome::New);
    assert_eq!((store.len(), store.evicted()), (2, 1));
    let seen = Outcome::Duplicate { first_seen: at(120) };
    assert_eq!(store.check_and_insert(1, 2, Known, at(120)), seen);
    assert_eq!(store.rotate(at(180)), 1);
    assert_eq!((store.len(), store.seen_len(), store.held_by(&0)), (1, 1, 1));
}

#[test]
fn an_account_charges_the_generation_that_an_entry_was_stamped_in() {
    let generation = |number: u64| Generation { start: number * 10, length: 10 };
    let mut account = Account::new(generation(5));
    for number in [5, 4, 3, 0] {
        // Threads that slept: generation 4 is still remembered, older ones are expired on arrival.
        account.charge(generation(number));
    }
    assert_eq!(account.held(), 2);
    account.advance(generation(4));
    assert_eq!(account.held(), 2, "no way back");
    account.advance(generation(6));
    assert_eq!(account.held(), 1);
    account.advance(generation(8));
    assert_eq!(account.held(), 0);
}

#[test]
fn contains_changes_nothing() {
    let store = store(8, 8, 0);
    assert!(!store.contains(&1, at(0)));
    assert_eq!(store.check_and_insert(1, 0, Known, at(0)), Outcome::New);
    assert!(store.contains(&1, at(119)));
    assert!(!store.contains(&1, at(120)));
    assert_eq!((store.len(), store.evicted()), (1, 0));
    // The generation did not move either.
    assert!(store.contains(&1, at(119)));
}

#[test]
fn memory_of_a_flood_is_given_back() {
    let store = store(50_000, 50_000, 0);
    for key in 0..50_000 {
        assert_eq!(store.check_and_insert(key, 0, Known, at(0)), Outcome::New);
    }
    let flooded = store.memory_estimate();
    assert!(flooded >= 50_000 * size_of::<(u64, u64)>(), "{flooded} bytes");
    assert_eq!(store.rotate(at(120)), 50_000);
    assert!(store.is_empty());
    store.shrink();
    assert!(store.memory_estimate() <= 2 * EMPTY_MAP_BYTES, "{} bytes", store.memory_estimate());
}

#[test]
fn tables_of_a_steady_load_do_not_grow() {
    // 40 generations of 20 000 entries, 2 of which are held at a time, in slots for 57 344.
    let store = store(50_000, 50_000, 0);
    let mut slots = Vec::new();
    for key in 0..800_000 {
        assert_eq!(store.check_and_insert(key, 0, Known, at(key * 60 / 20_000)), Outcome::New);
        if key % 20_000 == 19_999 && key > 20_000 {
            slots.push(store.memory_estimate() / size_of::<(u64, u64)>());
        }
    }
    assert!(slots.iter().all(|held| *held <= 90_000), "{slots:?}");
}

#[test]
fn bytes_per_entry_of_a_16_byte_key() {
    // The worst point of a hash table is just after it has grown; every size from there to the next growth is better.
    let store: DedupStore<u128, u8> = DedupStore::new(config(200_000, 200_000, 0));
    let mut worst = 0;
    for key in 0..200_000_u128 {
        assert_eq!(store.check_and_insert(key, 0, Known, at(0)), Outcome::New);
        if key > 10_000 && key % 1_000 == 0 {
            worst = worst.max(store.memory_estimate() / store.len());
        }
    }
    // u128 is aligned to 16, so that the entry takes 32 bytes; `[u8; 16]` takes 24.
    assert!(worst <= 80, "{worst} bytes per u128 entry");
    let store: DedupStore<[u8; 16], u8> = DedupStore::new(config(200_000, 200_000, 0));
    let mut worst = 0;
    for key in 0..200_000_u128 {
        assert_eq!(store.check_and_insert(key.to_be_bytes(), 0, Known, at(0)), Outcome::New);
        if key > 10_000 && key % 1_000 == 0 {
            worst = worst.max(store.memory_estimate() / store.len());
        }
    }
    assert!(worst <= 64, "{worst} bytes per 16-byte entry");
}

#[test]
fn a_hasher_under_which_all_keys_collide_is_only_slow() {
    #[derive(Debug, Default)]
    struct Collide(DefaultHasher);
    impl std::hash::Hasher for Collide {
        fn finish(&self) -> u64 {
            let _ = &self.0;
            7
        }
        fn write(&mut self, _: &[u8]) {}
    }
    let store: DedupStore<u64, u8, Duration, BuildHasherDefault<Collide>> =
        DedupStore::with_hasher(config(300, 300, 0), at(0), BuildHasherDefault::default());
    for key in 0..300 {
        assert_eq!(store.check_and_insert(key, 0, Known, at(0)), Outcome::New);
        assert_eq!(
            store.check_and_insert(key, 0, Known, at(0)),
            Outcome::Duplicate { first_seen: at(0) }
        );
    }
}

#[test]
fn debug_output_names_the_bounds_but_no_key() {
    let store = store(5, 4, 3);
    assert_eq!(store.check_and_insert(987_654_321, 0, Known, at(0)), Outcome::New);
    let text = format!("{store:?}");
    assert!(
        text.contains("len: 1") && text.contains("60s") && !text.contains("987654321"),
        "{text}"
    );
}
