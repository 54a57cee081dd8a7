//! What a request is charged, before it is known against which rate.

use std::num::NonZeroU32;

use crate::rate::CELLS_PER_UNIT;

/// Units of cost, each counted as often as the load says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Charge(f64);

impl Charge {
    pub(crate) fn new(units: NonZeroU32, scale: f64) -> Self {
        Self(f64::from(units.get()) * scale)
    }

    /// The same in GCRA cells: at least one.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float cast saturates, NaN becomes 0"
    )]
    pub(crate) fn cells(self) -> NonZeroU32 {
        let cells = self.0 * f64::from(CELLS_PER_UNIT) + 0.5;
        NonZeroU32::new(cells as u32).unwrap_or(NonZeroU32::MIN)
    }
}
