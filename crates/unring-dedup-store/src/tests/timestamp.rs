//! The same store on each kind of clock.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{T, config};
use crate::{DedupStore, Millis, Outcome, Standing, Timestamp};

/// Enters a key 70 s after `epoch` and looks until it is forgotten.
fn check_life<C: Timestamp + Debug + PartialEq>(epoch: C) {
    let store: DedupStore<u64, u8, C> = DedupStore::starting_at(config(8, 8, 0), epoch);
    let at = |seconds: u64| epoch.plus_nanos(seconds * 1_000_000_000);
    let insert = |seconds| store.check_and_insert(1, 0, Standing::Known, at(seconds));
    assert_eq!(insert(70), Outcome::New);
    assert_eq!(insert(179), Outcome::Duplicate { first_seen: at(70) });
    assert!(store.contains(&1, at(179)) && !store.contains(&1, at(180)));
    assert_eq!(store.rotate(at(180)), 1);
    assert_eq!(insert(180), Outcome::New);
}

#[test]
fn every_clock_counts_the_same() {
    check_life(Duration::ZERO);
    check_life(Duration::from_secs(1_000_000_007));
    check_life(Instant::now());
    check_life(Millis(0));
    check_life(Millis(1_767_225_600_000));
}

#[test]
fn times_before_the_epoch_are_the_epoch() {
    let now = Instant::now();
    let store: DedupStore<u64, u8, Instant> = DedupStore::starting_at(config(8, 8, 0), now + T);
    assert_eq!(store.check_and_insert(1, 0, Standing::Known, now), Outcome::New);
    let seen = Outcome::Duplicate { first_seen: now + T };
    assert_eq!(store.check_and_insert(1, 0, Standing::Known, now + T), seen);
}

#[test]
fn what_does_not_fit_is_the_last_that_does() {
    assert_eq!(Duration::MAX.nanos_since(Duration::ZERO), u64::MAX);
    assert_eq!(Duration::MAX.plus_nanos(1), Duration::MAX);
    assert_eq!(Duration::ZERO.nanos_since(Duration::MAX), 0);
    assert_eq!(Millis(u64::MAX).nanos_since(Millis(0)), u64::MAX);
    assert_eq!(Millis(0).nanos_since(Millis(1)), 0);
    assert_eq!(Millis(u64::MAX).plus_nanos(u64::MAX), Millis(u64::MAX));
}

fn check_round_trip<C: Timestamp + Debug + PartialEq>(
    epoch: C,
    point: C,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(epoch.plus_nanos(point.nanos_since(epoch)), point);
    Ok(())
}

proptest! {
    /// Up to 30 years from an epoch up to 30 years from zero, in milliseconds and in nanoseconds.
    #[test]
    fn a_point_is_found_again(epoch in 0..1_000_000_000_000_u64, later in 0..1_000_000_000_000_000_000_u64) {
        check_round_trip(Millis(epoch), Millis(epoch + later / 1_000_000))?;
        let epoch = Duration::from_millis(epoch);
        check_round_trip(epoch, epoch + Duration::from_nanos(later))?;
        let now = Instant::now();
        check_round_trip(now, now + Duration::from_nanos(later))?;
    }
}
