//! Every message, counted.

use std::collections::{BTreeMap, BTreeSet};

use unring_exchange::{Batch, OutboundRequest, Scope};
use unring_peer::{PeerId, SignedRecord};

use crate::message::End;

/// Bytes of one hop of a path: a peer id of 38 bytes and a stamp of 16, each with its tag and length, in a message of
/// its own.
const HOP_BYTES: usize = 60;

/// Bytes of a trace without its path: origin, its key, signature, request id, times.
const TRACE_BYTES: usize = 200;

/// Of whose records each version is counted. To tell all of them apart takes memory for each record and join.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Follow {
    /// Of all nodes.
    #[default]
    All,
    /// Of these nodes.
    Only(BTreeSet<PeerId>),
}

/// What has been sent since the start, or since it was last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Recursive requests: the messages of law L1.
    pub recursive: u64,
    /// Local requests: polls of upstreams that cannot stream.
    pub local: u64,
    /// Connections made to see where an address leads.
    pub probes: u64,
    /// Streams that nodes tried to open.
    pub streams: u64,
    /// Messages on streams, heartbeats left out.
    pub pushes: u64,
    /// Messages on streams that say nothing but that their sender is there.
    pub heartbeats: u64,
    /// Records in messages on streams.
    pub pushed_records: u64,
    /// Bytes of all records and traces sent, whatever the message; what frames them is left out.
    pub bytes: u64,
    /// Whose versions `records` and `repeated` tell apart.
    pub follow: Follow,
    /// How often each followed version of a record was sent on a stream.
    pub records: BTreeMap<(PeerId, u64), u64>,
    /// Followed versions that were sent twice in one direction of one stream: a proof that this never happens, while it
    /// is 0.
    pub repeated: u64,
    pub(crate) said: BTreeSet<(End, PeerId, u64)>,
    /// Timer events of all nodes.
    pub timers: u64,
}

impl Traffic {
    pub(crate) fn count_request(&mut self, request: &OutboundRequest) {
        match request.scope {
            Scope::Recursive => self.recursive += 1,
            Scope::Local => self.local += 1,
        }
        let trace = request.trace.as_ref();
        self.count_bytes(trace.map_or(0, |trace| TRACE_BYTES + HOP_BYTES * trace.path.len()));
        self.count_records(request.caller_record.as_slice());
    }

    /// Records in an answer, or in the message that opens a stream.
    pub(crate) fn count_records<'a>(
        &mut self,
        records: impl IntoIterator<Item = &'a SignedRecord>,
    ) {
        self.count_bytes(records.into_iter().map(SignedRecord::wire_bytes).sum());
    }

    fn count_bytes(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    pub(crate) fn count_push(&mut self, from: End, batch: &Batch<SignedRecord>) {
        if batch.records.is_empty() && !batch.snapshot_complete {
            self.heartbeats += 1;
        } else {
            self.pushes += 1;
        }
        self.pushed_records += batch.records.len() as u64;
        self.count_records(&batch.records);
        for record in batch.records.iter().map(SignedRecord::record) {
            if matches!(&self.follow, Follow::Only(peers) if !peers.contains(&record.peer_id)) {
                continue;
            }
            self.repeated += u64::from(!self.said.insert((from, record.peer_id, record.seq)));
            *self.records.entry((record.peer_id, record.seq)).or_default() += 1;
        }
    }

    /// How often the version of a record that was sent most was sent.
    #[must_use]
    pub fn most_pushes_of_a_version(&self) -> u64 {
        self.records.values().copied().max().unwrap_or_default()
    }
}
