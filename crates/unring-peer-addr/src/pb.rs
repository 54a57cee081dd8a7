//! The wire messages and the service, generated from `proto/unring/peeraddr/v1/peer_addr_service.proto`.
//!
//! Only conversions, tests and tools that speak the bare protocol name them.

#[rustfmt::skip]
#[expect(missing_docs, clippy::allow_attributes, reason = "generated")]
#[path = "generated/unring.peeraddr.v1.rs"]
mod generated;

pub use self::generated::*;
pub use unring_peer::pb::*;

/// The description of the service and its messages, an encoded `FileDescriptorSet`: what reflection answers with.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/unring.peeraddr.v1.fds");
