//! How long to wait before an upstream is tried again.

use std::time::Duration;

use rand::Rng;

/// First and longest pause while no peer is connected or one was just lost: a node without peers is in a hurry.
const HURRIED: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(10));

/// First and longest pause otherwise (RFC 9520 section 3.2: failures are cached 1 s to 5 min).
const CALM: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5 * 60));

/// The pause that failures in a row earn: doubling, with jitter, up to a maximum. It goes on from where it was when the
/// hurry ends: failures that took a moment each do not add up to a pause of many seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    /// Before jitter; zero after a success.
    last: Duration,
}

impl Backoff {
    /// Counts a failure; how long to wait now.
    pub(crate) fn fail(&mut self, hurried: bool, rng: &mut impl Rng) -> Duration {
        let (first, longest) = if hurried { HURRIED } else { CALM };
        self.last = self.last.saturating_mul(2).clamp(first, longest);
        jitter(self.last, rng)
    }

    /// Counts a success.
    pub(crate) fn succeed(&mut self) {
        self.last = Duration::ZERO;
    }
}

/// Between three quarters of `pause` and all of it, so that nodes that failed together do not come back together.
pub(crate) fn jitter(pause: Duration, rng: &mut impl Rng) -> Duration {
    pause.mul_f64(rng.random_range(0.75..=1.0))
}

/// Between two fifths of `pause` and all of it: enough to get nodes out of step that look at the same load balancer,
/// which would otherwise show each of them the same node every time.
pub(crate) fn out_of_step(pause: Duration, rng: &mut impl Rng) -> Duration {
    pause.mul_f64(rng.random_range(0.4..=1.0))
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    fn pauses(hurried: bool) -> Vec<Duration> {
        let (mut backoff, mut rng) = (Backoff::default(), StdRng::seed_from_u64(1));
        (0..40).map(|_| backoff.fail(hurried, &mut rng)).collect()
    }

    #[test]
    fn pauses_double_within_their_bounds() {
        for (hurried, (first, longest)) in [(true, HURRIED), (false, CALM)] {
            let pauses = pauses(hurried);
            assert!(pauses[0] >= first.mul_f64(0.75) && pauses[0] <= first, "{pauses:?}");
            assert!(pauses[3] > pauses[0].mul_f64(5.9), "{pauses:?}");
            assert!(pauses.iter().all(|pause| *pause <= longest), "{pauses:?}");
            assert!(pauses[39] >= longest.mul_f64(0.75), "{pauses:?}");
        }
    }

    #[test]
    fn a_hurry_that_ends_does_not_leave_a_long_pause() {
        let (mut backoff, mut rng) = (Backoff::default(), StdRng::seed_from_u64(1));
        for _ in 0..4 {
            backoff.fail(true, &mut rng);
        }
        assert!(backoff.fail(false, &mut rng) <= CALM.0);
        for _ in 0..9 {
            backoff.fail(false, &mut rng);
        }
        assert!(backoff.fail(true, &mut rng) <= HURRIED.1);
    }

    #[test]
    fn a_success_starts_over() {
        let (mut backoff, mut rng) = (Backoff::default(), StdRng::seed_from_u64(1));
        for _ in 0..9 {
            backoff.fail(false, &mut rng);
        }
        backoff.succeed();
        assert!(backoff.fail(false, &mut rng) <= CALM.0);
    }
}
