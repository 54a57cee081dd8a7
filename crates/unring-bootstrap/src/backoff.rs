//! How long to wait: short and growing while nobody is there, long and even otherwise.

use std::time::Duration;

use rand::Rng;

use crate::limits::{BACKOFF_MAX, BACKOFF_MIN, REFRESH};

/// Between half and all of the doubled wait, within its bounds, so that nodes that start together drift apart.
pub(crate) fn backoff(rng: &mut impl Rng, failures: u32) -> Duration {
    let factor = 2_u32.checked_pow(failures).unwrap_or(u32::MAX);
    let full = BACKOFF_MIN.saturating_mul(factor).min(BACKOFF_MAX);
    rng.random_range((full / 2).max(BACKOFF_MIN)..=full)
}

/// Between nine tenths and all of [`REFRESH`].
pub(crate) fn refresh(rng: &mut impl Rng) -> Duration {
    rng.random_range(REFRESH / 10 * 9..=REFRESH)
}
