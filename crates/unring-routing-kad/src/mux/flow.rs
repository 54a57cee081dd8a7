//! What a connection holds for its streams.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::config::{MAX_INBOUND_BYTES_HELD, MAX_OUTBOUND_BYTES_HELD, MAX_STREAMS_PER_CONNECTION};

/// What a piece of data takes beside its bytes: its buffer's head, its place in a queue, the allocator's share. Without it, pieces
/// of one byte would be free.
pub(crate) const PIECE_COST: usize = 64;

/// Counts of one connection. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flow(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Streams that somebody has, or that the peer says it opened; [`Flow::announced`] bounds these.
    live: HashMap<u32, Held>,
    /// Of all in `live`.
    inbound: usize,
    /// Of streams that were dropped, until yamux has thrown it away: it does so when it can write.
    dropped: usize,
    /// Below zero for the moment in which a frame goes out before its stream has said that it was written.
    outbound: isize,
    /// The socket takes nothing.
    blocked: bool,
    /// The connection is gone.
    closed: bool,
    /// The connection's task, while it must not read.
    reader: Option<Waker>,
    /// Streams that must not write; at most one entry each.
    writers: HashMap<u32, Waker>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Held {
    bytes: usize,
    pieces: usize,
}

impl Held {
    fn cost(self) -> usize {
        self.bytes + self.pieces * PIECE_COST
    }
}

impl Flow {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This node opened a stream.
    pub(crate) fn opened(&self, id: u32) {
        self.state().live.entry(id).or_default();
    }

    /// The peer says that it opens a stream. Yamux may yet refuse it, and then nobody ever drops it: what is remembered of such frames
    /// has a bound, beyond which their data is not read.
    pub(crate) fn announced(&self, id: u32) {
        let mut state = self.state();
        if state.live.len() < MAX_STREAMS_PER_CONNECTION {
            state.live.entry(id).or_default();
        }
    }

    /// The connection is gone: nobody has to wait for it.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.writers.drain().for_each(|(_, waker)| waker.wake());
    }

    /// Whether another frame may be read; if not, the task is woken when it may.
    pub(crate) fn poll_may_read(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if !state.blocked {
            state.dropped = 0;
        }
        if state.inbound + state.dropped < MAX_INBOUND_BYTES_HELD {
            return Poll::Ready(());
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// A piece of data for a stream is about to come. `false`: nobody has that stream.
    pub(crate) fn arrives(&self, id: u32, bytes: usize) -> bool {
        let mut state = self.state();
        let Some(held) = state.live.get_mut(&id) else { return false };
        held.bytes += bytes;
        held.pieces += 1;
        state.inbound += bytes + PIECE_COST;
        true
    }

    /// The owner of a stream took bytes from it.
    pub(crate) fn taken(&self, id: u32, bytes: usize) {
        let mut state = self.state();
        let Some(held) = state.live.get_mut(&id) else { return };
        let before = held.cost();
        held.bytes = held.bytes.saturating_sub(bytes);
        if held.bytes == 0 {
            held.pieces = 0;
        }
        let freed = before - held.cost();
        state.inbound = state.inbound.saturating_sub(freed);
        state.wake_reader();
    }

    /// The owner of a stream dropped it.
    pub(crate) fn dropped(&self, id: u32) {
        let mut state = self.state();
        state.writers.remove(&id);
        let Some(held) = state.live.remove(&id) else { return };
        state.inbound = state.inbound.saturating_sub(held.cost());
        state.dropped += held.cost();
        state.wake_reader();
    }

    /// Whether more may be written on a stream; if not, the task is woken when it may.
    pub(crate) fn poll_may_write(&self, cx: &Context<'_>, id: u32) -> Poll<()> {
        let mut state = self.state();
        if state.closed || state.outbound < MAX_OUTBOUND_BYTES_HELD.cast_signed() {
            return Poll::Ready(());
        }
        state.writers.insert(id, cx.waker().clone());
        Poll::Pending
    }

    /// So many bytes were written on a stream.
    pub(crate) fn written(&self, bytes: usize) {
        if bytes > 0 {
            self.state().outbound += (bytes + PIECE_COST).cast_signed();
        }
    }

    /// A frame with so many bytes of data went into the socket.
    pub(crate) fn sent(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut state = self.state();
        state.outbound -= (bytes + PIECE_COST).cast_signed();
        if state.outbound < MAX_OUTBOUND_BYTES_HELD.cast_signed() {
            state.writers.drain().for_each(|(_, waker)| waker.wake());
        }
    }

    /// Whether the socket took what it was last given.
    pub(crate) fn set_blocked(&self, blocked: bool) {
        self.state().blocked = blocked;
    }

    #[cfg(test)]
    pub(crate) fn streams(&self) -> usize {
        self.state().live.len()
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> (usize, isize) {
        let state = self.state();
        (state.inbound + state.dropped, state.outbound)
    }
}

impl State {
    /// Enough was taken, or it has to look again.
    fn wake_reader(&mut self) {
        if (self.inbound < MAX_INBOUND_BYTES_HELD)
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
    }
}
