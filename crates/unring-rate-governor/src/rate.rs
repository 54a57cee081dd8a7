//! Normal rates.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::Quota;

use crate::controller::MAX_SCALE;

/// Largest rate and largest burst, in units. GCRA counts whole nanoseconds a cell; beyond this its rounding passes 2 %.
pub const MAX_RATE: u32 = 1_000_000;

/// Smallest burst, in units: at the largest scale one unit costs this much, and a charge can never exceed the burst.
pub const MIN_BURST: u32 = 10;

/// GCRA cells in one unit of cost, so that a scale of 1.1 makes a difference at a cost of 1.
pub(crate) const CELLS_PER_UNIT: u32 = 16;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

const _: () = assert!(MIN_BURST as f64 >= MAX_SCALE);

/// A normal rate: units of cost per second, and how many may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    per_second: NonZeroU32,
    burst: NonZeroU32,
}

/// A rate outside the accepted range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRate {
    /// The rate is 0 or too large.
    #[error("rate of {got} a second is not within 1 and {MAX_RATE}")]
    PerSecond {
        /// What was asked for.
        got: u32,
    },
    /// The burst is too small to charge the dearest request at the largest scale, or too large.
    #[error("burst of {got} is not within {MIN_BURST} and {MAX_RATE}")]
    Burst {
        /// What was asked for.
        got: u32,
    },
}

impl Rate {
    /// A rate of `per_second` units with up to `burst` at once.
    ///
    /// A request dearer than `burst` is charged the whole burst, since GCRA would refuse it for ever; so let `burst` be at
    /// least [`MAX_SCALE`] times the dearest cost, else the scale has less effect on that cost.
    ///
    /// # Errors
    /// [`InvalidRate`] unless `per_second` is within 1 and [`MAX_RATE`] and `burst` within [`MIN_BURST`] and [`MAX_RATE`].
    pub fn new(per_second: u32, burst: u32) -> Result<Self, InvalidRate> {
        match (NonZeroU32::new(per_second), NonZeroU32::new(burst)) {
            (Some(rate), Some(size))
                if per_second <= MAX_RATE && (MIN_BURST..=MAX_RATE).contains(&burst) =>
            {
                Ok(Self { per_second: rate, burst: size })
            }
            (Some(_), _) if per_second <= MAX_RATE => Err(InvalidRate::Burst { got: burst }),
            _ => Err(InvalidRate::PerSecond { got: per_second }),
        }
    }

    /// Units a second.
    pub fn per_second(self) -> u32 {
        self.per_second.get()
    }

    /// Units at once.
    pub fn burst(self) -> u32 {
        self.burst.get()
    }

    /// A tenth of this rate, rounded up, and of its burst, but no less than [`MIN_BURST`].
    pub(crate) fn tenth(self) -> Self {
        let tenth =
            |of: NonZeroU32| NonZeroU32::new(of.get().div_ceil(10)).unwrap_or(NonZeroU32::MIN);
        let smallest = NonZeroU32::new(MIN_BURST).unwrap_or(NonZeroU32::MIN);
        Self { per_second: tenth(self.per_second), burst: tenth(self.burst).max(smallest) }
    }

    /// The same in GCRA cells. The interval is a whole number of nanoseconds, at least 62 within the accepted range.
    pub(crate) fn quota(self) -> Quota {
        let cells = u64::from(self.per_second()) * u64::from(CELLS_PER_UNIT);
        let interval = Duration::from_nanos((NANOS_PER_SECOND / cells).max(1));
        let burst = self.burst.saturating_mul(NonZeroU32::MIN.saturating_add(CELLS_PER_UNIT - 1));
        Quota::with_period(interval).unwrap_or(Quota::per_second(burst)).allow_burst(burst)
    }
}
