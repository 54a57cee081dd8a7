//! Every message, counted.

use std::collections::{BTreeMap, BTreeSet};

use unring_exchange::{Batch, Scope};
use unring_peer::{PeerId, SignedRecord};

use crate::message::End;

/// What has been sent since the start, or since it was last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Recursive requests: the messages of law L1.
    pub recursive: u64,
    /// Local requests: polls and probes.
    pub local: u64,
    /// Streams that nodes tried to open.
    pub streams: u64,
    /// Messages on streams, heartbeats left out.
    pub pushes: u64,
    /// Messages on streams that say nothing but that their sender is there.
    pub heartbeats: u64,
    /// How often each version of a record was sent on a stream.
    pub records: BTreeMap<(PeerId, u64), u64>,
    /// Versions that were sent twice in one direction of one stream: a proof that this never happens, while it is 0.
    pub repeated: u64,
    pub(crate) said: BTreeSet<(End, PeerId, u64)>,
    /// Timer events of all nodes.
    pub timers: u64,
}

impl Traffic {
    pub(crate) fn count_request(&mut self, scope: Scope) {
        match scope {
            Scope::Recursive => self.recursive += 1,
            Scope::Local => self.local += 1,
        }
    }

    pub(crate) fn count_push(&mut self, from: End, batch: &Batch<SignedRecord>) {
        if batch.records.is_empty() && !batch.snapshot_complete {
            self.heartbeats += 1;
        } else {
            self.pushes += 1;
        }
        for record in batch.records.iter().map(SignedRecord::record) {
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
