#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod access;
mod address;
mod answer;
mod ca;
mod client;
mod fetch;
pub mod limits;
mod listen;
mod log_limit;
mod offer;
mod path;
mod places;
mod reply;
mod respond;
mod secret;
mod server;
pub mod suspect;
mod tls;
mod token;
mod url;

pub use self::access::{Access, CertifiedUser, Standing, TooManyTokens};
pub use self::address::{InvalidK3sAddress, K3sAddress};
pub use self::answer::{AnswerForm, InvalidAnswer, PeerList, Skipped, parse_answer};
pub use self::ca::{CaBundle, InvalidCa, WrongCa};
pub use self::client::{ClientConfig, ConnectError, FetchError, Fetched, K3sClient, Trust};
pub use self::fetch::{CALL_TIMEOUT, CallError};
pub use self::listen::{CONNECTION_TIMEOUT, Closed, Gate, HEAD_TIMEOUT, Open, serve};
pub use self::offer::Offer;
pub use self::path::Distribution;
pub use self::places::network;
pub use self::reply::Reply;
pub use self::respond::{Admission, Caller, Peers, Request, Unavailable, respond};
pub use self::secret::Secret;
pub use self::server::K3sServer;
pub use self::tls::{KeyPair, ServerTls, TlsError};
pub use self::token::{CaHash, Credentials, InvalidToken, JoinToken};
pub use self::url::{InvalidServerUrl, ServerUrl};

#[cfg(test)]
mod tests;
