#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod addresses;
mod admin;
pub mod cli;
pub mod config;
pub mod database;
pub mod errors;
mod exchange;
mod files;
pub mod identity;
mod k3s;
mod keeper;
pub mod log;
mod node;
mod ring_memory;
mod security;
mod sources;
pub mod version;
mod watched;

pub use self::k3s::K3sFileError;
pub use self::node::{BuildError, NetworkKeyError, Node, PartEnded, Reload};
pub use self::security::SecretsError;
pub use self::sources::HttpFileError;

/// The examples in the workspace's README compile and hold.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct WorkspaceReadme;
