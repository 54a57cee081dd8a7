//! How much CPU may be used.

use std::fmt;

/// Smallest budget, in percent of one core. Below it the meter's own reading would be a visible part.
pub const MIN_BUDGET_PERCENT: f64 = 0.5;

/// Largest budget, in percent of one core: peer traffic never needs a second one.
pub const MAX_BUDGET_PERCENT: f64 = 100.0;

/// A share of one core that the metered threads may use on average.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct CpuBudget {
    share: f64,
}

impl CpuBudget {
    /// 5 % of one core: what a node can spare next to its workload without anybody noticing.
    pub const DEFAULT: Self = Self { share: 0.05 };

    /// A budget in percent of one core.
    ///
    /// # Errors
    /// [`InvalidBudget`] when `percent` is not within [`MIN_BUDGET_PERCENT`] and [`MAX_BUDGET_PERCENT`].
    pub fn from_percent(percent: f64) -> Result<Self, InvalidBudget> {
        if (MIN_BUDGET_PERCENT..=MAX_BUDGET_PERCENT).contains(&percent) {
            Ok(Self { share: percent / 100.0 })
        } else {
            Err(InvalidBudget { percent })
        }
    }

    /// CPU seconds per second.
    pub fn share(self) -> f64 {
        self.share
    }

    /// Percent of one core.
    pub fn percent(self) -> f64 {
        self.share * 100.0
    }
}

impl fmt::Display for CpuBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} % of one core", self.percent())
    }
}

/// A budget outside the accepted range, or not a number.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "CPU budget of {percent} % is not within {MIN_BUDGET_PERCENT} and {MAX_BUDGET_PERCENT} % of one core"
)]
pub struct InvalidBudget {
    /// What was asked for.
    pub percent: f64,
}
