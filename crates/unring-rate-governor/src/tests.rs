mod admission;
mod bucket;
mod closed_loop;
mod controller;
mod fairness;
mod machine;
mod meter;

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use governor::clock::FakeRelativeClock;

use crate::{Config, CpuBudget, Governor, Rate};

/// A cost of one unit: an answer from what is at hand.
const LOCAL: NonZeroU32 = NonZeroU32::MIN;
/// A dear request, which may be degraded.
const RECURSIVE: NonZeroU32 = NonZeroU32::new(4).unwrap();

const MILLISECOND: Duration = Duration::from_millis(1);

fn config() -> Config {
    Config {
        total: Rate::new(500, 500).unwrap(),
        per_caller: Rate::new(100, 100).unwrap(),
        max_callers: NonZeroUsize::new(64).unwrap(),
        budget: CpuBudget::DEFAULT,
    }
}

fn governor(config: Config) -> (Governor<u32, FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    // Nobody starts at the very moment that a limiter was made.
    let governor = Governor::with_clock(config, clock.clone());
    clock.advance(Duration::from_secs(10));
    (governor, clock)
}

/// Drives the scale to its maximum by measuring far more than the budget.
fn overload(governor: &Governor<u32, FakeRelativeClock>) {
    for _ in 0..50 {
        let _ = governor.update(Some(10.0), crate::CONTROL_PERIOD);
    }
    assert!((governor.scale() - crate::MAX_SCALE).abs() < 1e-9);
}
