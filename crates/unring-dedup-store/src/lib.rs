#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod account;
mod config;
mod generation;
mod occupancy;
mod outcome;
mod store;
#[cfg(test)]
mod tests;
mod timestamp;

pub use config::{Config, MAX_CAPACITY};
pub use outcome::{Outcome, Standing};
pub use store::DedupStore;
pub use timestamp::{Millis, Timestamp};
