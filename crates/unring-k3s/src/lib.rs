#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod address;
mod answer;
pub mod limits;

pub use self::address::{InvalidK3sAddress, K3sAddress};
pub use self::answer::{AnswerForm, InvalidAnswer, PeerList, Skipped, parse_answer};

#[cfg(test)]
mod tests;
