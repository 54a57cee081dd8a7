//! The control loop: measured CPU in, cost of requests out.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use unring_rate_governor::CONTROL_PERIOD;

use super::Parts;

/// How often accounts of callers that went away are cleared.
const SWEEP: Duration = Duration::from_secs(10);

/// How the budget stands, for the status page.
#[derive(Debug, Default)]
pub(crate) struct Level {
    state: AtomicU8,
    /// CPU share of one core, as the bits of an `f64`, over the last period.
    cpu: AtomicU64,
    floor_wins: AtomicU64,
}

impl Level {
    /// `normal`, `degraded` or `refusing`.
    pub(crate) fn name(&self) -> &'static str {
        match self.state.load(Ordering::Relaxed) {
            0 => "normal",
            1 => "degraded",
            _ => "refusing",
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

/// Holds P2P CPU at the budget, for as long as it is polled.
pub(super) async fn run(parts: &Parts) {
    let mut ticks = interval(CONTROL_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = parts.exchange.now().mono;
    let mut swept = before;
    loop {
        ticks.tick().await;
        let now = parts.exchange.now().mono;
        let measured = parts.meter.sample(now);
        let control = parts.governor.update(measured, now.saturating_sub(before));
        before = now;
        parts.level.cpu.store(measured.unwrap_or(0.0).to_bits(), Ordering::Relaxed);
        let state = match (control.scale > 1.0, control.floor_wins) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => 2,
        };
        parts.level.state.store(state, Ordering::Relaxed);
        parts.level.floor_wins.fetch_add(u64::from(control.floor_wins), Ordering::Relaxed);
        if now.saturating_sub(swept) >= SWEEP {
            swept = now;
            parts.governor.sweep();
        }
    }
}
