//! Wire messages to domain types and back: everything from outside is checked here, once.

mod answer;
mod records;
mod request;
mod topology;
mod watch;

use std::error::Error;
use std::time::Duration;

use thiserror::Error;
use unring_peer::{InvalidRecord, PeerId, PublicKey};

use crate::limits::{
    MAX_PEER_ID_BYTES, MAX_PUBLIC_KEY_BYTES, MAX_RETRY_AFTER, MAX_SIGNATURE_BYTES,
};

pub(crate) use self::answer::{
    Responder, WrittenAnswer, answer_from_wire, decoded_answer, write_answer,
};
pub(crate) use self::request::{request_from_wire, request_to_wire};
pub use self::topology::{RemoteRing, RemoteTopology};
pub(crate) use self::topology::{topology_from_wire, topology_to_wire};
pub(crate) use self::watch::{
    batch_from_wire, batch_to_wire, open_from_wire, open_to_wire, update_from_wire, update_to_wire,
};

/// Why a message is refused. Every variant names the field, so that the sender can be mended.
#[derive(Debug, Error)]
pub enum InvalidMessage {
    /// Not a peer id.
    #[error("{field}: {got:?} is not a libp2p peer id")]
    PeerId {
        /// The field.
        field: &'static str,
        /// The beginning of what it holds.
        got: String,
    },
    /// Bytes of a fixed length that have another one.
    #[error("{field}: {got} bytes, must be {want}")]
    Length {
        /// The field.
        field: &'static str,
        /// Bytes it has.
        got: usize,
        /// Bytes it must have.
        want: usize,
    },
    /// Bytes or text above their bound.
    #[error("{field}: {got} bytes, at most {max} are allowed")]
    TooLong {
        /// The field.
        field: &'static str,
        /// Bytes it has.
        got: usize,
        /// Bytes it may have.
        max: usize,
    },
    /// More entries than allowed.
    #[error("{field}: {got} entries, at most {max} are allowed")]
    TooMany {
        /// The field.
        field: &'static str,
        /// How many there are.
        got: usize,
        /// How many may be.
        max: usize,
    },
    /// A number above its bound.
    #[error("{field}: {got}, at most {max} is allowed")]
    TooLarge {
        /// The field.
        field: &'static str,
        /// The number.
        got: u64,
        /// What it may be.
        max: u64,
    },
    /// A number that names nothing this version knows.
    #[error("{field}: {got} is unknown to this version")]
    Unknown {
        /// The field.
        field: &'static str,
        /// The number.
        got: i32,
    },
    /// A public key that cannot be read.
    #[error("{field}: not a libp2p public key")]
    Key {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A record that the message stands or falls with.
    #[error("{field}: not a valid record")]
    Record {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: InvalidRecord,
    },
    /// A message that is not read to its end because it is too long.
    #[error("{field}: more than the {max} bytes that are allowed")]
    MessageTooLong {
        /// The message.
        field: &'static str,
        /// Bytes it may have.
        max: usize,
    },
    /// A stream that ended before its first message.
    #[error("{field}: the stream ended before its first message")]
    Missing {
        /// What is missing.
        field: &'static str,
    },
}

impl InvalidMessage {
    /// The field, as the protocol file names it.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::PeerId { field, .. }
            | Self::Length { field, .. }
            | Self::TooLong { field, .. }
            | Self::TooMany { field, .. }
            | Self::TooLarge { field, .. }
            | Self::Unknown { field, .. }
            | Self::Key { field, .. }
            | Self::Record { field, .. }
            | Self::MessageTooLong { field, .. }
            | Self::Missing { field } => field,
        }
    }
}

/// Who answered: whom the transport authenticated, else who the answer says.
fn responder(claimed: &str, peer: Option<PeerId>) -> Result<PeerId, InvalidMessage> {
    peer.map_or_else(|| peer_id("responder", claimed), Ok)
}

pub(crate) fn peer_id(field: &'static str, text: &str) -> Result<PeerId, InvalidMessage> {
    at_most_bytes(field, text.len(), MAX_PEER_ID_BYTES)?;
    text.parse().map_err(|_| InvalidMessage::PeerId { field, got: text.chars().take(64).collect() })
}

pub(crate) fn public_key(field: &'static str, bytes: &[u8]) -> Result<PublicKey, InvalidMessage> {
    at_most_bytes(field, bytes.len(), MAX_PUBLIC_KEY_BYTES)?;
    PublicKey::try_decode_protobuf(bytes)
        .map_err(|source| InvalidMessage::Key { field, source: Box::new(source) })
}

pub(crate) fn signature(field: &'static str, bytes: Vec<u8>) -> Result<Vec<u8>, InvalidMessage> {
    at_most_bytes(field, bytes.len(), MAX_SIGNATURE_BYTES)?;
    Ok(bytes)
}

fn sixteen(field: &'static str, bytes: &[u8]) -> Result<[u8; 16], InvalidMessage> {
    bytes.try_into().map_err(|_| InvalidMessage::Length { field, got: bytes.len(), want: 16 })
}

fn at_most(field: &'static str, got: usize, max: usize) -> Result<(), InvalidMessage> {
    if got > max { Err(InvalidMessage::TooMany { field, got, max }) } else { Ok(()) }
}

fn at_most_bytes(field: &'static str, got: usize, max: usize) -> Result<(), InvalidMessage> {
    if got > max { Err(InvalidMessage::TooLong { field, got, max }) } else { Ok(()) }
}

/// A length as the wire has it; the largest there is instead of an overflow.
fn wire_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A delay in milliseconds, 0 for none.
pub(crate) fn retry_after_ms(delay: Option<Duration>) -> u64 {
    // A delay below a millisecond is still a delay.
    delay.map_or(0, |delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX).max(1))
}

fn retry_after(millis: u64) -> Option<Duration> {
    (millis > 0).then(|| Duration::from_millis(millis).min(MAX_RETRY_AFTER))
}

/// The beginning of `text` in at most `max` bytes.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
