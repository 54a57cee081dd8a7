//! What the store promises, in thousands of schedules of a few steps.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod schedules;

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::num::NonZeroUsize;
use std::time::Duration;

use schedules::in_many_schedules;
use shuttle::sync::Arc;
use shuttle::thread;
use unring_shuttle::{Config, DedupStore, Outcome, Standing};

/// The same in each run, so that a schedule that failed can be repeated.
type Hasher = BuildHasherDefault<DefaultHasher>;
type Store = Arc<DedupStore<u64, u8, Duration, Hasher>>;

const T: Duration = Duration::from_secs(60);

fn store(capacity: usize, per_introducer: usize, reserved_for_known: usize) -> Store {
    let config = Config {
        retention: T,
        capacity: NonZeroUsize::new(capacity).unwrap(),
        per_introducer: NonZeroUsize::new(per_introducer).unwrap(),
        reserved_for_known,
    };
    Arc::new(DedupStore::with_hasher(config, Duration::ZERO, Hasher::default()))
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Runs all in threads of their own, and gives what they returned in their order.
fn all<R: Send + 'static>(work: Vec<Box<dyn FnOnce() -> R + Send>>) -> Vec<R> {
    let threads: Vec<_> = work.into_iter().map(|work| thread::spawn(work)).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

fn insert(
    store: &Store,
    key: u64,
    introducer: u8,
    standing: Standing,
    second: u64,
) -> Box<dyn FnOnce() -> Outcome + Send> {
    let store = Arc::clone(store);
    Box::new(move || store.check_and_insert(key, introducer, standing, at(second)))
}

fn new(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| **outcome == Outcome::New).count()
}

/// After all else has expired, the counts are those of an empty store: nothing was counted twice or not at all.
fn check_balance(store: &Store, entered: u64) {
    store.rotate(at(100_000));
    assert_eq!((store.len(), store.introducers(), store.evicted()), (0, 0, entered));
}

#[test]
fn of_inserts_of_one_key_exactly_one_is_new() {
    in_many_schedules(|| {
        let store = store(4, 4, 0);
        let outcomes = all((0..3).map(|i| insert(&store, 7, i, Standing::Known, 1)).collect());
        assert_eq!(new(&outcomes), 1, "{outcomes:?}");
        assert_eq!(store.len(), 1);
        check_balance(&store, 1);
    });
}

#[test]
fn a_rotation_between_check_and_insert_makes_no_second_new() {
    in_many_schedules(|| {
        let store = store(4, 4, 0);
        let mut work: Vec<_> =
            [59, 60, 61].map(|second| insert(&store, 7, 0, Standing::Known, second)).into();
        // Something to purge, in either shard.
        for key in 0..2 {
            let early = store.check_and_insert(100 + key, 1, Standing::Known, Duration::ZERO);
            assert_eq!(early, Outcome::New);
        }
        work.push(insert(&store, 8, 1, Standing::Known, 119));
        let outcomes = all(work);
        assert_eq!(new(&outcomes[..3]), 1, "{outcomes:?}");
        check_balance(&store, 4);
    });
}

/// Two threads enter a key that has expired while a third purges it.
fn enter_an_expired_key(capacity: usize) -> (Store, Vec<Outcome>) {
    let store = store(capacity, capacity, 0);
    for key in 0..2 {
        assert_eq!(store.check_and_insert(key, 0, Standing::Known, at(0)), Outcome::New);
    }
    let mut work: Vec<_> = (0..2).map(|i| insert(&store, 0, i, Standing::Known, 120)).collect();
    let purging = Arc::clone(&store);
    work.push(Box::new(move || {
        purging.rotate(at(120));
        Outcome::New
    }));
    let mut outcomes = all(work);
    outcomes.truncate(2);
    (store, outcomes)
}

#[test]
fn an_expired_key_is_new_once_whoever_purges_it() {
    in_many_schedules(|| {
        let (store, outcomes) = enter_an_expired_key(4);
        assert_eq!(new(&outcomes), 1, "{outcomes:?}");
        assert_eq!(store.len(), 1);
        check_balance(&store, 3);
    });
}

