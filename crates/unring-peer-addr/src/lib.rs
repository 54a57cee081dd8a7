//! The peer address protocol over gRPC: client, server, wire conversions.
#![forbid(unsafe_code)]

mod caller;
mod convert;
mod handler;
pub mod limits;
pub mod pb;
mod refusal;
mod remote;
mod status;

pub use self::caller::{Caller, ConnectInfo, MAX_PROOF_AGE, Transport, Unauthenticated, WithInfo};
pub use self::convert::{InvalidMessage, RemoteRing, RemoteTopology};
pub use self::handler::{Handler, Reply, WatchBatch, WatchOpen, WatchUpdate};
pub use self::refusal::Refusal;
pub use self::remote::{OutboundOpen, OutboundUpdate, RemoteBatch};
pub use self::status::ERROR_DOMAIN;
