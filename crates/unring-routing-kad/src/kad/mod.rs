//! Kademlia: libp2p's behaviour serves others and keeps the routing table; asking and telling others is done here.
//!
//! libp2p's own queries give providers without their addresses, and walk through the network anew for every key that is told
//! again.

mod client;
mod config;
mod dials;
mod driver;
mod newcomers;
mod position;
mod router;
mod server;
mod store;
mod streams;
mod sweep;
mod walk;
mod walker;
mod wire;

pub(crate) use self::client::Command;
pub use self::config::*;
pub(crate) use self::driver::Driver;
pub use self::router::{KadCounters, KadRouter, LOOKUP_BUCKETS_MS, LookupTimes};
pub(crate) use self::server::Server;
pub(crate) use self::store::Records;
pub(crate) use self::streams::{Streams, Unreachable};
