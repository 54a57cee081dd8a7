//! `governor`'s GCRA, over state that is looked up once for all of a caller's buckets.
//!
//! Its own keyed stores are a map for each limit, grow without bound and cannot take a charge back; and it reads the clock at
//! every check, of which an admission makes two or three, at a third of its cost each. So a limiter's key *is* the state
//! here, which the table of callers hands out, and its clock says what it was told.

use std::hash::{Hash, Hasher};
use std::num::{NonZeroU32, NonZeroU64};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::RateLimiter;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;

use crate::cost::Charge;
use crate::rate::Rate;

/// A theoretical arrival time: when the bucket is full again, in nanoseconds since the governor was made; 0 is a bucket
/// never used. As a key it is itself and no other.
#[derive(Debug, Default)]
pub(crate) struct Tat(AtomicU64);

impl PartialEq for Tat {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self, other)
    }
}

impl Eq for Tat {}

impl Hash for Tat {
    fn hash<H: Hasher>(&self, state: &mut H) {
        ptr::from_ref(self).hash(state);
    }
}

/// `governor` asks it of keys, for stores that keep them. Nothing here does.
impl Clone for Tat {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

/// The store of all states, each of which is in its key.
#[derive(Debug)]
struct InKey;

impl StateStore for InKey {
    type Key = Tat;

    fn measure_and_replace<T, F, E>(&self, key: &Tat, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut before = key.0.load(Ordering::Relaxed);
        loop {
            let (outcome, after) = decide(NonZeroU64::new(before).map(|tat| tat.get().into()))?;
            // Relaxed: the word guards no other memory.
            match key.0.compare_exchange_weak(
                before,
                after.into(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(outcome),
                Err(changed) => before = changed,
            }
        }
    }
}

/// The time since the governor was made, as it was read for the decision at hand. Where two threads decide at once, one
/// may decide at the other's time, which is the same but for the nanoseconds between two lines.
#[derive(Debug, Clone, Default)]
struct Told(Arc<AtomicU64>);

impl Told {
    fn tell(&self, elapsed: u64) {
        // Never back, and a word that others read is written only when it changes.
        if self.0.load(Ordering::Relaxed) < elapsed {
            self.0.store(elapsed, Ordering::Relaxed);
        }
    }
}

impl Clock for Told {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.load(Ordering::Relaxed).into()
    }
}

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
    limiter: RateLimiter<Tat, InKey, Told, NoOpMiddleware<Nanos>>,
    told: Told,
    rate: Rate,
    /// Nanoseconds that one cell is worth.
    cell: u64,
    burst: NonZeroU32,
}

impl Bucket {
    pub(crate) fn new(rate: Rate) -> Self {
        let (quota, told) = (rate.quota(), Told::default());
        Self {
            limiter: RateLimiter::new(quota, InKey, told.clone()),
            told,
            rate,
            cell: u64::try_from(quota.replenish_interval().as_nanos()).unwrap_or(u64::MAX),
            burst: quota.burst_size(),
        }
    }

    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// The charge, or as much as the bucket holds if that is less: GCRA would refuse it for ever.
    fn at_most_the_burst(&self, charge: Charge) -> NonZeroU32 {
        charge.cells().min(self.burst)
    }

    /// Charges, or says how long until that much is there.
    pub(crate) fn take(&self, tat: &Tat, charge: Charge, elapsed: u64) -> Result<(), Duration> {
        self.told.tell(elapsed);
        match self.limiter.check_key_n(tat, self.at_most_the_burst(charge)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(not_until.wait_time_from(elapsed.into())),
            // Not reached: the charge is within the burst.
            Err(_) => Err(self.burst_time()),
        }
    }

    /// Takes a charge back, for a request that another limit refused.
    pub(crate) fn refund(&self, tat: &Tat, charge: Charge) {
        let worth = self.cell.saturating_mul(u64::from(self.at_most_the_burst(charge).get()));
        let _ = tat.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tat| {
            Some(tat.saturating_sub(worth))
        });
    }

    /// How much of the bucket is used, in the time that it takes to win it back.
    pub(crate) fn debt(tat: &Tat, elapsed: u64) -> Duration {
        Duration::from_nanos(tat.0.load(Ordering::Relaxed).saturating_sub(elapsed))
    }

    /// The whole bucket, in the same measure.
    pub(crate) fn burst_time(&self) -> Duration {
        Duration::from_nanos(self.cell.saturating_mul(u64::from(self.burst.get())))
    }
}
