//! What a request is to the governor, and what the governor says to it.

use std::fmt;
use std::time::Duration;

/// How much a request matters when there is not enough for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Priority {
    /// Health checks and joins: a tenth of the normal rate is theirs alone, at plain cost whatever the load; beyond that they
    /// are as [`Exchange`](Self::Exchange).
    Critical,
    /// Exchange of peer addresses.
    Exchange,
    /// Anything that can wait: measurements, traces. Admitted only while the total is at most half used.
    Probe,
}

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use]
pub enum Decision {
    /// Do what it asks for. Its cost is charged.
    Admitted,
    /// Do what costs one unit (answer from what is at hand) and say that it was degraded. One unit is charged.
    Degraded(Limited),
    /// Do nothing and say when to come back. Nothing is charged.
    Refused(Limited),
}

/// Which limit was met, what it allows now, and when to try again.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "{limit} limit of {rate_per_second:.1} units a second reached, retry after {retry_after:?}"
)]
pub struct Limited {
    /// The limit that was met.
    pub limit: WhichLimit,
    /// Time until the whole request would pass if nobody else asked meanwhile and the load stayed; whole milliseconds, at
    /// least 1. Callers refused together should add jitter of their own.
    pub retry_after: Duration,
    /// What the limit allows at the present load, in units of cost per second.
    pub rate_per_second: f64,
}

/// A limit of the governor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WhichLimit {
    /// What this caller may use.
    Caller,
    /// What all callers that came when the table of callers was full may use together.
    EveryoneElse,
    /// What all callers may use together.
    Total,
}

impl fmt::Display for WhichLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caller => "caller's",
            Self::EveryoneElse => "everyone else's",
            Self::Total => "total",
        })
    }
}
