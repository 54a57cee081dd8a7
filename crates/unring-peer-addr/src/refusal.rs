//! Why a call is refused.

use std::time::Duration;

use thiserror::Error;
use unring_exchange::InvalidTrace;
use unring_peer::NotAMember;

use crate::{InvalidMessage, Unauthenticated};

/// Why a call is refused, with the numbers. A ring is never a reason.
#[derive(Debug, Error)]
pub enum Refusal {
    /// The trace breaks a rule of the protocol.
    #[error("the trace is refused")]
    Trace(#[from] InvalidTrace),
    /// The message cannot be read.
    #[error("the message is refused")]
    Message(#[from] InvalidMessage),
    /// The caller is not known.
    #[error("the caller is not authenticated")]
    Unauthenticated(#[from] Unauthenticated),
    /// The caller does not belong to the cluster.
    #[error("the caller does not belong to this cluster")]
    NotAMember(#[from] NotAMember),
    /// More requests than a rate limit allows.
    #[error(
        "rate limit {limit:?} of {rate_per_second:.1} requests a second is used up: ask again in {retry_after:?}"
    )]
    RateLimited {
        /// Which limit.
        limit: &'static str,
        /// When asking again is worth it.
        retry_after: Duration,
        /// The limit's rate as it is now.
        rate_per_second: f64,
    },
    /// More calls at once than this server takes; none waits for another to end.
    #[error("{limit} calls are being answered, which is all at once: ask again in {retry_after:?}")]
    Busy {
        /// How many at once.
        limit: usize,
        /// When asking again is worth it.
        retry_after: Duration,
    },
    /// More open streams than allowed.
    #[error(
        "{limit} streams are open, more are not allowed: poll ListPeers, or try again in {retry_after:?}"
    )]
    TooManyStreams {
        /// How many may be open.
        limit: usize,
        /// When opening one is worth it.
        retry_after: Duration,
    },
    /// The caller reads its stream more slowly than records change.
    #[error(
        "the stream fell {behind} records behind and is closed: open it again in {retry_after:?}"
    )]
    SlowConsumer {
        /// Records that were waiting for it.
        behind: usize,
        /// When opening it again is worth it.
        retry_after: Duration,
    },
    /// The caller sent heartbeats on its stream, and then none.
    #[error(
        "nothing came on the stream for {after:?}, so it is closed: open it again in {retry_after:?}"
    )]
    SilentCaller {
        /// For how long.
        after: Duration,
        /// When opening it again is worth it.
        retry_after: Duration,
    },
    /// The server is being stopped.
    #[error("this node is shutting down: ask another, or again in {retry_after:?}")]
    Draining {
        /// When it may be back.
        retry_after: Duration,
    },
    /// The time that the caller gave is over.
    #[error("no answer within {budget:?}: give the call more time")]
    DeadlineExceeded {
        /// The time it gave, as capped by the server.
        budget: Duration,
    },
}
