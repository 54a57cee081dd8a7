//! The control loop: measured CPU in, cost of requests out.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use unring_rate_governor::CONTROL_PERIOD;

use super::Parts;
use super::reading::Reading;
use crate::log::NODE;

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
    loop {
        ticks.tick().await;
        let now = parts.exchange.now().mono;
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
