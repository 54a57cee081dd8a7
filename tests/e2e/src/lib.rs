#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod admin;
mod authority;
mod binary;
mod caller;
mod cluster;
mod fake_peers;
mod full;
mod log;
mod node;
mod ports;
mod proxy;
mod status;
mod wait;

pub use self::authority::{Authority, Issued};
pub use self::caller::{Caller, ask};
pub use self::cluster::Cluster;
pub use self::fake_peers::FakePeers;
pub use self::full::runs_in_full;
pub use self::log::Line;
pub use self::node::Node;
pub use self::proxy::Proxy;
pub use self::status::{Peer, Ring, Status};
pub use self::wait::{PATIENCE, eventually, throughout};
