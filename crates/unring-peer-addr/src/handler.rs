//! What a node does with requests: the side of the service that knows no gRPC.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use futures::stream::BoxStream;
use unring_cycle_detector::{Ring, Topology};
use unring_exchange::{Answer, Batch, Position, Request};
use unring_peer::{PeerId, SignedRecord, UnverifiedRecord};

use crate::{Caller, Refusal};

/// Answers the three calls of the service. Messages were checked against every bound of the wire; signatures of records
/// and traces, and whether a trace's last hop is the caller, are the handler's to check. A future is dropped when its caller is gone.
pub trait Handler: Send + Sync + 'static {
    /// A caller has connected, and its certificate says who it is. It may ask for nothing: a node looks like that where an
    /// address leads. Called before anything else of the connection; it must not block.
    fn connected(&self, _caller: Caller) {}

    /// Which peers can the caller bootstrap from? `budget` is the time that the caller still waits; an answer after it
    /// is read by nobody.
    fn list_peers(
        &self,
        caller: Caller,
        request: Request,
        budget: Duration,
    ) -> impl Future<Output = Result<Reply, Refusal>> + Send;

    /// Records as they change. `updates` are the records that the caller sends; it ends when the caller has no more to
    /// send, which does not end the batches. The adapter drops the batches once the caller is gone.
    fn watch_peers(
        &self,
        caller: Caller,
        open: WatchOpen,
        updates: BoxStream<'static, WatchUpdate>,
    ) -> impl Future<Output = Result<BoxStream<'static, Result<WatchBatch, Refusal>>, Refusal>> + Send;

    /// The joins and rings known here.
    fn topology(
        &self,
        caller: Caller,
    ) -> impl Future<Output = Result<Topology<PeerId>, Refusal>> + Send;
}

/// What a handler answers to a request for peers.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The answer. Records beyond [`ANSWER_RECORD_BYTES`](crate::limits::ANSWER_RECORD_BYTES) are not sent.
    pub answer: Answer,
    /// Rings known here. Those beyond [`ANSWER_RING_BYTES`](crate::limits::ANSWER_RING_BYTES) are not sent.
    pub rings: Vec<Ring<PeerId>>,
    /// Names of ring members.
    pub names: BTreeMap<PeerId, String>,
}

/// How a caller opens a stream of records.
#[derive(Clone, Debug)]
pub struct WatchOpen {
    /// The caller's own record.
    pub caller_record: Option<UnverifiedRecord>,
    /// Where to resume, from an earlier stream; none for a full snapshot.
    pub resume: Option<Position>,
    /// The caller wants records decoded, which the adapter does.
    pub decode: bool,
}

/// Records that a caller sends.
#[derive(Clone, Debug)]
pub struct WatchUpdate {
    /// The caller's own record, when it changed.
    pub caller_record: Option<UnverifiedRecord>,
    /// Records that the caller has.
    pub records: Vec<UnverifiedRecord>,
    /// Version of the caller's book after these records; 0 where it does not say.
    pub version: u64,
    /// Records that could not be read.
    pub refused: usize,
}

/// Records that a node sends to one that watches it.
#[derive(Clone, Debug)]
pub struct WatchBatch {
    /// Its records and where the stream stands with them. More than fit into one message are sent as several.
    pub batch: Batch<SignedRecord>,
    /// Who sends.
    pub responder: PeerId,
}
