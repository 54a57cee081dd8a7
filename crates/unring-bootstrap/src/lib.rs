#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod alone;
mod candidate;
pub mod limits;
mod source;

pub use self::alone::{Alone, Company};
pub use self::candidate::{Candidate, InvalidCandidate};
pub use self::source::{Kind, Outcome};

#[cfg(test)]
mod tests;
