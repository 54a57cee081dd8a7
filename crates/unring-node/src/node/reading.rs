//! The last stage of the CPU budget: how fast connections are read when refusals alone do not hold it.
//!
//! A refused call, a ping, a health check or a record with a bad signature costs CPU although no governor admits it. All
//! of it has to be read first, so that reading slower holds what refusing cannot: bytes a second of each connection, and
//! TLS handshakes a second, are lowered while measured CPU stays above the budget, and raised again when it does not
//! (additive increase, multiplicative decrease, as in RFC 5681).

use std::num::NonZeroU32;
use std::time::Duration;

/// Above this multiple of the budget, refusing has not been enough.
const OVER: f64 = 1.5;

/// How long it has to stay above before reading slows down: the governor's own control settles in less.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where reading starts to slow down: far above what an honest node sends.
const FIRST_RATE: u32 = 256 * 1024;

/// Never slower: a request with a record takes half a second, and a burst passes at once.
const LEAST_RATE: u32 = 2 * 1024;

/// Above this it is as good as unlimited.
const FREE_RATE: u32 = 1024 * 1024;

/// What is added a second when CPU is below the budget, as a share of the rate.
const RECOVERY: f64 = 0.5;

/// TLS handshakes a second while reading is slowed down: about 1 % of a core.
const HANDSHAKES: u32 = 20;

/// Decides how fast connections are read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    rate: Option<u32>,
    over_for: Duration,
}

impl Reading {
    /// Takes in CPU measured over the last `dt` and the budget, both as shares of one core.
    pub(super) fn update(&mut self, measured: Option<f64>, budget: f64, dt: Duration) {
        // Blind, nothing is changed: the governor has its own answer to that.
        let Some(measured) = measured else { return };
        if measured > budget * OVER {
            self.over_for += dt;
            if self.over_for >= PATIENCE {
                self.over_for = Duration::ZERO;
                self.rate = Some(self.rate.map_or(FIRST_RATE, |rate| (rate / 4).max(LEAST_RATE)));
            }
            return;
        }
        self.over_for = Duration::ZERO;
        if measured > budget {
            return;
        }
        if let Some(rate) = self.rate {
            let added = f64::from(rate) * RECOVERY * dt.as_secs_f64();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "below FREE_RATE"
            )]
            let raised = rate.saturating_add((added as u32).max(1));
            self.rate = (raised < FREE_RATE).then_some(raised);
        }
    }

    /// Bytes a second of each connection; none is unlimited.
    pub(super) fn rate(&self) -> Option<NonZeroU32> {
        self.rate.and_then(NonZeroU32::new)
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
        assert_eq!(reading.rate(), NonZeroU32::new(LEAST_RATE));
        assert_eq!(reading.handshakes(), NonZeroU32::new(HANDSHAKES));
        run(&mut reading, 0.01, 30);
        assert_eq!((reading.rate(), reading.handshakes()), (None, None));
    }

    #[test]
    fn what_is_held_stays_held() {
        let mut reading = Reading::default();
        run(&mut reading, 0.7, 3);
        let held = reading.rate();
        run(&mut reading, BUDGET * 1.2, 10);
        assert_eq!(reading.rate(), held);
        reading.update(None, BUDGET, PERIOD);
        assert_eq!(reading.rate(), held);
    }

    /// CPU as the sum of what is admitted anyway and of what bytes cost, up to the whole core.
    #[test]
    fn it_settles_near_the_budget_within_ten_seconds() {
        let mut reading = Reading::default();
        let cpu = |reading: &Reading| {
            let bytes = reading.rate().map_or(4e6, |rate| f64::from(rate.get()) * 4.0);
            (0.005 + bytes * 2e-6).min(1.0)
        };
        for _ in 0..50 {
            let measured = cpu(&reading);
            reading.update(Some(measured), BUDGET, PERIOD);
        }
        for _ in 0..100 {
            let measured = cpu(&reading);
            assert!(measured < BUDGET * 2.0, "{measured}");
            reading.update(Some(measured), BUDGET, PERIOD);
        }
    }
}
