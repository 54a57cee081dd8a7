//! Streams of records, both ways: how they open and end, and what comes on them.

use std::time::Duration;

use thiserror::Error;
use unring_peer::{PeerId, UnverifiedRecord};

use crate::action::{Action, CallFailure, StreamEnd};
use crate::backoff::{jitter, out_of_step};
use crate::batch::{Batch, Position};
use crate::book::Introducer;
use crate::config::{
    MAX_ANONYMOUS_STREAMS, MAX_STREAMS, MAX_STREAMS_PER_CALLER, PROBE_AGAIN, PROBE_INTERVAL,
    STREAM_TIMEOUT,
};
use crate::engine::Engine;
use crate::id::{StreamId, UpstreamId};
use crate::now::Now;
use crate::stream::{Side, Stream};
use crate::upstream::Link;
use crate::verifier::Verifier;

/// Why a stream is not opened.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum StreamRefused {
    /// As many are open as may be: [`MAX_STREAMS`], or [`MAX_ANONYMOUS_STREAMS`] of callers without a name.
    #[error("{open} streams are open, no more are allowed")]
    TooMany {
        /// How many are open.
        open: usize,
    },
}

impl<V: Verifier> Engine<V> {
    /// A downstream node, or any other client, wants to hear of changes. It gets a snapshot at once, or what changed
    /// since `resume`, the position of the last batch that it got from us. That is all if the position is of this life of
    /// ours and nothing expired since that it does not have in the version that expired: it then forgets what it forgets by
    /// the signed times, as we do. Else it gets the snapshot, and is told by [`Batch::resumed`].
    ///
    /// A caller that has [`MAX_STREAMS_PER_CALLER`] open loses the oldest: after a broken connection it comes back before
    /// we notice.
    ///
    /// # Errors
    /// When [`MAX_STREAMS`] are open, or [`MAX_ANONYMOUS_STREAMS`] of callers without a name.
    pub fn on_watcher(
        &mut self,
        now: Now,
        caller: Option<PeerId>,
        caller_record: Option<UnverifiedRecord>,
        resume: Option<Position>,
    ) -> Result<StreamId, StreamRefused> {
        let open = self.streams.len();
        let serves_caller = |stream: &Stream| stream.side == Side::Serving && stream.peer == caller;
        let mut of_caller = self.streams.iter().filter(|(_, stream)| serves_caller(stream));
        let (count, oldest) = (of_caller.clone().count(), of_caller.next().map(|(id, _)| *id));
        if open >= MAX_STREAMS || caller.is_none() && count >= MAX_ANONYMOUS_STREAMS {
            return Err(StreamRefused::TooMany { open });
        }
        if let Some(oldest) = oldest.filter(|_| caller.is_some() && count >= MAX_STREAMS_PER_CALLER)
        {
            self.end_stream(now, oldest, StreamEnd::Unwanted);
        }
        let id = StreamId(self.next_id());
        let mut stream = Stream::new(now.mono, Side::Serving, caller, 0);
        stream.schedule(now.mono, Duration::ZERO);
        if let Some(Position { version, .. }) = resume.filter(|resume| resume.epoch == self.epoch) {
            let all = !self.book.can_resume_after(version);
            stream.resume(version, all);
            self.counters.streams_resumed += u64::from(!all);
        }
        self.streams.insert(id, stream);
        if let Some(caller) = caller {
            self.detector.caller_seen(now.mono, &caller);
        }
        if let Some(record) = caller_record {
            self.accept(now, record, Introducer { peer: caller, stream: Some(id) });
        }
        Ok(id)
    }

    /// An authenticated caller has connected, whether or not it asks for anything: a node that looks where an address leads
    /// does not. Rings that it closes are known from both sides then.
    pub fn on_caller(&mut self, now: Now, caller: PeerId) {
        self.detector.caller_seen(now.mono, &caller);
    }

    /// A stream to an upstream is open; `peer` is who the transport says is there.
    pub fn on_stream_opened(&mut self, now: Now, id: StreamId, peer: PeerId, fresh: bool) {
        let Some(upstream) = self.opening(id) else { return };
        self.observe(now, upstream, peer, fresh);
        let me = self.me();
        let Some(state) = self.upstreams.get_mut(&upstream) else { return };
        if peer == me {
            // Nothing to hear from ourselves. Behind a shared address the next connection may lead to another node.
            let pause = if state.leads_only_to(&me) {
                jitter(PROBE_AGAIN, &mut self.rng)
            } else {
                out_of_step(PROBE_INTERVAL, &mut self.rng)
            };
            state.link = Link::Waiting { until: now.mono + pause };
            self.detector.caller_seen(now.mono, &me);
            self.end_stream(now, id, StreamEnd::Unwanted);
            return;
        }
        state.stream_opened(now.mono, id);
        // What it was sent is the record that the request to open it held; a newer one follows with the first flush.
        let side = Side::Watching(upstream);
        let mut stream = Stream::new(now.mono, side, Some(peer), state.offered_seq);
        stream.opened_at(self.book.version());
        self.streams.insert(id, stream);
    }

