//! What an engine is told of the time.

use std::time::Duration;

use unring_peer::UnixMillis;

/// The time of an event, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic, since an epoch of the process: what intervals are measured in.
    pub mono: Duration,
    /// The wall clock: what signed times are compared with.
    pub unix: UnixMillis,
}
