//! Handles, beside calls by name.

use std::sync::{Arc, Barrier};

use super::threads::in_threads;
use super::{at, config};
use crate::{DedupStore, Introducer, Outcome, Standing};
use Standing::{Known, Newcomer};

type Store = Arc<DedupStore<u64, u8>>;

fn store(capacity: usize, per_introducer: usize, reserved_for_known: usize) -> Store {
    Arc::new(DedupStore::new(config(capacity, per_introducer, reserved_for_known)))
}

fn is_new(handle: &Introducer<u64, u8>, key: u64, second: u64) -> bool {
    handle.check_and_insert(key, Known, at(second)) == Outcome::New
}

#[test]
fn all_handles_and_the_name_share_one_cap() {
    let store = store(10, 3, 0);
    let (one, two) = (store.introducer(7), store.introducer(7));
    assert!(is_new(&one, 1, 0) && is_new(&two, 2, 0));
    assert_eq!(store.check_and_insert(3, 7, Known, at(0)), Outcome::New);
    let full = Outcome::IntroducerFull { held: 3, limit: 3 };
    assert_eq!(one.clone().check_and_insert(4, Known, at(0)), full);
    assert_eq!(two.check_and_insert(4, Known, at(0)), full);
    assert_eq!(store.check_and_insert(4, 7, Known, at(0)), full);
    // A duplicate is charged to nobody, whoever brings it.
    let seen = Outcome::Duplicate { first_seen: at(0) };
    assert_eq!(store.introducer(8).check_and_insert(1, Known, at(1)), seen);
    assert_eq!((store.held_by(&7), store.held_by(&8)), (3, 0));
    assert_eq!(one.id(), &7);
    assert!(Arc::ptr_eq(one.store(), &store));
}

#[test]
fn an_open_handle_outlives_what_was_charged_to_it() {
    let store = store(10, 2, 0);
    let handle = store.introducer(7);
    assert!(is_new(&handle, 1, 0) && is_new(&handle, 2, 0) && !is_new(&handle, 3, 0));
    assert_eq!((store.rotate(at(120)), store.introducers()), (2, 1));
    // Charged to the account that the name leads to: one cap for both.
    assert!(is_new(&handle, 3, 120));
    assert_eq!(store.check_and_insert(4, 7, Known, at(120)), Outcome::New);
    assert!(!is_new(&handle, 5, 120));
    drop(handle);
    assert_eq!((store.held_by(&7), store.introducers()), (2, 1));
    assert_eq!((store.rotate(at(240)), store.introducers()), (2, 0));
}

#[test]
fn a_handle_that_holds_nothing_leaves_no_account() {
    let store = store(10, 2, 0);
    for stranger in 0..100 {
        let handle = store.introducer(stranger);
        let other = handle.clone();
        drop(handle);
        assert_eq!(store.introducers(), 1);
        drop(other);
        assert_eq!(store.introducers(), 0);
    }
    let handle = store.introducer(7);
    assert!(is_new(&handle, 1, 0));
    store.rotate_without_purge(at(120));
    drop(handle);
    assert_eq!(store.introducers(), 0, "what it holds has expired");
}

#[test]
fn the_caps_of_the_store_hold_for_handles() {
    let store = store(3, 3, 2);
    let (stranger, friend) = (store.introducer(1), store.introducer(2));
    assert_eq!(stranger.check_and_insert(1, Newcomer, at(0)), Outcome::New);
    let full = Outcome::Full { held: 1, limit: 1 };
    assert_eq!(stranger.check_and_insert(2, Newcomer, at(0)), full);
    assert!(is_new(&friend, 2, 0) && is_new(&friend, 3, 0));
    let full = Outcome::Full { held: 3, limit: 3 };
    assert_eq!(friend.check_and_insert(4, Known, at(0)), full);
    // The place of an expired entry goes to its own key, and is charged once.
    store.rotate_without_purge(at(120));
    assert!(is_new(&friend, 3, 120));
    assert_eq!((store.len(), store.held_by(&2)), (3, 1));
}

#[test]
fn handles_opened_charged_and_dropped_by_many_threads_share_one_cap() {
    const ROUNDS: u64 = 200;
    for threads in [2, 4, 8] {
        let store = store(1_000_000, 3, 0);
        let barrier = Barrier::new(threads);
        let new = in_threads(threads, |thread| {
            let mut new = 0;
            for round in 0..ROUNDS {
                barrier.wait();
                // All rounds are two generations apart, so that each begins with an empty account.
                let handle = store.introducer(7);
                for key in 0..3 {
                    let key = round << 32 | u64::try_from(thread).unwrap() << 16 | key;
                    new += usize::from(is_new(&handle, key, round * 120));
                }
                drop(handle);
                barrier.wait();
            }
            new
        });
        assert_eq!(
            new.iter().sum::<usize>(),
            3 * usize::try_from(ROUNDS).unwrap(),
            "{threads} threads"
        );
        store.rotate(at(1_000_000));
        assert_eq!((store.len(), store.introducers()), (0, 0));
    }
}

#[test]
fn debug_output_of_a_handle_names_nobody() {
    let handle = store(1, 1, 0).introducer(77);
    assert_eq!(format!("{handle:?}"), "Introducer { held: 0, .. }");
}