    /// A batch has come on a stream, `refused` of whose records could not be read. One that is cut into slices says only
    /// with the last where it stands and that it completes the snapshot.
    pub fn on_stream_records(
        &mut self,
        now: Now,
        id: StreamId,
        batch: Batch<UnverifiedRecord>,
        refused: usize,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let introducer = Introducer { peer: stream.peer, stream: Some(id) };
        stream.is_heard(now.mono);
        if let Side::Watching(upstream) = stream.side {
            let last = self.upstreams.get(&upstream).and_then(|upstream| upstream.resume);
            stream.upstream_spoke(&batch, last);
        }
        self.counters.records_invalid += refused as u64;
        self.accept_all(now, batch.records, introducer);
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.has_heard(batch.position.version);
        if batch.snapshot_complete {
            stream.has_heard_all();
            stream.schedule(now.mono, Duration::ZERO);
        }
    }

    /// A batch has come on a stream and waits to be taken in: the other end is there, however long that takes.
    pub fn on_stream_heard(&mut self, now: Now, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.is_heard(now.mono);
        }
    }

    /// A stream has ended, from whichever side; for one to an upstream `failure` says why.
    pub fn on_stream_closed(&mut self, now: Now, id: StreamId, failure: &CallFailure) {
        let upstream = match self.remove_stream(id) {
            Some(Stream { side: Side::Watching(upstream), .. }) => Some(upstream),
            Some(_) => None,
            None => self.opening(id),
        };
        let Some(upstream) = upstream else { return };
        let hurried = self.is_hurried(now);
        let Some(state) = self.upstreams.get_mut(&upstream) else { return };
        if failure.unsupported {
            state.cannot_stream(now.mono, &mut self.rng);
        } else {
            state.stream_lost(now.mono, failure, hurried, &mut self.rng);
        }
    }

    fn opening(&self, id: StreamId) -> Option<UpstreamId> {
        let mut upstreams = self.upstreams.iter();
        upstreams
            .find(|(_, upstream)| upstream.link == Link::Opening(id))
            .map(|(upstream, _)| *upstream)
    }

    /// Ends a stream from here. One to an upstream is opened again later.
    pub(crate) fn end_stream(&mut self, now: Now, id: StreamId, end: StreamEnd) {
        self.actions.push(Action::CloseStream { stream: id, end });
        let Some(stream) = self.remove_stream(id) else { return };
        let Side::Watching(upstream) = stream.side else { return };
        let failure = match end {
            StreamEnd::Unwanted => return,
            StreamEnd::SlowConsumer { .. } => CallFailure::new("it does not read what it is sent"),
            StreamEnd::Silent => CallFailure::new(format!("nothing heard for {STREAM_TIMEOUT:?}")),
            StreamEnd::NotAMember => CallFailure::new("it does not belong to the cluster"),
        };
        let hurried = self.is_hurried(now);
        if let Some(state) = self.upstreams.get_mut(&upstream) {
            state.stream_lost(now.mono, &failure, hurried, &mut self.rng);
        }
    }

    /// Ends the streams whose other end is taken for dead.
    pub(crate) fn end_silent_streams(&mut self, now: Now) {
        let is_silent = |stream: &Stream| stream.silent_at().is_some_and(|at| at <= now.mono);
        let silent = self.streams.iter().filter(|(_, stream)| is_silent(stream));
        for id in silent.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.counters.silent_streams += 1;
            self.end_stream(now, id, StreamEnd::Silent);
        }
    }

    fn remove_stream(&mut self, id: StreamId) -> Option<Stream> {
        let mut stream = self.streams.remove(&id)?;
        self.unread_bytes -= stream.taken();
        if let (Side::Watching(upstream), Some(resume)) = (stream.side, stream.resume_point())
            && let Some(upstream) = self.upstreams.get_mut(&upstream)
        {
            upstream.resume = Some(resume);
        }
        Some(stream)
    }
}
