//! GCRA buckets over state that is looked up once for all of them.
//!
//! `governor`'s keyed store would be a map of its own for each kind of limit, grows without bound and cannot take a charge
//! back. Here a limiter's key *is* the state, which the map of callers hands out.

use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::RateLimiter;
use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;

use crate::rate::Rate;

/// A theoretical arrival time, in nanoseconds since the limiter was made; 0 is a bucket never used.
#[derive(Debug, Default)]
pub(crate) struct Tat(AtomicU64);

impl Tat {
    fn measure_and_replace<T, E>(
        &self,
        decide: impl Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    ) -> Result<T, E> {
        let mut before = self.0.load(Ordering::Relaxed);
        loop {
            let (outcome, after) = decide(NonZeroU64::new(before).map(|tat| tat.get().into()))?;
            // Relaxed: the word guards no other memory.
            match self.0.compare_exchange_weak(
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

    fn nanos(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is kept for one caller, or for all of them together.
#[derive(Debug, Default)]
pub(crate) struct Account {
    main: Tat,
    critical: Tat,
    /// The last window of time in which this caller asked, plus 1.
    pub(crate) window: AtomicU64,
}

/// A handle on an account. Two are equal if they are the same account.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slot(pub(crate) Arc<Account>);

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Slot {}

impl Hash for Slot {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// Which of an account's buckets a limiter works on.
pub(crate) trait Lane {
    fn tat(account: &Account) -> &Tat;
}

/// Everything, at a cost that the controller scales.
#[derive(Debug)]
pub(crate) struct Main;

/// Health and joins, at their plain cost.
#[derive(Debug)]
pub(crate) struct Critical;

impl Lane for Main {
    fn tat(account: &Account) -> &Tat {
        &account.main
    }
}

impl Lane for Critical {
    fn tat(account: &Account) -> &Tat {
        &account.critical
    }
}

#[derive(Debug)]
struct InSlot<L>(PhantomData<L>);

impl<L: Lane> StateStore for InSlot<L> {
    type Key = Slot;

    fn measure_and_replace<T, F, E>(&self, key: &Slot, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        L::tat(&key.0).measure_and_replace(f)
    }
}

/// One limit, whoever it is applied to.
#[derive(Debug)]
pub(crate) struct Bucket<L: Lane, C: Clock> {
    limiter: RateLimiter<Slot, InSlot<L>, C, NoOpMiddleware<C::Instant>>,
    start: C::Instant,
    rate: Rate,
    /// Nanoseconds that one cell is worth.
    cell: u64,
    burst: NonZeroU32,
}

impl<L: Lane, C: Clock + Clone> Bucket<L, C> {
    pub(crate) fn new(rate: Rate, clock: C) -> Self {
        let quota = rate.quota();
        let start = clock.now();
        Self {
            limiter: RateLimiter::new(quota, InSlot(PhantomData), clock),
            start,
            rate,
            cell: u64::try_from(quota.replenish_interval().as_nanos()).unwrap_or(u64::MAX),
            burst: quota.burst_size(),
        }
    }

    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// Charges `cells`, or as much as the bucket holds if that is less. Refused, it says how long until they are there.
    pub(crate) fn take(&self, slot: &Slot, cells: NonZeroU32) -> Result<(), Duration> {
        match self.limiter.check_key_n(slot, cells.min(self.burst)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(not_until.wait_time_from(self.limiter.clock().now())),
            // Not reached: the charge is within the burst.
            Err(_) => Err(self.burst_time()),
        }
    }

    /// Takes a charge back, for a request that another limit refused.
    pub(crate) fn refund(&self, slot: &Slot, cells: NonZeroU32) {
        let worth = self.cell.saturating_mul(u64::from(cells.min(self.burst).get()));
        let tat = &L::tat(&slot.0).0;
        let _ = tat.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tat| {
            Some(tat.saturating_sub(worth))
        });
    }

    /// How much of the bucket is used when so much time has [`elapsed`](Self::elapsed), in time to win it back.
    pub(crate) fn debt(&self, slot: &Slot, elapsed: Duration) -> Duration {
        Duration::from_nanos(L::tat(&slot.0).nanos()).saturating_sub(elapsed)
    }

    /// The whole bucket, in the same measure.
    pub(crate) fn burst_time(&self) -> Duration {
        Duration::from_nanos(self.cell.saturating_mul(u64::from(self.burst.get())))
    }

    /// Time since the bucket was made.
    pub(crate) fn elapsed(&self) -> Duration {
        self.limiter.clock().now().duration_since(self.start).into()
    }
}
