//! The buckets decide as plain limiters of the `governor` crate do, though they keep state, clock and cells their own way.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, FakeRelativeClock};
use governor::{Quota, RateLimiter};
use proptest::prelude::*;

use crate::Rate;
use crate::bucket::{Bucket, Tat};
use crate::cost::Charge;

/// Rates whose cell is a whole number of nanoseconds, so that nothing is rounded on either side.
const EXACT: [u32; 6] = [1, 8, 50, 1_000, 12_500, 62_500];

proptest! {
    #[test]
    fn every_decision_and_every_wait_is_that_of_the_governor_crate(
        rate in prop::sample::select(&EXACT[..]),
        burst in 10..200_u32,
        calls in prop::collection::vec((1..250_u32, 0..40_u32), 1..300),
    ) {
        let bucket = Bucket::new(Rate::new(rate, burst).unwrap());
        let (tat, mut elapsed) = (Tat::default(), 0);
        let clock = FakeRelativeClock::default();
        let quota = Quota::per_second(NonZeroU32::new(rate).unwrap())
            .allow_burst(NonZeroU32::new(burst).unwrap());
        let model = RateLimiter::direct_with_clock(quota, clock.clone());
        for (units, gap) in calls {
            // Tenths of a unit's time.
            let gap = Duration::from_secs(1) * gap / (rate * 10);
            clock.advance(gap);
            elapsed += u64::try_from(gap.as_nanos()).unwrap();
            let units = NonZeroU32::new(units).unwrap();
            let ours = bucket.take(&tat, Charge::new(units, 1.0), elapsed);
            // What is more than the burst is charged the burst; `governor` would refuse it for ever.
            let units = units.min(NonZeroU32::new(burst).unwrap());
            let theirs = model.check_n(units).unwrap();
            let theirs = theirs.map_err(|until| until.wait_time_from(clock.now()));
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn what_is_taken_back_was_never_charged(charges in prop::collection::vec(1..60_u32, 1..50)) {
        let bucket = Bucket::new(Rate::new(100, 100).unwrap());
        let (with, without) = (Tat::default(), Tat::default());
        for (units, elapsed) in charges.into_iter().zip((0..).step_by(50_000_000)) {
            let charge = Charge::new(NonZeroU32::new(units).unwrap(), 1.5);
            let taken = bucket.take(&with, charge, elapsed);
            prop_assert_eq!(taken, bucket.take(&without, charge, elapsed));
            if bucket.take(&with, charge, elapsed).is_ok() {
                bucket.refund(&with, charge);
            }
            prop_assert_eq!(Bucket::debt(&with, elapsed), Bucket::debt(&without, elapsed));
        }
    }
}
