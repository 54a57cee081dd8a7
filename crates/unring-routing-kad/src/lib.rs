#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod address;
mod config;
mod dialer;

pub use self::config::*;
pub use self::dialer::{Dial, Dialer, Selection};

#[cfg(test)]
mod tests;
