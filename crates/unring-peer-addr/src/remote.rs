//! What a client sends on a stream of records and what it gets back.

use unring_exchange::{Batch, Position};
use unring_peer::{PeerId, SignedRecord, UnverifiedRecord};

/// How this node opens a stream of records.
#[derive(Clone, Debug, Default)]
pub struct OutboundOpen {
    /// Our own record.
    pub caller_record: Option<SignedRecord>,
    /// Where to resume, from the batches of an earlier stream to the same node; none for a full snapshot.
    pub resume: Option<Position>,
}

/// Records that this node sends on a stream. More than fit into one message are sent as several.
#[derive(Clone, Debug, Default)]
pub struct OutboundUpdate {
    /// Our own record, when it changed.
    pub caller_record: Option<SignedRecord>,
    /// Records that the other end has not said that it has.
    pub records: Vec<SignedRecord>,
    /// Version of our book after these records.
    pub version: u64,
}

/// Records that another node sends.
#[derive(Clone, Debug)]
pub struct RemoteBatch {
    /// Who sent them, as the transport authenticated it; in plaintext as it says itself.
    pub responder: PeerId,
    /// Its records, of which a broken one is counted in `refused` and does not cost the others, and where the stream
    /// stands with them.
    pub batch: Batch<UnverifiedRecord>,
    /// Records that could not be read.
    pub refused: usize,
}
