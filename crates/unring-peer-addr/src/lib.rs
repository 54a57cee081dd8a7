//! The peer address protocol over gRPC: client, server, wire conversions.
#![forbid(unsafe_code)]

mod caller;
mod config;
mod convert;
mod gate;
mod handler;
pub mod limits;
pub mod pb;
mod refusal;
mod remote;
mod server;
mod service;
mod status;

pub use self::caller::{Caller, ConnectInfo, MAX_PROOF_AGE, Transport, Unauthenticated, WithInfo};
pub use self::config::{
    DEFAULT_BUDGET, DEFAULT_DRAIN, DEFAULT_KEEPALIVE_INTERVAL, DEFAULT_KEEPALIVE_TIMEOUT,
    DEFAULT_MAX_BUDGET, DEFAULT_MAX_IN_FLIGHT, DEFAULT_MAX_STREAMS_PER_CONNECTION,
    DEFAULT_MAX_WATCH_STREAMS, DEFAULT_RETRY_AFTER, ServerConfig,
};
pub use self::convert::{InvalidMessage, RemoteRing, RemoteTopology};
pub use self::handler::{Handler, Reply, WatchBatch, WatchOpen, WatchUpdate};
pub use self::refusal::Refusal;
pub use self::remote::{OutboundOpen, OutboundUpdate, RemoteBatch};
pub use self::server::{ServeError, serve};
pub use self::status::ERROR_DOMAIN;
