#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod address;
mod bind;
mod choice;
mod config;
mod connect;
mod dialer;
mod failure;
mod first_bytes;
mod gate;
mod handle;
mod kad;
mod lists;
mod mux;
mod network;
mod network_key;
mod places;
mod swarm;
mod transport;
mod usage;

pub use self::bind::BindError;
pub use self::config::*;
pub use self::dialer::{Dial, Dialer, Selection};
pub use self::failure::DialFailure;
pub use self::first_bytes::NoGreeting;
pub use self::gate::{LimitExceeded, LimitKind};
pub use self::handle::{Counters, Event, EventReceiver, Handle};
pub use self::kad::*;
pub use self::lists::{KeptOut, Lists};
pub use self::network::Network;
pub use self::network_key::{BadNetworkKey, NetworkKey};

#[cfg(test)]
mod tests;
