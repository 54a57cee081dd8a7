//! A token bucket whose rate may change between any two looks at it.

use std::time::Duration;

use tokio::time::Instant;

const NANOS: u128 = 1_000_000_000;

/// Tokens that come at a rate and are kept up to a burst; full at first.
#[derive(Debug)]
pub(super) struct Bucket {
    tokens: u64,
    filled_at: Instant,
}

impl Bucket {
    pub(super) fn new(now: Instant) -> Self {
        // Cut to the burst by the first refill.
        Self { tokens: u64::MAX, filled_at: now }
    }

    /// Adds what came since the last refill and says how many tokens there are. `rate` is per second, at least 1.
    pub(super) fn refill(&mut self, now: Instant, rate: u64, burst: u64) -> u64 {
        let elapsed = now.saturating_duration_since(self.filled_at).as_nanos();
        let came = elapsed.saturating_mul(rate.into()) / NANOS;
        let came = u64::try_from(came).unwrap_or(u64::MAX);
        let tokens = self.tokens.saturating_add(came);
        if tokens >= burst {
            self.tokens = burst;
            self.filled_at = now;
        } else {
            // The rest of a token that is on its way is not lost, however often this is called.
            self.tokens = tokens;
            self.filled_at += time_for(came, rate);
        }
        self.tokens
    }

    pub(super) fn take(&mut self, tokens: u64) {
        self.tokens = self.tokens.saturating_sub(tokens);
    }

    /// When there will be that many tokens at this rate, if none is taken.
    pub(super) fn ready_at(&self, tokens: u64, rate: u64) -> Instant {
        self.filled_at + time_for(tokens.saturating_sub(self.tokens), rate)
    }
}

/// Rounded up, so that no token comes early.
fn time_for(tokens: u64, rate: u64) -> Duration {
    let nanos = (u128::from(tokens) * NANOS).div_ceil(rate.max(1).into());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BURST: u64 = 100;

    #[test]
    fn tokens_come_at_the_rate_and_no_more_than_the_burst_is_kept() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        assert_eq!(bucket.refill(start, 10, BURST), BURST);
        bucket.take(BURST);
        assert_eq!(bucket.refill(start, 10, BURST), 0);
        assert_eq!(bucket.refill(start + Duration::from_millis(1550), 10, BURST), 15);
        assert_eq!(bucket.ready_at(16, 10), start + Duration::from_millis(1600));
        assert_eq!(bucket.refill(start + Duration::from_millis(1600), 10, BURST), 16);
        assert_eq!(bucket.refill(start + Duration::from_secs(3600), 10, BURST), BURST);
    }

    #[test]
    fn looking_often_neither_loses_nor_makes_tokens() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        bucket.refill(start, 7, BURST);
        bucket.take(BURST);
        for step in 1..=10_000 {
            bucket.refill(start + Duration::from_millis(step), 7, BURST);
        }
        // Each token may be a nanosecond late.
        bucket.refill(start + Duration::from_nanos(10_000_000_070), 7, BURST);
        assert_eq!(bucket.tokens, 70);
    }

    #[test]
    fn a_rate_that_changes_keeps_within_the_new_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        assert_eq!(bucket.refill(start, 10, BURST), BURST);
        assert_eq!(bucket.refill(start, 1, 10), 10);
        bucket.take(u64::MAX);
        assert_eq!(bucket.ready_at(1, u64::MAX), start + Duration::from_nanos(1));
        let late = start + Duration::from_secs(u64::from(u32::MAX));
        assert_eq!(bucket.refill(late, u64::MAX, BURST), BURST);
    }
}
