//! The port.

use std::sync::Arc;

use thiserror::Error;

use crate::key::Key;
use crate::providers::Providers;

/// Finds who holds content and tells others what this node holds.
///
/// The caller is generic over it: a node has one router, known when it is built, so a `dyn Router` would cost an allocation
/// for each look-up and gain nothing. An implementation writes [`lookup`](Self::lookup) as an `async fn`. What the signatures do
/// not say is in the suite `unring_routing::conformance` (feature `conformance`), which every implementation runs.
pub trait Router: Send + Sync {
    /// Whether look-ups can find anything yet. Never waits.
    fn ready(&self) -> Readiness;

    /// The other nodes that hold `key`, never this one. An empty set: nobody was found.
    ///
    /// Concurrent look-ups of one key are one, and its result serves further ones for some seconds; all get the same set,
    /// which spreads them over its providers. Never call it on behalf of a request of another node: that one would wait for a
    /// request that somebody else started. Safe to drop at any point.
    ///
    /// # Errors
    /// See [`LookupError`].
    fn lookup(&self, key: Key) -> impl Future<Output = Result<Arc<Providers>, LookupError>> + Send;

    /// Tells others, now and again until [`withdraw`](Self::withdraw), that this node holds `keys`. Returns at once. Keys that are
    /// advertised already stay so and need no room.
    ///
    /// # Errors
    /// See [`AdvertiseError`]; none of `keys` is then taken.
    fn advertise(&self, keys: &[Key]) -> Result<(), AdvertiseError>;

    /// Stops advertising `keys`; those that are not advertised do not matter. There is no message that takes back what others
    /// were told: they forget it when its validity ends.
    ///
    /// # Errors
    /// See [`WithdrawError`].
    fn withdraw(&self, keys: &[Key]) -> Result<(), WithdrawError>;
}

/// How far a router has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// There is somebody to reach, and nobody has been reached.
    Starting,
    /// There is nobody to reach: the first node of its network. It works, and finds nothing.
    Alone,
    /// In the network.
    Connected {
        /// Peers that it would ask, at least one.
        peers: usize,
    },
}

impl Readiness {
    /// Whether there is nothing to wait for.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !matches!(self, Self::Starting)
    }
}

/// Why a look-up has no result. Not finding anybody is a result.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum LookupError {
    /// As many keys as may be are looked up at the moment.
    #[error("{limit} keys are being looked up, as many as may be")]
    TooManyKeys {
        /// The limit that was met.
        limit: usize,
    },
    /// As many callers as may wait for this key.
    #[error("{limit} callers wait for this key, as many as may")]
    TooManyCallers {
        /// The limit that was met.
        limit: usize,
    },
    /// Peers are known, and none of them answered in time.
    #[error("none of {asked} peers answered")]
    Unreachable {
        /// How many were asked.
        asked: usize,
    },
    /// The router has ended.
    #[error("the router has ended")]
    Ended,
}

/// Why keys are not advertised.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum AdvertiseError {
    /// They would be more than the configured bound.
    #[error("{new} keys beside {held} would be more than {limit}")]
    TooMany {
        /// Keys given that are not advertised yet.
        new: usize,
        /// Keys advertised already.
        held: usize,
        /// The bound.
        limit: usize,
    },
    /// The router has ended.
    #[error("the router has ended")]
    Ended,
}

/// Why keys could not be withdrawn.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum WithdrawError {
    /// The router has ended, and advertises nothing.
    #[error("the router has ended")]
    Ended,
}
