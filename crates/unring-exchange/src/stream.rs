//! What has been said on one stream of records, either way.

use std::collections::HashMap;
use std::time::Duration;

use unring_peer::{NodeRecord, PeerId, SignedRecord};

use crate::book::{Book, Change};
use crate::config::UPSTREAM_HOLD;
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
    /// Versions that it told us while we were holding ours back: it has them. At most as many as the book holds: each
    /// flush forgets those that are sent or gone.
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

    /// The other end sent this version of our own record.
    pub(crate) fn note_has_own(&mut self, seq: u64) {
        self.own_sent = self.own_sent.max(seq);
    }

    /// How long news are held back. An upstream mostly hears of them by itself.
    fn hold(&self) -> Duration {
        if self.side == Side::Serving { Duration::ZERO } else { UPSTREAM_HOLD }
    }

    /// There is news. A flush that is due earlier stays.
    pub(crate) fn schedule(&mut self, now: Duration) {
        self.schedule_at(now + self.hold());
    }

    /// What the other end lacks; afterwards it is taken to have it. The flag says that this completes the snapshot.
    ///
    /// Each version goes out at most once on a stream, and not at all where the other end brought it or is known to
    /// have it.
    pub(crate) fn flush(
        &mut self,
        now: Duration,
        id: StreamId,
        book: &Book,
        own: Option<(&SignedRecord, Duration)>,
    ) -> (Vec<SignedRecord>, bool) {
        let (hold, mut records) = (self.hold(), Vec::new());
        self.flush_at = None;
        if let Some((own, since)) = own.filter(|(own, _)| own.record().seq > self.own_sent) {
            if since + hold <= now {
                self.own_sent = own.record().seq;
                records.push(own.clone());
            } else {
                self.flush_at = Some(since + hold);
            }
        }
        for Change { record, introducer, version, since } in book.changes_since(self.sent_version) {
            if since + hold > now {
                // So is everything after it.
                self.schedule_at(since + hold);
                break;
            }
            self.sent_version = version;
            let NodeRecord { peer_id, seq, .. } = record.record();
            let brought_it = introducer.stream == Some(id);
            if !brought_it && self.has.get(peer_id).is_none_or(|has| has < seq) {
                records.push(record.clone());
            }
        }
        let sent = self.sent_version;
        self.has.retain(|peer, _| book.version_of(peer).is_some_and(|version| version > sent));
        (records, !std::mem::replace(&mut self.snapshot_sent, true))
    }

    fn schedule_at(&mut self, at: Duration) {
        self.flush_at = Some(self.flush_at.map_or(at, |due| due.min(at)));
    }
}
