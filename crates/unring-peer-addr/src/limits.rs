//! Every bound of the protocol on the wire, in one place.

use std::time::Duration;

use unring_peer::limits::{MAX_ENVELOPE_BYTES, MAX_TAG_BYTES};

/// Bytes of one gRPC message, both ways: gRPC's own default, which proxies and tools expect. A larger one is refused
/// by the reader.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of a request that is no stream. The longest honest one is a path of 255 hops and a record, 40 KiB; a tight
/// bound matters because a decoded message of empty entries takes 24 times its wire size. A larger one is refused.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// Bytes of records in an answer, so that rings and outcomes still fit below [`MAX_MESSAGE_BYTES`]. Records that no
/// longer fit are left out, last first; those that others join to come first.
pub const ANSWER_RECORD_BYTES: usize = 3 * 1024 * 1024;

/// Bytes of those records of an answer that other answers hold as well: what the asker's own one leaves, however large it is.
pub const SHARED_RECORD_BYTES: usize =
    ANSWER_RECORD_BYTES - MAX_ENVELOPE_BYTES - MAX_TAG_BYTES - RECORD_FRAME_BYTES;

/// Bytes around a record: tags and lengths of its two fields and of its own.
const RECORD_FRAME_BYTES: usize = 16;

/// Bytes of rings in an answer; rings that no longer fit are left out, last first. A ring of 100 nodes takes 25 KiB.
pub const ANSWER_RING_BYTES: usize = 512 * 1024;

/// Bytes of records in one message of a stream: a batch with more is sent as several messages.
pub const BATCH_BYTES: usize = 1024 * 1024;

/// Records in one message, more than any answer holds (1000 that others join to, 1000 sampled). More are refused.
pub const MAX_RECORDS: usize = 5000;

/// Records that a request may ask for beside those that others join to; a larger number is read as this one, because
/// asking for too much is no error and an older client must keep working when the number falls.
pub const MAX_PEERS: usize = 1000;

/// Nodes and rings in a topology that a client reads: the detector's bound on nodes, rounded up. More are refused.
pub const MAX_TOPOLOGY_ENTRIES: usize = 5000;

/// Upstream outcomes in an answer: twice the joins of a node. More are left out.
pub const MAX_OUTCOMES: usize = 64;

/// Bytes of an error text about an upstream; the rest is cut off.
pub const MAX_ERROR_BYTES: usize = 512;

/// Bytes of a public key: an RSA key of 4096 bits takes 556, Ed25519 36. A longer one is refused.
pub const MAX_PUBLIC_KEY_BYTES: usize = 1024;

/// Bytes of a signature: RSA of 4096 bits takes 512, Ed25519 64. A longer one is refused.
pub const MAX_SIGNATURE_BYTES: usize = 512;

/// Bytes of a peer id's text: 46 to 59 occur. Reading base58 takes quadratic time, so that a longer one is refused
/// unread.
pub const MAX_PEER_ID_BYTES: usize = 128;

/// Longest wait that a peer may ask for; a longer one is read as this one.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
