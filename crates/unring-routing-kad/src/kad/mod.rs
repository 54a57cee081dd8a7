//! Kademlia: libp2p's behaviour keeps the routing table; asking, telling and serving others is done here.
//!
//! libp2p's own queries give providers without their addresses, and walk through the network anew for every key that is told
//! again.

mod asking;
mod client;
mod config;
mod dials;
mod driver;
mod framing;
mod inbound;
mod newcomers;
mod patience;
mod position;
mod router;
mod server;
mod store;
mod streams;
mod sweep;
mod table;
mod walk;
mod walker;
mod wire;

pub(crate) use self::client::Command;
pub use self::config::*;
pub(crate) use self::driver::Driver;
pub use self::inbound::{KadRefusal, KadRefusals};
pub use self::router::{KadCounters, KadRouter, LOOKUP_BUCKETS_MS, LookupTimes};
pub(crate) use self::server::Server;
pub(crate) use self::streams::{StreamEvent, Streams};
pub(crate) use self::table::Table;
