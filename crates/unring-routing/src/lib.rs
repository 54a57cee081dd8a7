#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod key;
mod lookups;
mod memory;
mod provider;
mod providers;
mod router;

pub use self::key::Key;
pub use self::lookups::{LookupConfig, Lookups};
pub use self::memory::{MemoryConfig, MemoryNetwork, MemoryRouter};
pub use self::provider::{MAX_ADDRESSES_PER_PROVIDER, MAX_PROVIDERS, Provider};
pub use self::providers::{Lease, MAX_LEASED_PEERS, Providers};
pub use self::router::{AdvertiseError, LookupError, Readiness, Router, WithdrawError};

#[cfg(test)]
mod tests;
