//! Every bound on what a record may hold, checked before anything is kept.
//!
//! At each bound the record is refused as a whole, with the number it had: a node that signs more is misconfigured or
//! hostile, and half a record would be a lie about what was signed.

use std::time::Duration;

/// Bytes of a signed envelope. A record with 16 addresses and 3 joins takes about 1 KiB; this leaves room for 15 times that.
pub const MAX_ENVELOPE_BYTES: usize = 16 * 1024;

/// Bytes of a membership tag: a MAC of 256 bits, and another one while the join token is being changed.
pub const MAX_TAG_BYTES: usize = 64;

/// libp2p addresses of one node. Spegel dials them all at once, so more would be an amplifier.
pub const MAX_ADDRESSES: usize = 16;

/// Joins of one node. K3s takes one `server:`; 32 covers every list that a person keeps by hand.
pub const MAX_JOINS: usize = 32;

/// Peer ids behind one address: the nodes that a load balancer picks among.
pub const MAX_TARGETS: usize = 16;

/// Bytes of a peer id's text: 46 to 59 occur.
pub const MAX_PEER_ID_BYTES: usize = 128;

/// Bytes of a name, zone or version: a DNS label (RFC 1035 section 2.3.4).
pub const MAX_NAME_BYTES: usize = 63;

/// Bytes of a configured address: a DNS name (RFC 1035 section 2.3.4).
pub const MAX_JOIN_ADDRESS_BYTES: usize = 255;

/// Bytes of a gRPC URL: a DNS name, scheme and port, with room.
pub const MAX_GRPC_URL_BYTES: usize = 300;

/// Bytes of one multiaddr in its text form.
pub const MAX_ADDRESS_BYTES: usize = 255;

/// Longest time a record may claim to be valid. A dead node is remembered at most this long.
pub const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);
