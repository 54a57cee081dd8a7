//! What has been said on one stream of records, either way.

use std::collections::HashMap;
use std::time::Duration;

use unring_peer::{PeerId, SignedRecord, UnverifiedRecord};

use crate::batch::Batch;
use crate::book::{Book, Change, Introducer};
use crate::config::{
    HEARTBEAT_INTERVAL, MAX_PUSH_BYTES, MAX_PUSH_RECORDS, SHORTEST_BEAT, SLOW_CONSUMER_AFTER,
    STREAM_TIMEOUT, UPSTREAM_HOLD,
};
use crate::id::{StreamId, UpstreamId};
use crate::upstream::Resume;

/// Which end of a stream we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// A downstream node watches us: it gets changes at once.
    Serving,
    /// We watch an upstream: it gets what it lacks, after a hold.
    Watching(UpstreamId),
}

/// One open stream. What the other end lacks is not queued for it: it is what changed in the book since a version.
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
    /// It is told only what changed since an earlier stream.
    resumed: bool,
    /// The other end is the process that an earlier stream led to: it has what it brought then.
    same_life: bool,
    /// What the other end brought up to this version of our book, an earlier life of it may have brought, which knew more.
    brought_before: u64,
    /// Version of the other end's book up to which we have its records.
    heard: u64,
    /// We have all of them up to there: its snapshot was complete, or goes on where an earlier one was.
    heard_all: bool,
    /// For a stream to an upstream, once that has spoken: its epoch, and the version up to which it has our records.
    upstream_has: Option<(u64, u64)>,
    /// Versions that it told us while we were holding ours back: it has them. At most as many as the book holds: each
    /// flush forgets those that are sent or gone.
    has: HashMap<PeerId, u64>,
    /// The other end signed another record than we keep of it, with the same `seq`. It is told which.
    owes_its_own: bool,
    /// When what is new is sent; none when nothing is.
    flush_at: Option<Duration>,
    /// Nothing is due before: there was no room.
    put_off_until: Duration,
    /// Nothing is sent before this is set: a watcher first hears what its upstream knows.
    pub(crate) ready: bool,
    /// The batch that was handed over and that nobody has taken yet. Nothing else is sent meanwhile.
    unread: Option<Unread>,
    last_sent: Duration,
    last_heard: Duration,
    /// The other end sends heartbeats: it is an upstream, or a node and not a tool.
    beats: bool,
}

/// A batch on its way out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unread {
    pub(crate) since: Duration,
    /// Bytes of its records.
    pub(crate) bytes: usize,
}

/// What a stream has to say now.
#[derive(Debug, Default)]
pub(crate) struct Flush {
    pub(crate) records: Vec<SignedRecord>,
    /// With these, everything was sent for the first time.
    pub(crate) completes_snapshot: bool,
    /// What was sent until then is only what changed since an earlier stream.
    pub(crate) resumed: bool,
    bytes: usize,
}

impl Flush {
    fn has_room_for(&self, record: &SignedRecord) -> bool {
        let bytes = self.bytes + record.wire_bytes();
        self.records.is_empty() || self.records.len() < MAX_PUSH_RECORDS && bytes <= MAX_PUSH_BYTES
    }

    fn add(&mut self, record: &SignedRecord) {
        self.bytes += record.wire_bytes();
        self.records.push(record.clone());
    }
}

impl Stream {
    pub(crate) fn new(now: Duration, side: Side, peer: Option<PeerId>, own_sent: u64) -> Self {
        Self {
            side,
            peer,
            sent_version: 0,
            own_sent,
            snapshot_sent: false,
            resumed: false,
            same_life: false,
            brought_before: 0,
            heard: 0,
            heard_all: false,
            upstream_has: None,
            has: HashMap::new(),
            owes_its_own: false,
            flush_at: None,
            put_off_until: Duration::ZERO,
            ready: side == Side::Serving,
            unread: None,
            last_sent: now,
            last_heard: now,
            beats: side != Side::Serving,
        }
    }

    /// The first stream to a life of an upstream is opened at this version of our book.
    pub(crate) fn opened_at(&mut self, version: u64) {
        self.brought_before = version;
    }

