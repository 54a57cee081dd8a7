//! The unring node: configuration, assembly, and the run from start to drain.
#![forbid(unsafe_code)]

pub mod config;
pub mod database;
pub mod identity;
pub mod log;
mod ring_memory;
pub mod version;
