//! A bound on the log lines of P2P work: k3s#12127 was a flood of log lines, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::{Event, Metadata};
use tracing_subscriber::layer::{Context, Filter};

/// Lines a second in the long run: a busy hour stays below 20 MB.
const LINES_PER_SECOND: f64 = 5.0;

/// Lines at once: a start with its neighbours fits.
const BURST: f64 = 50.0;

/// Counts of log lines since the start.
#[derive(Debug, Default)]
pub struct LogCounters {
    written: AtomicU64,
    suppressed: AtomicU64,
}

impl LogCounters {
    /// Lines written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Lines left out because there were too many.
    #[must_use]
    pub fn suppressed(&self) -> u64 {
        self.suppressed.load(Ordering::Relaxed)
    }
}

/// Lets everything of our own life pass, and [`LINES_PER_SECOND`] of the rest.
#[derive(Debug)]
pub(crate) struct Limited {
    counters: Arc<LogCounters>,
    bucket: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    lines: f64,
    at: Instant,
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        let since: Duration = now.saturating_duration_since(self.at);
        self.lines = (self.lines + since.as_secs_f64() * LINES_PER_SECOND).min(BURST);
        self.at = now;
        let enough = self.lines >= 1.0;
        if enough {
            self.lines -= 1.0;
        }
        enough
    }
}

impl Limited {
    pub(crate) fn new(counters: Arc<LogCounters>) -> Self {
        Self { counters, bucket: Mutex::new(Bucket { lines: BURST, at: Instant::now() }) }
    }
}

impl<S> Filter<S> for Limited {
    fn enabled(&self, _metadata: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _context: &Context<'_, S>) -> bool {
        let ours = event.metadata().target().starts_with("unring::");
        let passes = ours || self.bucket.lock().take(Instant::now());
        let counter = if passes { &self.counters.written } else { &self.counters.suppressed };
        counter.fetch_add(1, Ordering::Relaxed);
        passes
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted_but_rings_pass() {
        let counters = Arc::new(LogCounters::default());
        let layer = tracing_subscriber::fmt::layer().with_writer(std::io::sink);
        let limited = layer.with_filter(Limited::new(Arc::clone(&counters)));
        let subscriber = tracing_subscriber::registry().with(limited);
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..1000 {
                tracing::info!(target: "libp2p_swarm", "noise");
            }
            for _ in 0..100 {
                tracing::warn!(target: "unring::ring", "a ring");
            }
        });
        assert!((150..=160).contains(&counters.written()), "{counters:?}");
        assert_eq!(counters.written() + counters.suppressed(), 1100);
    }

    #[test]
    fn the_bucket_fills_again() {
        let start = Instant::now();
        let mut bucket = Bucket { lines: 0.0, at: start };
        assert!(!bucket.take(start));
        assert!(bucket.take(start + Duration::from_millis(250)));
        assert!(!bucket.take(start + Duration::from_millis(250)));
    }
}
