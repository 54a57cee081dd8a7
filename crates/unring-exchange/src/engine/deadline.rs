//! How much of its caller's time a node keeps, and what it gives its upstreams.

use std::time::Duration;

use crate::config::{MAX_ANSWER_MARGIN, MIN_CALL_TIMEOUT};

/// How much earlier than its caller gives up a node answers.
fn margin(budget: Duration) -> Duration {
    (budget / 8).min(MAX_ANSWER_MARGIN)
}

/// How long after it came in a request is answered at the latest.
pub(crate) fn answer_within(budget: Duration) -> Duration {
    budget.saturating_sub(margin(budget))
}

/// What an upstream is given of `budget`: its answer must be here before ours is due. None when that is not worth it.
pub(crate) fn call_timeout(budget: Duration) -> Option<Duration> {
    let timeout = answer_within(budget).saturating_sub(margin(budget) / 2);
    (timeout >= MIN_CALL_TIMEOUT).then_some(timeout)
}