#[test]
fn an_expired_key_of_a_full_store_is_new_at_most_once() {
    in_many_schedules(|| {
        let (store, outcomes) = enter_an_expired_key(2);
        // Refused where the purge has removed it and not yet given its place back.
        assert!(new(&outcomes) <= 1, "{outcomes:?}");
        let entered = new(&outcomes) as u64;
        assert_eq!(store.len() as u64, entered);
        check_balance(&store, 2 + entered);
    });
}

#[test]
fn the_caps_hold_in_every_order() {
    in_many_schedules(|| {
        // Room for two in all, of which newcomers get one; one each.
        let store = store(2, 1, 1);
        let outcomes = all(vec![
            insert(&store, 1, 1, Standing::Newcomer, 0),
            insert(&store, 2, 2, Standing::Newcomer, 0),
            insert(&store, 3, 3, Standing::Known, 0),
            insert(&store, 4, 3, Standing::Known, 0),
        ]);
        assert!(new(&outcomes[..2]) <= 1 && new(&outcomes[2..]) == 1, "{outcomes:?}");
        assert!(store.len() <= 2);
        for (introducer, bound) in [(1, 1), (2, 1), (3, 1)] {
            assert!(store.held_by(&introducer) <= bound);
        }
        let entered = new(&outcomes) as u64;
        check_balance(&store, entered);
    });
}

#[test]
fn one_introducer_cannot_push_out_another() {
    in_many_schedules(|| {
        let store = store(3, 2, 0);
        let outcomes = all(vec![
            insert(&store, 1, 1, Standing::Known, 0),
            insert(&store, 2, 1, Standing::Known, 0),
            insert(&store, 3, 1, Standing::Known, 0),
            insert(&store, 4, 2, Standing::Known, 0),
        ]);
        assert_eq!((new(&outcomes[..3]), outcomes[3]), (2, Outcome::New), "{outcomes:?}");
        assert_eq!((store.held_by(&1), store.held_by(&2)), (2, 1));
    });
}

#[test]
fn a_full_store_takes_newcomers_while_it_is_purged_and_forgets_nothing_alive() {
    in_many_schedules(|| {
        let store = store(3, 3, 0);
        assert_eq!(store.check_and_insert(1, 1, Standing::Known, at(0)), Outcome::New);
        assert_eq!(store.check_and_insert(2, 2, Standing::Known, at(60)), Outcome::New);
        assert_eq!(store.check_and_insert(3, 1, Standing::Known, at(61)), Outcome::New);
        let outcomes = all(vec![
            insert(&store, 4, 1, Standing::Known, 120),
            insert(&store, 5, 3, Standing::Known, 121),
            insert(&store, 2, 3, Standing::Known, 121),
        ]);
        assert!(new(&outcomes[..2]) <= 1, "one place is free: {outcomes:?}");
        assert_eq!(outcomes[2], Outcome::Duplicate { first_seen: at(60) });
        assert!(store.len() <= 3);
        let entered = 3 + new(&outcomes) as u64;
        check_balance(&store, entered);
    });
}

#[test]
fn handles_share_one_account_however_they_are_opened_and_dropped() {
    in_many_schedules(|| {
        // Room for two each. The first entry expires as the threads begin.
        let store = store(8, 2, 0);
        assert_eq!(store.check_and_insert(100, 1, Standing::Known, at(0)), Outcome::New);
        let by_handle = |key: u64| -> Box<dyn FnOnce() -> Outcome + Send> {
            let store = Arc::clone(&store);
            Box::new(move || {
                let handle = store.introducer(1);
                handle.check_and_insert(key, Standing::Known, at(120))
            })
        };
        let purging = Arc::clone(&store);
        let purge = move || {
            purging.rotate(at(120));
            drop(purging.introducer(1));
            Outcome::Duplicate { first_seen: at(0) }
        };
        let outcomes = all(vec![
            by_handle(1),
            by_handle(2),
            insert(&store, 3, 1, Standing::Known, 120),
            Box::new(purge),
        ]);
        assert_eq!((new(&outcomes), store.held_by(&1), store.introducers()), (2, 2, 1));
        check_balance(&store, 3);
    });
}
