#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod account;
mod config;
mod flight;
mod generation;
mod introducer;
mod occupancy;
mod outcome;
mod single_flight;
mod store;
mod sync;
#[cfg(test)]
mod tests;
mod timestamp;

pub use config::{Config, MAX_CAPACITY};
pub use introducer::Introducer;
pub use outcome::{Outcome, Standing};
pub use single_flight::{FlightLimits, FlightRefused, SingleFlight};
pub use store::DedupStore;
pub use timestamp::{Millis, Timestamp};
