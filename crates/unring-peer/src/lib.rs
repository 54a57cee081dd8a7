#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod address;
mod envelope;
mod grpc_url;
mod identity;
pub mod limits;
mod membership;
pub mod pb;
mod record;
mod signed;
mod time;

pub use libp2p_identity::{PeerId, PublicKey};

pub use self::address::{InvalidAddress, PeerAddress};
pub use self::grpc_url::{GrpcUrl, InvalidGrpcUrl};
pub use self::identity::{Identity, InvalidIdentity, verify_signature};
pub use self::membership::{
    InvalidToken, JoinToken, Keyring, MAX_TOKEN_BYTES, MAX_TOKENS, MIN_TOKEN_BYTES, Membership,
    NotAMember, PeerLists,
};
pub use self::record::{InvalidContent, Join, NodeRecord, SkippedAddress};
pub use self::signed::{InvalidRecord, SignRecordError, SignedRecord, UnverifiedRecord};
pub use self::time::UnixMillis;

#[cfg(test)]
mod tests;
