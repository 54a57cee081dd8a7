#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod key;
mod provider;

pub use self::key::Key;
pub use self::provider::{MAX_ADDRESSES_PER_PROVIDER, Provider};
