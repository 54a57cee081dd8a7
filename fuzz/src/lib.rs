//! What each fuzz target does with its bytes: reads them as the node does, and checks what must hold of all that is read.
//!
//! A panic is a finding. `cargo xtask fuzz` builds and runs the targets.
#![forbid(unsafe_code)]

// The node's configuration finds the constants of the DHT here.
extern crate self as unring_routing_kad;

pub mod config;
pub mod first_peer;
pub mod k3s_answer;
pub mod k3s_request;
pub mod k3s_token;
pub mod kad;
/// The same for the bounds of the DHT, which the node's configuration names.
#[path = "../../crates/unring-routing-kad/src/kad/config.rs"]
pub mod kad_config;
/// The router's own source: building it with libp2p takes twice as long.
#[expect(dead_code, reason = "what the rest of the router takes from it")]
#[path = "../../crates/unring-routing-kad/src/kad/wire.rs"]
mod kad_wire;
pub mod messages;
/// The node's own source, for the same reason.
#[expect(unused_imports, reason = "what the rest of the node takes from it")]
#[path = "../../crates/unring-node/src/config/mod.rs"]
pub mod node_config;
pub mod record;
mod support;
pub mod trace;

pub use self::kad_config::{MAX_PROVIDER_RECORDS, RECORD_VALIDITY, REPROVIDE_INTERVAL};
