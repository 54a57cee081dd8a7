//! Kademlia. The network does not use it yet.

mod position;
mod walk;
mod wire;
