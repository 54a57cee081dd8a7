//! The wire messages of a record, generated from `proto/unring/peeraddr/v1/record.proto`.
//!
//! Only conversions name them; everything else uses [`NodeRecord`](crate::NodeRecord) and
//! [`SignedRecord`](crate::SignedRecord).

#[rustfmt::skip]
#[path = "generated/unring.peeraddr.v1.rs"]
mod generated;

pub use self::generated::{Join, NodeRecord, SignedEnvelope, SignedRecord};
