//! The wire messages and the service, generated from `proto/unring/peeraddr/v1/peer_addr_service.proto`.

#[rustfmt::skip]
#[expect(missing_docs, clippy::allow_attributes, reason = "generated")]
#[path = "generated/unring.peeraddr.v1.rs"]
mod generated;

pub use self::generated::*;
pub use unring_peer::pb::*;
