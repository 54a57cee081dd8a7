//! The configuration: file, environment, command line, and the typed values that they add up to.

mod bootstrap;
mod defaults;
mod dht;
mod error;
mod k3s;
mod keys;
mod read;
mod settings;
mod source;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use unring_peer::{GrpcUrl, JoinToken, PeerAddress, PeerLists};
use unring_rate_governor::CpuBudget;

pub use self::bootstrap::{Bootstrap, DnsName};
pub use self::dht::Dht;
pub(crate) use self::dht::MAX_KEY_BYTES;
pub use self::error::ConfigError;
pub(crate) use self::error::TOKEN_VARIABLE;
pub use self::k3s::K3s;
pub use self::keys::{KEYS, Key};
pub use self::settings::Settings;
pub use self::source::Source;

/// What a node is told at its start. Every value has been checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// What people call it.
    pub name: String,
    /// Where its identity and its database are.
    pub data_dir: PathBuf,
    /// The nodes that it joins.
    pub upstreams: Vec<GrpcUrl>,
    /// Whether plaintext is allowed beyond loopback.
    pub insecure: bool,
    /// Failure domain; empty when unknown.
    pub zone: String,
    /// Where it listens.
    pub listen: Listen,
    /// Where others reach it.
    pub advertise: Advertise,
    /// Where its first peer comes from, beside `upstreams`.
    pub bootstrap: Bootstrap,
    /// What it may use.
    pub limits: Limits,
    /// How long things take.
    pub timing: Timing,
    /// What it has to do with K3s and RKE2.
    pub k3s: K3s,
    /// How it takes part in the DHT.
    pub dht: Dht,
    /// What it writes.
    pub log: Log,
    /// Who belongs to its cluster.
    pub security: Security,
}

/// Where a node listens.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The gRPC service.
    pub grpc: SocketAddr,
    /// Whether gRPC is served without TLS.
    pub grpc_plaintext: bool,
    /// libp2p, `/ip4|ip6/ADDRESS/tcp/PORT`; port 0 takes a free one.
    pub libp2p: Vec<SocketAddr>,
    /// Metrics and health, in plain HTTP.
    pub admin: SocketAddr,
}

/// Where others reach a node; what is not set is derived from where it listens.
#[derive(Clone, Debug, Default)]
pub struct Advertise {
    /// The gRPC service.
    pub grpc: Option<GrpcUrl>,
    /// libp2p.
    pub libp2p: Vec<PeerAddress>,
}

/// What a node may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// CPU of P2P work.
    pub cpu_budget: CpuBudget,
    /// Whether all of it is used even when the machine is short of CPU.
    pub ignore_machine_pressure: bool,
    /// Requests in flight to one upstream.
    pub slots_per_upstream: NonZeroUsize,
    /// Nodes whose records are kept.
    pub book_capacity: NonZeroUsize,
    /// libp2p connections.
    pub max_connections: u32,
    /// Inbound gRPC connections.
    pub max_grpc_connections: usize,
    /// Requests a second of all callers together.
    pub requests_per_second: NonZeroU32,
}

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a record of this node is valid.
    pub record_ttl: Duration,
    /// Time given to an upstream.
    pub request_timeout: Duration,
    /// Time that open requests get when the process is stopped.
    pub drain_deadline: Duration,
}

/// Who belongs to a node's cluster. Nothing of a token is in its `Debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// A file with the join token.
    pub token_file: Option<PathBuf>,
    /// The join tokens themselves, from the environment, the one in use first; without a file.
    pub tokens: Vec<JoinToken>,
    /// How long a join token is accepted after another one took its place.
    pub token_overlap: Duration,
    /// Peer ids that are let in or kept out.
    pub lists: PeerLists,
    /// Files of the cluster's authority, where it has to speak for every node.
    pub tls: Option<ClusterFiles>,
}

/// Files of a cluster's authority, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFiles {
    /// The authorities.
    pub authorities: PathBuf,
    /// A certificate by one of them.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// What a node writes to its log.
#[derive(Clone, Debug)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// Which lines: a level or a tracing filter.
    pub level: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}
