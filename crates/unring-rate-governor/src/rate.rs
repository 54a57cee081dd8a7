//! Normal rates.

use std::num::NonZeroU32;

use crate::controller::MAX_SCALE;
use crate::cost::Charge;

/// Largest rate and largest burst, in units. A unit is counted in whole nanoseconds; beyond this their rounding
/// passes a thousandth.
pub const MAX_RATE: u32 = 1_000_000;

/// Smallest burst, in units: at the largest scale one unit costs this much, and a charge can never exceed the burst.
pub const MIN_BURST: u32 = 10;

const NANOS_PER_SECOND: f64 = 1e9;

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

    /// The time in which one unit comes, in nanoseconds: at least 1000 within the accepted range.
    pub(crate) fn unit_nanos(self) -> f64 {
        NANOS_PER_SECOND / f64::from(self.per_second())
    }

    /// The time in which the whole burst comes, in nanoseconds: at most 1e15, which is 11 days.
    pub(crate) fn burst_nanos(self) -> u64 {
        Charge::new(self.burst, 1.0).nanos(self)
    }
}
