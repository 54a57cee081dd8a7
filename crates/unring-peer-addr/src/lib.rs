#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod accept;
mod activity;
mod answer;
mod body;
mod caller;
mod client;
mod codec;
mod config;
mod connect;
mod convert;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod guard;
mod handler;
pub mod limits;
pub mod pb;
mod pressure;
mod refusal;
mod remote;
mod server;
mod service;
mod status;
mod tls;
mod wire;

#[cfg(test)]
mod tests;

pub use self::accept::{
    AcceptCounters, AcceptCounts, AcceptLimits, DEFAULT_HANDSHAKE_TIMEOUT, DEFAULT_MAX_CONNECTIONS,
    DEFAULT_MAX_CONNECTIONS_PER_IP, DEFAULT_MAX_HANDSHAKES, DEFAULT_MAX_HANDSHAKES_PER_IP,
    Incoming, ServerIo,
};
pub use self::activity::Accepted;
pub use self::caller::{Caller, ConnectInfo, MAX_PROOF_AGE, Transport, Unauthenticated, WithInfo};
pub use self::client::{CallError, Client};
pub use self::config::{
    DEFAULT_BUDGET, DEFAULT_DRAIN, DEFAULT_FIRST_CALL_TIMEOUT, DEFAULT_IDLE_TIMEOUT,
    DEFAULT_KEEPALIVE_INTERVAL, DEFAULT_KEEPALIVE_TIMEOUT, DEFAULT_MAX_BUDGET,
    DEFAULT_MAX_IN_FLIGHT, DEFAULT_MAX_STREAMS_PER_CONNECTION, DEFAULT_MAX_WATCH_STREAMS,
    DEFAULT_RETRY_AFTER, DEFAULT_UNREAD_TIMEOUT, ServerConfig,
};
pub use self::connect::{
    CONNECT_TIMEOUT, ConnectError, Connection, Connector, MAX_ADDRESSES_TRIED, PlainConnector,
    RESOLVE_TIMEOUT, TlsConnector, UrlConnector, probe,
};
pub use self::convert::{InvalidMessage, RemoteRing, RemoteTopology};
pub use self::guard::{Guard, GuardCounts};
pub use self::handler::{Handler, Reply, WatchBatch, WatchOpen, WatchUpdate};
pub use self::pressure::Pressure;
pub use self::refusal::Refusal;
pub use self::remote::{OutboundOpen, OutboundUpdate, RemoteBatch};
pub use self::server::{ServeError, serve};
pub use self::status::ERROR_DOMAIN;
pub use self::tls::{
    ClusterTls, InvalidCertificate, InvalidClusterTls, TlsError, TlsIdentity, TlsSwitch,
};
pub use self::wire::ClientIo;
