//! K3s's and RKE2's own way to ask for peers. It is answered from this node's book, and never by asking anybody; apart
//! from that, this node asks servers of theirs for its own first peers.

mod files;
mod legacy;
mod renew;
mod rings;
mod serving;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use self::files::K3sFileError;

pub(crate) use self::legacy::Legacy;
pub(crate) use self::renew::{Files, renew};
pub(crate) use self::rings::Rings;
pub(crate) use self::serving::serve;

/// What the rest of the node sees of it.
#[derive(Debug)]
pub(crate) struct K3s {
    /// Where it listens, if it does.
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) rings: Arc<Rings>,
    pub(crate) files: Files,
    pub(crate) counters: Counters,
}

impl K3s {
    pub(crate) fn new(listen: Option<SocketAddr>, rings: Arc<Rings>, files: Files) -> Self {
        Self { listen, rings, files, counters: Counters::default() }
    }
}

/// Counts since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    served: AtomicU64,
    unauthorized: AtomicU64,
    throttled: AtomicU64,
    refused_connections: AtomicU64,
    full: AtomicU64,
    gave_way: AtomicU64,
}

/// [`Counters`] at one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    /// Requests for addresses that were let in.
    pub(crate) served: u64,
    /// Requests without a certificate or token that counts, those for the CA included.
    pub(crate) unauthorized: u64,
    /// Requests put off by the governor.
    pub(crate) throttled: u64,
    /// Connections that the governor closed before their handshake.
    pub(crate) refused_connections: u64,
    /// Connections that were closed because no place was left and nobody gave way.
    pub(crate) full: u64,
    /// Connections that were closed because they asked nothing and another needed the place.
    pub(crate) gave_way: u64,
}

impl Counters {
    pub(crate) fn counts(&self) -> Counts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            served: count(&self.served),
            unauthorized: count(&self.unauthorized),
            throttled: count(&self.throttled),
            refused_connections: count(&self.refused_connections),
            full: count(&self.full),
            gave_way: count(&self.gave_way),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
