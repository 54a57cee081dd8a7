//! GCRA buckets, over state that is looked up once for all of them.
//!
//! The rule is that of ITU-T I.371, as `governor` has it, and a property test holds the two together. It is not called for
//! each decision because it reads its clock on every check (a third of what an admission costs, and there are two or three
//! buckets to ask), keeps a map of its own for each limit, and cannot take a charge back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::cost::Charge;
use crate::rate::Rate;

/// A theoretical arrival time: when the bucket is full again, in nanoseconds since the governor was made.
#[derive(Debug, Default)]
pub(crate) struct Tat(AtomicU64);

/// What is kept for one caller, or for all of them together.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Everything, at a cost that the controller scales.
    pub(crate) main: Tat,
    /// Health and joins, at their plain cost.
    pub(crate) critical: Tat,
    /// The last window of time in which this caller asked, plus 1.
    pub(crate) window: AtomicU64,
}

/// One limit, whoever it is applied to. Times are nanoseconds since the governor was made.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    burst: u64,
}

impl Bucket {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, burst: rate.burst_nanos() }
    }

    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// The charge, or as much as the bucket holds if that is less.
    fn at_most_the_burst(&self, charge: Charge) -> u64 {
        charge.nanos(self.rate).min(self.burst)
    }

    /// Charges, or says how long until that much is there.
    pub(crate) fn take(&self, tat: &Tat, charge: Charge, elapsed: u64) -> Result<(), Duration> {
        let charge = self.at_most_the_burst(charge);
        let used = |tat: u64| tat.saturating_sub(elapsed).saturating_add(charge);
        // Relaxed: the word guards no other memory.
        let taken = tat.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tat| {
            let used = used(tat);
            (used <= self.burst).then(|| elapsed.saturating_add(used))
        });
        match taken {
            Ok(_) => Ok(()),
            Err(tat) => Err(Duration::from_nanos(used(tat) - self.burst)),
        }
    }

    /// Takes a charge back, for a request that another limit refused.
    pub(crate) fn refund(&self, tat: &Tat, charge: Charge) {
        let charge = self.at_most_the_burst(charge);
        let _ = tat.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tat| {
            Some(tat.saturating_sub(charge))
        });
    }

    /// How much of the bucket is used, in the time that it takes to win it back.
    pub(crate) fn debt(tat: &Tat, elapsed: u64) -> Duration {
        Duration::from_nanos(tat.0.load(Ordering::Relaxed).saturating_sub(elapsed))
    }

    /// The whole bucket, in the same measure.
    pub(crate) fn burst_time(&self) -> Duration {
        Duration::from_nanos(self.burst)
    }
}