    /// A watcher goes on where an earlier stream ended. With `all` it has to hear everything anew nevertheless.
    pub(crate) fn resume(&mut self, version: u64, all: bool) {
        self.same_life = true;
        self.resumed = !all;
        self.sent_version = if all { 0 } else { version };
    }

    /// Something came from the upstream. With the first that does, it is known which process is there: where the last
    /// stream led to the same one, it has what it had then.
    pub(crate) fn upstream_spoke(&mut self, batch: &Batch<UnverifiedRecord>, last: Option<Resume>) {
        let epoch = batch.position.epoch;
        if epoch == 0 {
            return;
        }
        let (_, has) = self.upstream_has.get_or_insert_with(|| {
            let Some(last) = last.filter(|last| last.epoch == epoch) else { return (epoch, 0) };
            self.same_life = true;
            self.brought_before = last.brought_before;
            self.sent_version = last.acknowledged;
            self.heard = if batch.resumed { last.heard } else { 0 };
            self.heard_all = batch.resumed;
            (epoch, last.acknowledged)
        });
        *has = (*has).max(batch.received.min(self.sent_version));
    }

    /// The other end is there.
    pub(crate) fn is_heard(&mut self, now: Duration) {
        self.last_heard = now;
    }

    /// When the other end is taken for dead; never for a tool, which has nothing to say.
    pub(crate) fn silent_at(&self) -> Option<Duration> {
        self.beats.then(|| self.last_heard + STREAM_TIMEOUT)
    }

    /// We have all that the other end had at this version of its book; 0 says nothing.
    pub(crate) fn has_heard(&mut self, version: u64) {
        self.heard = self.heard.max(version);
        self.beats |= version > 0;
    }

    /// The snapshot is complete.
    pub(crate) fn has_heard_all(&mut self) {
        self.heard_all = true;
        self.ready = true;
    }

    /// Version of the other end's book up to which we have its records.
    pub(crate) fn heard(&self) -> u64 {
        self.heard
    }

    /// Where the next stream to this upstream can go on. In the middle of a snapshot it cannot: an upstream leaves out what
    /// whoever goes on brought it, which may have been an earlier life of ours.
    pub(crate) fn resume_point(&self) -> Option<Resume> {
        let (epoch, acknowledged) = self.upstream_has?;
        let heard = if self.heard_all { self.heard } else { 0 };
        Some(Resume { epoch, heard, acknowledged, brought_before: self.brought_before })
    }

