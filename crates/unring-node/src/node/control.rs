//! The control loop: measured CPU in, cost of requests out.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use unring_rate_governor::{CONTROL_PERIOD, CpuBudget, LoweredBy};

use super::Parts;
use super::machine::{Held, Watch};
use super::reading::Reading;
use crate::log::NODE;

/// How often accounts of callers that went away are cleared.
const SWEEP: Duration = Duration::from_secs(10);

/// How the budget stands, for the status page.
#[derive(Debug)]
pub(crate) struct Level {
    /// The budget as configured, as the bits of its percentage.
    configured: AtomicU64,
    /// Why a lower one is held.
    lowered_by: AtomicU8,
    /// Share of time in which tasks of this machine wait for a CPU, as the bits of an `f64`; NaN is not known.
    machine_pressure: AtomicU64,
    blind: AtomicBool,
    state: AtomicU8,
    /// CPU share of one core, as the bits of an `f64`, over the last period.
    cpu: AtomicU64,
    floor_wins: AtomicU64,
}

impl Level {
    pub(super) fn new(configured: CpuBudget) -> Self {
        Self {
            configured: AtomicU64::new(configured.percent().to_bits()),
            lowered_by: AtomicU8::new(0),
            machine_pressure: AtomicU64::new(f64::NAN.to_bits()),
            blind: AtomicBool::new(false),
            state: AtomicU8::new(0),
            cpu: AtomicU64::new(0),
            floor_wins: AtomicU64::new(0),
        }
    }

    /// Changes the budget that is held when the machine has CPU to spare.
    pub(super) fn configure(&self, budget: CpuBudget) {
        self.configured.store(budget.percent().to_bits(), Ordering::Relaxed);
    }

    /// The budget that the operator set.
    pub(crate) fn configured(&self) -> CpuBudget {
        let percent = f64::from_bits(self.configured.load(Ordering::Relaxed));
        CpuBudget::from_percent(percent).unwrap_or(CpuBudget::DEFAULT)
    }

    fn set_held(&self, held: Held) {
        let index = LOWERED_BY.iter().position(|cause| *cause == held.lowered_by);
        let index = index.and_then(|index| u8::try_from(index).ok()).unwrap_or(0);
        self.lowered_by.store(index, Ordering::Relaxed);
        let pressure = held.pressure.unwrap_or(f64::NAN);
        self.machine_pressure.store(pressure.to_bits(), Ordering::Relaxed);
    }

    /// Why less than the configured budget is held.
    pub(crate) fn lowered_by(&self) -> LoweredBy {
        let index = usize::from(self.lowered_by.load(Ordering::Relaxed));
        LOWERED_BY.get(index).copied().unwrap_or(LoweredBy::Nothing)
    }

    /// Share of time in which tasks of this machine wait for a CPU, if it is known.
    pub(crate) fn machine_pressure(&self) -> Option<f64> {
        let share = f64::from_bits(self.machine_pressure.load(Ordering::Relaxed));
        share.is_finite().then_some(share)
    }

    /// Whether CPU of P2P work cannot be measured.
    pub(crate) fn is_blind(&self) -> bool {
        self.blind.load(Ordering::Relaxed)
    }

    /// `normal`, `degraded`, `refusing` or `reading_slowly`.
    pub(crate) fn name(&self) -> &'static str {
        match self.state.load(Ordering::Relaxed) {
            0 => "normal",
            1 => "degraded",
            2 => "refusing",
            _ => "reading_slowly",
        }
    }

    /// CPU of the last period in percent of one core.
    pub(crate) fn cpu_percent(&self) -> f64 {
        f64::from_bits(self.cpu.load(Ordering::Relaxed)) * 100.0
    }

    /// Periods in which the floor was admitted although the budget was used up.
    pub(crate) fn floor_wins(&self) -> u64 {
        self.floor_wins.load(Ordering::Relaxed)
    }
}

/// As [`Level`] keeps them.
const LOWERED_BY: [LoweredBy; 4] =
    [LoweredBy::Nothing, LoweredBy::Quota, LoweredBy::Pressure, LoweredBy::Throttling];

/// How often a condition that lasts is warned of.
const WARN_AGAIN: Duration = Duration::from_secs(10 * 60);

/// When a count that should stand still was last warned of.
#[derive(Debug, Default)]
struct Warned {
    count: u64,
    at: Option<Duration>,
}

impl Warned {
    /// Whether `count` has grown and the last warning is long enough ago.
    fn is_due(&mut self, now: Duration, count: u64) -> bool {
        let due = count > self.count && self.at.is_none_or(|at| now >= at + WARN_AGAIN);
        if due {
            self.at = Some(now);
        }
        self.count = count;
        due
    }
}

/// Holds P2P CPU at the budget, for as long as it is polled.
pub(super) async fn run(parts: &Parts) {
    let mut ticks = interval(CONTROL_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = parts.exchange.now().mono;
    let mut swept = before;
    let mut reading = Reading::default();
    let mut full = Warned::default();
    let root = (!parts.config.limits.ignore_machine_pressure).then(|| Path::new("/"));
    let mut machine = Watch::new(root);
    loop {
        ticks.tick().await;
        let now = parts.exchange.now().mono;
        let held = machine.held(parts.level.configured(), now);
        if held.budget != parts.governor.budget() {
            parts.governor.set_budget(held.budget);
        }
        parts.level.set_held(held);
        let measured = parts.meter.sample(now);
        let dt = now.saturating_sub(before);
        before = now;
        let control = parts.governor.update(measured, dt);
        reading.update(measured, parts.governor.budget().share(), dt);
        parts.pressure.set_read_rate(reading.rate());
        parts.pressure.set_accept_rate(reading.handshakes());
        parts.level.cpu.store(measured.unwrap_or(0.0).to_bits(), Ordering::Relaxed);
        let state = match (control.scale > 1.0, control.floor_wins, reading.rate()) {
            (_, _, Some(_)) => 3,
            (false, _, None) => 0,
            (true, false, None) => 1,
            (true, true, None) => 2,
        };
        parts.level.blind.store(control.blind, Ordering::Relaxed);
        parts.level.state.store(state, Ordering::Relaxed);
        parts.level.floor_wins.fetch_add(u64::from(control.floor_wins), Ordering::Relaxed);
        if now.saturating_sub(swept) >= SWEEP {
            swept = now;
            parts.governor.sweep();
            let kept_out = parts.exchange.read(|engine, _| engine.counters().records_full);
            if full.is_due(now, kept_out) {
                tracing::warn!(
                    target: NODE,
                    event = "book_full",
                    records_full = kept_out,
                    peers = parts.exchange.read(|engine, _| engine.peers_known()),
                    "records of other nodes are kept out because their share of the book is full: raise limits.book_capacity, or find out who brings so many"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_grows_is_warned_of_at_most_every_ten_minutes() {
        let mut warned = Warned::default();
        let minute = |minute: u64| Duration::from_secs(60 * minute);
        assert!(!warned.is_due(minute(0), 0));
        assert!(warned.is_due(minute(1), 1));
        assert!(!warned.is_due(minute(2), 2));
        assert!(!warned.is_due(minute(12), 2), "it stands still");
        assert!(warned.is_due(minute(13), 3));
    }
}
