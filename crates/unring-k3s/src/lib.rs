#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod access;
mod address;
mod answer;
mod ca;
pub mod limits;
mod log_limit;
mod path;
mod reply;
mod respond;
mod secret;
mod server;
pub mod suspect;
mod token;
mod url;

pub use self::access::{Access, CertifiedUser, Standing, TooManyTokens};
pub use self::address::{InvalidK3sAddress, K3sAddress};
pub use self::answer::{AnswerForm, InvalidAnswer, PeerList, Skipped, parse_answer};
pub use self::ca::{CaBundle, InvalidCa, WrongCa};
pub use self::path::Distribution;
pub use self::reply::Reply;
pub use self::respond::{Admission, Caller, Peers, Request, Unavailable, respond};
pub use self::secret::Secret;
pub use self::server::K3sServer;
pub use self::token::{CaHash, Credentials, InvalidToken, JoinToken};
pub use self::url::{InvalidServerUrl, ServerUrl};

#[cfg(test)]
mod tests;
