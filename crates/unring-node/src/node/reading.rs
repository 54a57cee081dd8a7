//! The last stage of the CPU budget: how fast connections are read when refusals alone do not hold it.
//!
//! A refused call, a ping, a health check or a record with a bad signature costs CPU although no governor admits it. All
//! of it has to be read first, so that reading slower holds what refusing cannot: bytes a second of each connection, and
//! TLS handshakes a second, are lowered while measured CPU stays above the budget, and raised again when it does not.
//!
//! Two controllers on one measurement would wander against each other, one admitting what the other then does not read.
//! So this one aims a little higher than the governor (split range): while it has work to do, the governor sees more than
//! its budget and stays at its floor, and when there is less to do this one lets go first. It is an integral controller on
//! the logarithm of the rate, for the reason that the governor's is.

use std::num::NonZeroU32;
use std::time::Duration;

/// What CPU is held at by reading slowly, as a multiple of the budget.
const AIM: f64 = 1.05;

/// Above this multiple of the budget, refusing has not been enough.
const OVER: f64 = 1.15;

/// How long it has to stay above before reading slows down: most of what the governor can do, it has done by then.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where reading starts to slow down, in bytes a second: some 40 requests of each connection.
const FIRST_RATE: f64 = 16.0 * 1024.0;

/// Never slower: a request with a record takes half a second, and a burst passes at once.
const LEAST_RATE: f64 = 2.0 * 1024.0;

/// Above this it is as good as unlimited.
const FREE_RATE: f64 = 1024.0 * 1024.0;

/// Time constant of the average that is looked at: one period of 200 ms may be off by a fifth at a small budget.
const AVERAGE: f64 = 0.4;

/// Integral gain in 1/s. What connections were allowed before is still read when the rate falls, so slower than the
/// governor's 2.5.
const GAIN: f64 = 1.5;

/// The largest error that counts, either way: a rate falls by half in 0.5 s and doubles in 1.2 s at most.
const MAX_ERROR: (f64, f64) = (-1.0, 0.4);

/// TLS handshakes a second while reading is slowed down: about 1 % of a core.
const HANDSHAKES: u32 = 20;

/// Decides how fast connections are read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    rate: Option<f64>,
    average: Option<f64>,
    over_for: Duration,
}

impl Reading {
    /// Takes in CPU measured over the last `dt` and the budget, both as shares of one core.
    pub(super) fn update(&mut self, measured: Option<f64>, budget: f64, dt: Duration) {
        // Blind, nothing is changed: the governor has its own answer to that.
        let Some(measured) = measured else { return };
        let seconds = dt.as_secs_f64();
        let weight = 1.0 - (-seconds / AVERAGE).exp();
        let average = self.average.map_or(measured, |last| last + weight * (measured - last));
        self.average = Some(average);
        let Some(rate) = self.rate else {
            // A peak that is over still shows in the average.
            let over = average > budget * OVER && measured > budget;
            self.over_for = if over { self.over_for + dt } else { Duration::ZERO };
            if self.over_for >= PATIENCE {
                self.over_for = Duration::ZERO;
                self.rate = Some(FIRST_RATE);
            }
            return;
        };
        // An idle meter reads 0.
        let error = (budget * AIM / average.max(f64::MIN_POSITIVE)).ln();
        let error = error.clamp(MAX_ERROR.0, MAX_ERROR.1);
        let raised = (rate * (GAIN * error * seconds.min(1.0)).exp()).max(LEAST_RATE);
        self.rate = (raised < FREE_RATE).then_some(raised);
    }

    /// Bytes a second of each connection; none is unlimited.
    pub(super) fn rate(&self) -> Option<NonZeroU32> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "below FREE_RATE, and a float cast saturates"
        )]
        self.rate.and_then(|rate| NonZeroU32::new(rate as u32))
    }

    /// TLS handshakes a second of all connections together; none is unlimited.
    pub(super) fn handshakes(&self) -> Option<NonZeroU32> {
        self.rate.and_then(|_| NonZeroU32::new(HANDSHAKES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: f64 = 0.05;
    const PERIOD: Duration = Duration::from_millis(200);

    fn run(reading: &mut Reading, cpu: f64, seconds: u32) {
        for _ in 0..seconds * 5 {
            reading.update(Some(cpu), BUDGET, PERIOD);
        }
    }

    #[test]
    fn a_peak_is_left_to_the_governor() {
        let mut reading = Reading::default();
        for _ in 0..4 {
            reading.update(Some(0.9), BUDGET, PERIOD);
        }
        run(&mut reading, 0.04, 1);
        assert_eq!(reading.rate(), None);
    }

    #[test]
    fn a_flood_that_refusals_do_not_hold_is_read_ever_slower_and_then_freely_again() {
        let mut reading = Reading::default();
        run(&mut reading, 0.7, 2);
        let first = reading.rate().unwrap();
        run(&mut reading, 0.7, 2);
        assert!(reading.rate().unwrap() < first);
        run(&mut reading, 0.7, 60);
        assert_eq!(reading.rate(), NonZeroU32::new(2048));
        assert_eq!(reading.handshakes(), NonZeroU32::new(HANDSHAKES));
        run(&mut reading, 0.01, 30);
        assert_eq!((reading.rate(), reading.handshakes()), (None, None));
    }

    #[test]
    fn a_meter_that_says_nothing_changes_nothing() {
        let mut reading = Reading::default();
        run(&mut reading, 0.7, 3);
        let held = reading.rate();
        reading.update(None, BUDGET, PERIOD);
        assert_eq!(reading.rate(), held);
    }

    /// CPU as the sum of what is admitted anyway and of what bytes cost, up to the whole core. What a connection was
    /// allowed and did not use, up to 8 KiB, it may read at once.
    fn flood(offered_bytes: f64, seconds: usize) -> Vec<f64> {
        let (mut reading, mut allowed, connections) = (Reading::default(), 8_192.0, 16.0);
        let mut seen = Vec::new();
        for _ in 0..seconds * 5 {
            let period = PERIOD.as_secs_f64();
            let wanted = offered_bytes / connections * period;
            let read = match reading.rate() {
                None => wanted,
                Some(rate) => {
                    allowed = f64::min(allowed + f64::from(rate.get()) * period, 8_192.0);
                    let read = wanted.min(allowed);
                    allowed -= read;
                    read
                }
            };
            let cpu = (0.03 + read * connections / period * 0.4e-6).min(1.0);
            seen.push(cpu / BUDGET);
            reading.update(Some(cpu), BUDGET, PERIOD);
        }
        seen
    }

    #[test]
    fn it_settles_at_the_budget_within_eight_seconds() {
        // 1.4, 2, 5, 20 times the budget and a whole core.
        for offered in [100e3, 175e3, 550e3, 2.4e6, 40e6] {
            let seen = flood(offered, 30);
            let settled = &seen[40..];
            let mean = settled.iter().sum::<f64>() / settled.len() as f64;
            assert!((mean - 1.0).abs() < 0.1, "{offered}: {mean}");
            let second = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
            let worst = settled.windows(5).map(second).fold(0.0, f64::max);
            assert!(worst < 1.2, "{offered}: {worst} {seen:.2?}");
        }
    }

    #[test]
    fn what_refusing_holds_is_not_read_slowly() {
        let mut reading = Reading::default();
        for period in 0..500 {
            let noise = if period % 2 == 0 { 1.3 } else { 0.8 };
            reading.update(Some(BUDGET * noise), BUDGET, PERIOD);
        }
        assert_eq!(reading.rate(), None);
    }
}