    /// The other end brought this record, on this stream or in the same life on another.
    fn was_brought_by(&self, id: StreamId, introducer: Introducer, version: u64) -> bool {
        let same_peer = self.peer.is_some() && introducer.peer == self.peer;
        let same_life = self.same_life && version > self.brought_before;
        introducer.stream == Some(id) || same_life && same_peer
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

    /// The other end is to see the record that we keep of it, though it brought one of that `seq`. Nobody else is sent a
    /// version for that it has one like it: two who keep different ones would go on telling each other.
    pub(crate) fn owe_its_own(&mut self, now: Duration) {
        self.owes_its_own = true;
        self.schedule_at(now);
    }

    /// How long news are held back. An upstream mostly hears of them by itself.
    fn hold(&self) -> Duration {
        if self.side == Side::Serving { Duration::ZERO } else { UPSTREAM_HOLD }
    }

    /// There is news, which may wait for so long. A flush that is due earlier stays.
    pub(crate) fn schedule(&mut self, now: Duration, may_wait: Duration) {
        self.schedule_at(now + self.hold().max(may_wait));
    }

    /// There is no room for what it has to say, nor for a heartbeat.
    pub(crate) fn put_off_flush(&mut self, until: Duration) {
        self.put_off_until = until;
    }

    fn schedule_at(&mut self, at: Duration) {
        self.flush_at = Some(self.flush_at.map_or(at, |due| due.min(at)));
    }

    /// When there is something to do: to send, or to give up on an end that does not read.
    pub(crate) fn due(&self) -> Option<Duration> {
        if !self.ready {
            return None;
        }
        let due = self.flush_at.map_or(self.beat_at(), |at| at.min(self.beat_at()));
        let due = due.max(self.put_off_until);
        Some(self.unread.map_or(due, |unread| due.max(unread.since + SLOW_CONSUMER_AFTER)))
    }

    /// When the other end is told that we are there, if there is nothing else to say; and of the renewals that wait for it.
    ///
    /// Whoever watches does so half an interval after its upstream did: if both spoke at once, each would tell the other
    /// what the other is telling it.
    fn beat_at(&self) -> Duration {
        let latest = self.last_sent + HEARTBEAT_INTERVAL;
        if self.side == Side::Serving || self.last_heard <= self.last_sent {
            return latest;
        }
        let in_turn = self.last_heard + HEARTBEAT_INTERVAL / 2;
        in_turn.clamp(self.last_sent + SHORTEST_BEAT, latest)
    }

    /// The batch that nobody has taken yet.
    pub(crate) fn unread(&self) -> Option<Unread> {
        self.unread
    }

    /// The batch was taken; its bytes.
    pub(crate) fn taken(&mut self) -> usize {
        self.unread.take().map_or(0, |unread| unread.bytes)
    }

    /// Whether the next batch could be handed over, once there is something to say.
    pub(crate) fn has_news(&self) -> bool {
        self.flush_at.is_some()
    }

    /// The book's version up to which the other end was told.
    pub(crate) fn sent_version(&self) -> u64 {
        self.sent_version
    }

    /// What the other end lacks, as much as goes into one batch; afterwards it is taken to have it. None when there is
    /// nothing to say.
    ///
    /// Each version goes out at most once on a stream, and not at all where the other end brought it or is known to
    /// have it.
    pub(crate) fn flush(
        &mut self,
        now: Duration,
        id: StreamId,
        book: &Book,
        own: Option<Change<'_>>,
    ) -> Option<Flush> {
        let (hold, mut flush) = (self.hold(), Flush::default());
        self.flush_at = None;
        if std::mem::take(&mut self.owes_its_own)
            && let Some(kept) = self.peer.and_then(|peer| book.get(&peer))
        {
            flush.add(kept);
            self.has.insert(kept.record().peer_id, kept.record().seq);
        }
        let mut changes = book.changes_since(self.sent_version).peekable();
        let mut own = own.filter(|own| own.version > self.sent_version);
        loop {
            // Our own record is not in the book, but has its place among the changes.
            let own_first = own.as_ref().is_some_and(|own| {
                changes.peek().is_none_or(|change| own.version < change.version)
            });
            let change = if own_first { own.take() } else { changes.next() };
            let Some(change) = change else {
                self.sent_version = self.sent_version.max(book.version());
                break;
            };
            if change.since + hold > now {
                // So is everything after it. What comes after one that may not wait is due later.
                let mut due = change.due(hold);
                let mut hurried = change.may_wait <= hold;
                while !hurried && let Some(change) = changes.next() {
                    due = due.min(change.due(hold));
                    hurried = change.may_wait <= hold;
                }
                let own = own.map(|own| own.due(hold));
                self.flush_at = Some(own.map_or(due, |own| own.min(due)));
                break;
            }
            let Change { record, introducer, version, .. } = change;
            let (peer, seq) = (record.record().peer_id, record.record().seq);
            let has_it = if own_first {
                self.own_sent >= seq
            } else {
                self.was_brought_by(id, introducer, version)
                    || self.has.get(&peer).is_some_and(|has| *has >= seq)
            };
            if !has_it {
                if !flush.has_room_for(record) {
                    self.schedule_at(now);
                    break;
                }
                flush.add(record);
            }
            if own_first {
                self.own_sent = self.own_sent.max(seq);
            }
            self.sent_version = version;
        }
        let sent = self.sent_version;
        self.has.retain(|peer, _| book.version_of(peer).is_some_and(|version| version > sent));
        // More may be held back on a stream to an upstream, but that one has no snapshot to wait for.
        flush.resumed = self.resumed && !self.snapshot_sent;
        flush.completes_snapshot = self.flush_at.is_none() && !self.snapshot_sent;
        self.snapshot_sent |= flush.completes_snapshot;
        let first_word = flush.completes_snapshot && self.side == Side::Serving;
        let says_something = !flush.records.is_empty() || first_word || now >= self.beat_at();
        says_something.then(|| {
            self.last_sent = now;
            self.unread = Some(Unread { since: now, bytes: flush.bytes });
            flush
        })
    }
}
