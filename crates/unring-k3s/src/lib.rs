#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod address;
mod answer;
mod ca;
pub mod limits;
mod secret;
pub mod suspect;
mod token;
mod url;

pub use self::address::{InvalidK3sAddress, K3sAddress};
pub use self::answer::{AnswerForm, InvalidAnswer, PeerList, Skipped, parse_answer};
pub use self::ca::{CaBundle, InvalidCa, WrongCa};
pub use self::secret::Secret;
pub use self::token::{CaHash, Credentials, InvalidToken, JoinToken};
pub use self::url::{InvalidServerUrl, ServerUrl};

#[cfg(test)]
mod tests;
