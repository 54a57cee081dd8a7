//! What a client sends on a stream of records and what it gets back.

use unring_peer::{PeerId, SignedRecord, UnverifiedRecord};

/// How this node opens a stream of records.
#[derive(Clone, Debug, Default)]
pub struct OutboundOpen {
    /// Our own record.
    pub caller_record: Option<SignedRecord>,
    /// Version to resume after; 0 for a full snapshot.
    pub resume_version: u64,
    /// Epoch that `resume_version` belongs to.
    pub epoch: u64,
}

/// Records that this node sends on a stream. More than fit into one message are sent as several.
#[derive(Clone, Debug, Default)]
pub struct OutboundUpdate {
    /// Our own record, when it changed.
    pub caller_record: Option<SignedRecord>,
    /// Records that the other end has not said that it has.
    pub records: Vec<SignedRecord>,
}

/// Records that another node sends.
#[derive(Clone, Debug)]
pub struct RemoteBatch {
    /// Who sent them, as the transport authenticated it; in plaintext as it says itself.
    pub responder: PeerId,
    /// Its records; a broken one is counted in `refused` and does not cost the others.
    pub records: Vec<UnverifiedRecord>,
    /// Records that could not be read.
    pub refused: usize,
    /// Everything that it has was sent.
    pub snapshot_complete: bool,
    /// Version of its book after these records; 0 in the middle of a batch that came in several messages, where a
    /// stream cannot be resumed.
    pub version: u64,
    /// Epoch of the version.
    pub epoch: u64,
}
