//! What a request is charged, before it is known against which rate.

use std::num::NonZeroU32;

use crate::rate::Rate;

/// Units of cost, each counted as often as the load says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Charge(f64);

impl Charge {
    pub(crate) fn new(units: NonZeroU32, scale: f64) -> Self {
        Self(f64::from(units.get()) * scale)
    }

    /// The time in which `rate` brings as much, in nanoseconds: at least one.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast saturates, NaN becomes 0"
    )]
    pub(crate) fn nanos(self, rate: Rate) -> u64 {
        ((self.0 * rate.unit_nanos() + 0.5) as u64).max(1)
    }
}
