#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod address;
mod client;
mod limits;
mod log;
mod node;
mod server;
mod sources;
mod tls;
mod watchdog;

pub use address::{InvalidPeerAddress, PeerAddress};
pub use client::{Call, CallError, Caller};
pub use limits::{Counters, Limit, Limits};
pub use node::{Config, GIVE_UP_AFTER, Node, StartError};
pub use sources::{Chain, NodeList, Rule, Source, SourceError};
pub use tls::{TlsError, TlsFiles};
pub use watchdog::{end_with_parent, raise_open_files};
