//! Kademlia. The network does not use it yet.

mod config;
mod position;
mod store;
mod sweep;
mod walk;
mod wire;
