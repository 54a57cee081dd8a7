//! The unring node: configuration, assembly, and the run from start to drain.
#![forbid(unsafe_code)]

pub mod config;
pub mod identity;
pub mod version;
