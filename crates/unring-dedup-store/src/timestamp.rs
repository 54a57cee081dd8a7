//! The clock that a store is told the time by.

use std::time::{Duration, Instant};

/// A point on a monotonic time line, as a [`DedupStore`](crate::DedupStore) needs it.
///
/// Implemented for [`Duration`] (time since an epoch of the caller's choice), [`Instant`] and [`Millis`]. Not for
/// `SystemTime`: a wall clock that is set back would keep entries for longer than `2T`, one that is set forward forgets them.
///
/// For any other clock, wrap its instant in a type of your own. For points up to 292 years after the epoch,
/// `epoch.plus_nanos(point.nanos_since(epoch))` has to be `point` again.
///
/// ```
/// use unring_dedup_store::Timestamp;
///
/// /// Ticks of a simulation, 10 ms each.
/// #[derive(Clone, Copy, Default)]
/// struct Tick(u32);
///
/// impl Timestamp for Tick {
///     fn nanos_since(self, epoch: Self) -> u64 {
///         u64::from(self.0.saturating_sub(epoch.0)) * 10_000_000
///     }
///
///     fn plus_nanos(self, nanos: u64) -> Self {
///         Tick(self.0.saturating_add(u32::try_from(nanos / 10_000_000).unwrap_or(u32::MAX)))
///     }
/// }
/// ```
pub trait Timestamp: Copy {
    /// Nanoseconds from `epoch` to this point: 0 if it is earlier, [`u64::MAX`] if there are more.
    fn nanos_since(self, epoch: Self) -> u64;

    /// The point so many nanoseconds later, or the last one that there is.
    #[must_use]
    fn plus_nanos(self, nanos: u64) -> Self;
}

impl Timestamp for Duration {
    fn nanos_since(self, epoch: Self) -> u64 {
        let since = self.saturating_sub(epoch);
        // Not by way of `as_nanos`, whose 128 bits cost a few nanoseconds in every call.
        since
            .as_secs()
            .saturating_mul(1_000_000_000)
            .saturating_add(u64::from(since.subsec_nanos()))
    }

    fn plus_nanos(self, nanos: u64) -> Self {
        self.saturating_add(Duration::from_nanos(nanos))
    }
}

impl Timestamp for Instant {
    fn nanos_since(self, epoch: Self) -> u64 {
        self.saturating_duration_since(epoch).nanos_since(Duration::ZERO)
    }

    fn plus_nanos(self, nanos: u64) -> Self {
        self.checked_add(Duration::from_nanos(nanos)).unwrap_or(self)
    }
}

/// Whole milliseconds since an epoch of the caller's choice: for event loops and simulators that count them in a `u64`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Timestamp for Millis {
    fn nanos_since(self, epoch: Self) -> u64 {
        self.0.saturating_sub(epoch.0).saturating_mul(1_000_000)
    }

    fn plus_nanos(self, nanos: u64) -> Self {
        Millis(self.0.saturating_add(nanos / 1_000_000))
    }
}
