//! Many engines in one process, in virtual time: a network without sockets, whose every message is counted.
//!
//! It is deterministic: the same nodes, joins, faults and seeds give the same run.
#![forbid(unsafe_code)]

mod act;
mod balancer;
mod check;
mod deliver;
mod faults;
mod message;
mod node;
mod shape;
mod traffic;
mod verifier;
mod wire;
mod world;

pub use self::faults::Faults;
pub use self::node::{Node, NodeId, identity};
pub use self::shape::{Shape, name};
pub use self::traffic::{Follow, Traffic};
pub use self::verifier::Trusting;
pub use self::world::{Answered, World};
