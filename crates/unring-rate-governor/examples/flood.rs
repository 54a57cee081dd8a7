//! Sixteen callers ask for ten times what the CPU budget can answer; one honest caller asks twice a second.
//!
//! `cargo run -p unring-rate-governor --example flood`
//!
//! It runs on a fake clock, with a made-up price for each request in place of a meter.

use std::num::NonZeroU32;
use std::time::Duration;

use unring_rate_governor::clock::FakeRelativeClock;
use unring_rate_governor::{
    CONTROL_PERIOD, Config, CpuBudget, DEFAULT_MAX_CALLERS, Decision, Governor, Priority, Rate,
};

/// CPU seconds of an answer and of a refusal.
const ANSWER: f64 = 300e-6;
const REFUSAL: f64 = 2e-6;

#[expect(clippy::print_stdout, reason = "an example talks to its reader")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let clock = FakeRelativeClock::default();
    let config = Config {
        total: Rate::new(1_000, 500)?,
        per_caller: Rate::new(250, 100)?,
        max_callers: DEFAULT_MAX_CALLERS,
        budget: CpuBudget::DEFAULT,
    };
    let governor: Governor<u32, _> = Governor::with_clock(config, clock.clone());
    let ask = |caller| governor.check(&caller, Priority::Exchange, NonZeroU32::MIN);
    println!("second  CPU %  scale  honest caller");
    for second in 1..=10 {
        let (mut cpu, mut used, mut honest) = (0.0, 0.0, Vec::new());
        for millisecond in 1..=1000 {
            clock.advance(Duration::from_millis(1));
            for request in 0..2 {
                used += match ask(1 + (millisecond * 2 + request) % 16) {
                    Decision::Refused(_) => REFUSAL,
                    Decision::Admitted | Decision::Degraded(_) => ANSWER,
                };
            }
            if millisecond % 500 == 0 {
                honest.push(match ask(0) {
                    Decision::Refused(limited) => limited.to_string(),
                    Decision::Admitted | Decision::Degraded(_) => "answered".to_owned(),
                });
            }
            if millisecond % 200 == 0 {
                let _ = governor.update(Some(used / CONTROL_PERIOD.as_secs_f64()), CONTROL_PERIOD);
                cpu += used;
                used = 0.0;
            }
        }
        println!(
            "{second:6}  {:5.2}  {:5.2}  {}",
            cpu * 100.0,
            governor.scale(),
            honest.join(", ")
        );
    }
    // On a timer, since the map of callers gets no smaller by itself.
    clock.advance(Duration::from_secs(5));
    println!("{} callers forgotten", governor.sweep());
    Ok(())
}
