//! What goes out on streams: news are passed on once per direction of a join, by `seq` alone, and wait in the book.
//!
//! A stream has one push on its way. What changes meanwhile is not queued: once the push is taken, the next one holds what
//! has changed since, each node's newest record only. So a reader that is slow for a while misses versions that nobody
//! needs any more, and one that has stopped costs one push.

use std::time::Duration;

use crate::action::{Action, StreamEnd};
use crate::batch::{Batch, Position};
use crate::config::{MAX_UNREAD_BYTES, SLOW_WHEN_FULL, UNREAD_RETRY};
use crate::engine::Engine;
use crate::id::StreamId;
use crate::now::Now;
use crate::stream::Flush;
use crate::verifier::Verifier;

impl<V: Verifier> Engine<V> {
    /// The transport has taken the last [`Action::Push`] on a stream. True when more is waiting, which the next
    /// [`on_timer`](Self::on_timer) sends: it is due at once then.
    pub fn on_stream_taken(&mut self, id: StreamId) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else { return false };
        self.unread_bytes -= stream.taken();
        stream.has_news()
    }

    pub(crate) fn flush_streams(&mut self, now: Now) {
        let (mut slow, mut waiting) = (Vec::new(), false);
        let own = self.own.news();
        for (id, stream) in &mut self.streams {
            if stream.due().is_none_or(|due| due > now.mono) {
                continue;
            }
            if stream.unread().is_some() {
                slow.push(*id);
                continue;
            }
            if self.unread_bytes >= MAX_UNREAD_BYTES {
                stream.put_off_flush(now.mono + UNREAD_RETRY);
                waiting = true;
                continue;
            }
            let Some(flush) = stream.flush(now.mono, *id, &self.book, own) else { continue };
            self.unread_bytes += stream.unread().map_or(0, |unread| unread.bytes);
            self.counters.pushes += flush.records.len() as u64;
            let position = Position { epoch: self.epoch, version: stream.sent_version() };
            let Flush { records, completes_snapshot: snapshot_complete, resumed, .. } = flush;
            let received = stream.heard();
            self.counters.heartbeats += u64::from(records.is_empty() && !snapshot_complete);
            let batch = Batch { records, snapshot_complete, resumed, position, received };
            self.actions.push(Action::Push { stream: *id, batch });
        }
        if waiting {
            slow.extend(self.longest_unread(now.mono));
        }
        for id in slow {
            self.end_slow(now, id);
        }
    }

    /// The stream that has not been read for longest, if that is long enough to end it for the sake of others.
    fn longest_unread(&self, now: Duration) -> Option<StreamId> {
        let unread = self.streams.iter().filter_map(|(id, stream)| Some((stream.unread()?, *id)));
        let (unread, id) =
            unread.filter(|(unread, _)| unread.bytes > 0).min_by_key(|(unread, _)| unread.since)?;
        (unread.since + SLOW_WHEN_FULL <= now).then_some(id)
    }

    fn end_slow(&mut self, now: Now, id: StreamId) {
        let Some(stream) = self.streams.get(&id) else { return };
        let sent = stream.sent_version();
        let own = self.own.news().is_some_and(|own| own.version > sent);
        let behind = self.book.changes_since(sent).count() + usize::from(own);
        self.counters.slow_consumers += 1;
        self.end_stream(now, id, StreamEnd::SlowConsumer { behind });
    }
}
