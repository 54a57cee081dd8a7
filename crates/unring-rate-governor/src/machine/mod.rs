//! How much of the CPU budget is used when the machine, or the container, is short of CPU.
//!
//! The budget is what a node may take when there is CPU to spare. When other work waits for it, peer traffic gives way:
//!
//! - **Quota.** In a control group with a quota of less than one core, the budget is a share of that quota instead of a core.
//! - **Shortage.** The machine is short of CPU while tasks wait for it 40 % of the time (`some avg10` of
//!   `/proc/pressure/cpu`), or while the node's own control group is throttled 5 % of the time. Then the budget is halved
//!   every 5 s, down to a quarter. Short again is over only below 20 % and 1 %, so that it does not flicker; from then on the
//!   budget is doubled every 20 s.
//! - Never below [`MIN_BUDGET_PERCENT`](crate::MIN_BUDGET_PERCENT), and never above what was configured.
//!
//! Neither kernel document names a threshold; these are choices. Two tasks that share one core press it at 100 %, and a
//! machine that is busy yet has a core to spare stays below 20 %.

mod files;

pub use self::files::{
    InvalidMachineFile, parse_cpu_max, parse_cpu_pressure, parse_own_cgroup, parse_throttled,
};

use std::time::Duration;

use crate::budget::{CpuBudget, MIN_BUDGET_PERCENT};

/// The machine is short of CPU from this share of time on in which a task waits for it.
pub const PRESSURE_HIGH: f64 = 0.4;

/// It no longer is below this one.
pub const PRESSURE_LOW: f64 = 0.2;

/// The same for the share of time in which the own control group is throttled.
pub const THROTTLED_HIGH: f64 = 0.05;

/// See [`PRESSURE_LOW`].
pub const THROTTLED_LOW: f64 = 0.01;

/// The smallest part of the budget that is left: discovery goes on.
pub const LEAST_PART: f64 = 0.25;

/// While the machine is short, the part halves in this time.
pub const HALVED_IN: Duration = Duration::from_secs(5);

/// While it is not, the part doubles in this time.
pub const DOUBLED_IN: Duration = Duration::from_secs(20);

/// What is known of the machine now. What could not be read is `None` and lowers nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Machine {
    /// See [`parse_cpu_pressure`].
    pub pressure: Option<f64>,
    /// The least quota of the own control group and those above it, in cores.
    pub quota: Option<f64>,
    /// How long they have been throttled, all added up; it only grows.
    pub throttled: Option<Duration>,
}

/// Why the budget that is held is lower than the one that was configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoweredBy {
    /// It is not.
    Nothing,
    /// The control group's quota is less than one core.
    Quota,
    /// Tasks wait for a CPU, or did until just now.
    Pressure,
    /// The control group is throttled, or was until just now.
    Throttling,
}

impl LoweredBy {
    /// A word for metrics and status pages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Quota => "quota",
            Self::Pressure => "pressure",
            Self::Throttling => "throttling",
        }
    }
}

/// Lowers a budget while the machine is short of CPU.
#[derive(Debug, Clone)]
pub struct Yielding {
    /// The part of the budget that is left, from [`LEAST_PART`] to 1.
    part: f64,
    /// Why it was last lowered.
    cause: LoweredBy,
    short: bool,
    throttled_before: Option<Duration>,
    quota: Option<f64>,
}

impl Default for Yielding {
    fn default() -> Self {
        Self::new()
    }
}

impl Yielding {
    /// Of a machine that has CPU to spare.
    pub fn new() -> Self {
        Self {
            part: 1.0,
            cause: LoweredBy::Nothing,
            short: false,
            throttled_before: None,
            quota: None,
        }
    }

    /// Takes in what is known after `dt` more. A second is often enough: the kernel renews its averages every 2 s.
    pub fn update(&mut self, machine: Machine, dt: Duration) {
        self.quota = machine.quota.filter(|cores| cores.is_finite() && *cores >= 0.0);
        let throttled = self.throttled_share(machine.throttled, dt).unwrap_or(0.0);
        // What is not known presses nothing.
        let pressure = machine.pressure.filter(|share| share.is_finite()).unwrap_or(0.0);
        if throttled >= THROTTLED_HIGH {
            (self.short, self.cause) = (true, LoweredBy::Throttling);
        } else if pressure >= PRESSURE_HIGH {
            (self.short, self.cause) = (true, LoweredBy::Pressure);
        } else if throttled < THROTTLED_LOW && pressure < PRESSURE_LOW {
            self.short = false;
        }
        let factor = if self.short {
            (-dt.as_secs_f64() / HALVED_IN.as_secs_f64()).exp2()
        } else {
            (dt.as_secs_f64() / DOUBLED_IN.as_secs_f64()).exp2()
        };
        self.part = (self.part * factor).clamp(LEAST_PART, 1.0);
        // A shortage that begins with this reading has its cause before it has lowered anything.
        if self.part >= 1.0 && !self.short {
            self.cause = LoweredBy::Nothing;
        }
    }

    fn throttled_share(&mut self, throttled: Option<Duration>, dt: Duration) -> Option<f64> {
        let before = std::mem::replace(&mut self.throttled_before, throttled)?;
        // A smaller number is another group's.
        let grown = throttled?.checked_sub(before)?;
        (!dt.is_zero()).then(|| grown.as_secs_f64() / dt.as_secs_f64())
    }

    /// What is left of `configured`.
    pub fn budget(&self, configured: CpuBudget) -> CpuBudget {
        let percent = configured.percent() * self.part * self.cores();
        CpuBudget::from_percent(percent.max(MIN_BUDGET_PERCENT))
            .map_or(configured, |lowered| if lowered < configured { lowered } else { configured })
    }

    /// Cores that the budget is a share of: one, or the quota where that is less.
    fn cores(&self) -> f64 {
        self.quota.map_or(1.0, |quota| quota.min(1.0))
    }

    /// Whether the machine is short of CPU now; if not, the budget is on its way back.
    pub fn is_short(&self) -> bool {
        self.short
    }

    /// Why the budget is lowered, or begins to be. A shortage is named before a quota.
    pub fn lowered_by(&self) -> LoweredBy {
        match self.cause {
            LoweredBy::Nothing if self.cores() < 1.0 => LoweredBy::Quota,
            cause => cause,
        }
    }
}
