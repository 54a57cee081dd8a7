//! What has been said on one stream of records, either way.

use std::collections::HashMap;
use std::time::Duration;

use unring_peer::{NodeRecord, PeerId, SignedRecord};

use crate::book::Book;
use crate::upstream::UpstreamId;

/// Names one stream in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) u64);

/// Which end of a stream we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// A downstream node watches us: it gets changes at once.
    Serving,
    /// We watch an upstream: it gets what it lacks, after a hold.
    Watching(UpstreamId),
}

/// One open stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) side: Side,
    /// The authenticated other end; none for an anonymous watcher.
    pub(crate) peer: Option<PeerId>,
    /// The book's version up to which the other end was told.
    sent_version: u64,
    /// The version of our own record that it was told.
    own_sent: u64,
    /// Whether it was told everything once.
    snapshot_sent: bool,
    /// Versions that it told us while we were holding ours back: it has them. At most as many as the book holds, since
    /// only records of the book are noted, and emptied by each flush.
    has: HashMap<PeerId, u64>,
    /// When what is new is sent; none when nothing is.
    pub(crate) flush_at: Option<Duration>,
    /// Nothing is sent before this is set: a watcher first hears what its upstream knows.
    pub(crate) ready: bool,
}

impl Stream {
    pub(crate) fn new(
        side: Side,
        peer: Option<PeerId>,
        resume_version: u64,
        own_sent: u64,
    ) -> Self {
        Self {
            side,
            peer,
            sent_version: resume_version,
            own_sent,
            snapshot_sent: false,
            has: HashMap::new(),
            flush_at: None,
            ready: side == Side::Serving,
        }
    }

    /// The other end sent a version that we know already.
    pub(crate) fn note_has(&mut self, peer: PeerId, seq: u64) {
        if self.flush_at.is_some() || !self.ready {
            self.has.insert(peer, seq);
        }
    }

    /// Asks for a flush at `at`, or at once for a downstream watcher. An earlier one that is due stays.
    pub(crate) fn schedule(&mut self, now: Duration, hold: Duration) {
        let at = if self.side == Side::Serving { now } else { now + hold };
        self.flush_at = Some(self.flush_at.map_or(at, |due| due.min(at)));
    }

    /// What the other end lacks; afterwards it is taken to have it. The flag says that this completes the snapshot.
    pub(crate) fn flush(
        &mut self,
        id: StreamId,
        book: &Book,
        own: Option<&SignedRecord>,
    ) -> (Vec<SignedRecord>, bool) {
        let mut records = Vec::new();
        if let Some(own) = own.filter(|own| own.record().seq > self.own_sent) {
            self.own_sent = own.record().seq;
            records.push(own.clone());
        }
        for (record, introducer) in book.changes_since(self.sent_version) {
            let NodeRecord { peer_id, seq, .. } = record.record();
            let brought_it = introducer.stream == Some(id);
            if !brought_it && self.has.get(peer_id).is_none_or(|has| has < seq) {
                records.push(record.clone());
            }
        }
        self.sent_version = book.version();
        self.has = HashMap::new();
        self.flush_at = None;
        (records, !std::mem::replace(&mut self.snapshot_sent, true))
    }
}
