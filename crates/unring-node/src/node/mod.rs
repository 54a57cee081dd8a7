//! A node from start to drain.

mod build;
mod control;
pub(crate) mod dht;
mod error;
mod libp2p;
mod machine;
mod memory;
mod named_keys;
mod reading;
mod reload;
mod run;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

use std::time::Duration;

use tokio::runtime::Runtime;
use unring_peer::PeerId;
use unring_peer_addr::{AcceptCounters, Pressure};
use unring_rate_governor::{CpuMeter, Governor};

pub use self::dht::NetworkKeyError;
pub use self::error::BuildError;
pub use self::reload::Reload;
pub use self::run::PartEnded;

use self::build::Bound;
use crate::addresses::Advertised;
use crate::config::Config;
use crate::exchange::{CallerKey, Exchange};
use crate::k3s::K3s;
use crate::log::LogCounters;
use crate::security::Admittance;
use crate::sources::{Configured, Sources};

/// A node whose addresses are bound and whose parts are ready; [`Node::run`] starts it.
#[derive(Debug)]
pub struct Node {
    parts: Arc<Parts>,
    bound: Bound,
    runtime: P2pRuntime,
}

/// The runtime of P2P work. Dropped, it lets go of its threads without waiting, so that a node can be dropped anywhere.
#[derive(Debug)]
struct P2pRuntime(Option<Runtime>);

impl Drop for P2pRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// What the node's tasks and its status page share.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) me: PeerId,
    pub(crate) grpc: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) advertised: Advertised,
    pub(crate) exchange: Exchange,
    pub(crate) network: unring_routing_kad::Handle,
    pub(crate) sources: Sources,
    pub(crate) bootstrap: Configured,
    /// `None`: it takes no part in the DHT.
    pub(crate) router: Option<Arc<unring_routing_kad::KadRouter>>,
    pub(crate) named_keys: named_keys::NamedKeys,
    /// Where `/id` is served, if it is.
    pub(crate) id: Option<SocketAddr>,
    pub(crate) governor: Arc<Governor<CallerKey>>,
    pub(crate) meter: Arc<CpuMeter>,
    pub(crate) security: Admittance,
    pub(crate) throttled: Arc<AtomicU64>,
    pub(crate) accepted: Arc<AcceptCounters>,
    pub(crate) pressure: Arc<Pressure>,
    pub(crate) log: Arc<LogCounters>,
    pub(crate) level: control::Level,
    pub(crate) draining: AtomicBool,
    /// When there was a connection for the first time, since the start.
    pub(crate) first_connected: OnceLock<Duration>,
    /// Runs on the P2P runtime: whether it still answers.
    pub(crate) p2p: tokio::runtime::Handle,
    pub(crate) k3s: K3s,
}

impl Node {
    /// This node's peer id.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.parts.me
    }

    /// Where the gRPC service listens.
    #[must_use]
    pub fn grpc_address(&self) -> SocketAddr {
        self.parts.grpc
    }

    /// Where `/v1-k3s/p2p` is served, if it is.
    #[must_use]
    pub fn k3s_address(&self) -> Option<SocketAddr> {
        self.parts.k3s.listen
    }

    /// Where metrics and health are served.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.parts.admin
    }
}
