//! `unring-dedup-store` under a scheduler that chooses every step.
//!
//! The same source files are compiled here once more, with a `sync` module of this crate: its locks and atomics hand
//! control to [shuttle] at each operation, which tries thousands of schedules, repeatably. A feature of the store itself
//! would not do, since features are unified: a build of the whole workspace would put the node on shuttle's locks too.
//!
//! Shuttle runs one thread at a time, so it finds wrong orders of steps, deadlocks and lost wake-ups, but not what a
//! weaker memory order than the code assumes would allow.
#![forbid(unsafe_code)]

#[path = "../../../crates/unring-dedup-store/src/account.rs"]
mod account;
#[path = "../../../crates/unring-dedup-store/src/config.rs"]
mod config;
#[path = "../../../crates/unring-dedup-store/src/flight.rs"]
mod flight;
#[path = "../../../crates/unring-dedup-store/src/generation.rs"]
mod generation;
#[path = "../../../crates/unring-dedup-store/src/introducer.rs"]
mod introducer;
#[path = "../../../crates/unring-dedup-store/src/occupancy.rs"]
mod occupancy;
#[path = "../../../crates/unring-dedup-store/src/outcome.rs"]
mod outcome;
#[path = "../../../crates/unring-dedup-store/src/single_flight.rs"]
mod single_flight;
#[cfg_attr(test, expect(dead_code, reason = "what only the store's own tests look at"))]
#[path = "../../../crates/unring-dedup-store/src/store.rs"]
mod store;
mod sync;
#[path = "../../../crates/unring-dedup-store/src/timestamp.rs"]
mod timestamp;

pub use config::{Config, MAX_CAPACITY};
pub use introducer::Introducer;
pub use outcome::{Outcome, Standing};
pub use single_flight::{FlightLimits, FlightRefused, SingleFlight};
pub use store::DedupStore;
pub use timestamp::{Millis, Timestamp};
