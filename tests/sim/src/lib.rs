//! Many engines in one process, in virtual time: a network without sockets, whose every message is counted.
//!
//! It is deterministic: the same nodes, joins and seed give the same run.
#![forbid(unsafe_code)]

mod network;
mod node;
mod verifier;

pub use self::network::{Answered, World};
pub use self::node::{Node, NodeId};
pub use self::verifier::Trusting;
