//! A stream to a downstream node.

use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use unring_exchange::{Batch, CallFailure, Position, StreamId, StreamRefused};
use unring_peer::UnverifiedRecord;
use unring_peer_addr::{Caller, Refusal, WatchBatch, WatchOpen, WatchUpdate};

use super::Exchange;

/// What a refused watcher is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Records taken in before others get the lock.
const SLICE: usize = 64;

/// Records received that cost as much as an answer from the book: each may need a signature to be checked.
const RECEIVED_PER_UNIT: usize = 4;

/// Records sent that cost as much as an answer from the book, which holds about as many. What a stream costs is what is
/// sent on it: little if it was resumed, and all of a book if it was not.
const SENT_PER_UNIT: usize = 64;

/// What a message costs beside its records, in records sent.
const MESSAGE_WEIGHT: usize = 8;

/// The longest pause before a push that the governor would rather not send. A stream is slowed down and not stopped, and a
/// reader is not taken for slow (10 s) for a pause of ours. As often it is said of a caller that waits to be read that it
/// is there, lest it be taken for dead (45 s).
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// What the governor says of work of this cost: how long to wait with more, if at all.
pub(super) type Charge = Arc<dyn Fn(NonZeroU32) -> Option<Duration> + Send + Sync>;

/// Our end of a stream to a downstream node.
pub(super) struct ServingEnd {
    /// Room for the one push that is on its way.
    pub(super) batches: mpsc::Sender<WatchBatch>,
    /// Why the stream ends, when we end it.
    pub(super) last_word: Arc<Mutex<Option<Refusal>>>,
}

/// What the adapter reads. Dropped, the engine is told.
struct Batches {
    queued: mpsc::Receiver<WatchBatch>,
    /// The transport has not asked for more since it got the last batch, so that it may still hold all of it.
    handed_over: bool,
    last_word: Arc<Mutex<Option<Refusal>>>,
    stream: StreamId,
    exchange: Exchange,
    charge: Charge,
    /// Records sent and not charged for.
    debt: usize,
    /// The governor wants us to wait.
    pause: Option<Pin<Box<Sleep>>>,
    /// Ends the task that reads what the caller sends.
    _reading: DropGuard,
}

impl Exchange {
    /// Opens a stream to a downstream node, or to any other client.
    pub(super) fn serve_watcher(
        &self,
        caller: Caller,
        open: WatchOpen,
        updates: BoxStream<'static, WatchUpdate>,
        charge: Charge,
    ) -> Result<BoxStream<'static, Result<WatchBatch, Refusal>>, Refusal> {
        let (batches, queued) = mpsc::channel(1);
        let last_word = Arc::new(Mutex::new(None));
        let stream = self.event(|state, now| {
            let stream =
                state.engine.on_watcher(now, caller.peer, open.caller_record, open.resume)?;
            // Before the lock is given back, since the snapshot follows at once.
            state.serving.insert(stream, ServingEnd { batches, last_word: Arc::clone(&last_word) });
            Ok(stream)
        });
        let stream = stream.map_err(|StreamRefused::TooMany { open }| Refusal::TooManyStreams {
            limit: open,
            retry_after: RETRY_AFTER,
        })?;
        let reading = self.0.stop.child_token();
        self.read_updates(stream, updates, Arc::clone(&charge), reading.clone());
        let exchange = self.clone();
        let _reading = reading.drop_guard();
        let (handed_over, debt, pause) = (false, 0, None);
        let batches = Batches {
            queued,
            handed_over,
            last_word,
            stream,
            exchange,
            charge,
            debt,
            pause,
            _reading,
        };
        Ok(batches.boxed())
    }

    /// Hears what a watcher has to tell. When it has no more to say, it still listens.
    fn read_updates(
        &self,
        stream: StreamId,
        mut updates: BoxStream<'static, WatchUpdate>,
        charge: Charge,
        reading: CancellationToken,
    ) {
        let exchange = self.clone();
        drop(self.0.tasks.spawn(async move {
            loop {
                let update = tokio::select! {
                    () = reading.cancelled() => return,
                    update = updates.next() => update,
                };
                let Some(WatchUpdate { caller_record, mut records, version, refused }) = update
                else {
                    return;
                };
                records.extend(caller_record);
                // Not read is not decoded, verified or passed on: the caller's own window fills up instead.
                let cost = cost(1 + records.len() / RECEIVED_PER_UNIT);
                let heard = || exchange.stream_heard(stream);
                tokio::select! {
                    () = reading.cancelled() => return,
                    () = admitted(&charge, cost, heard) => {}
                }
                let position = Position { epoch: 0, version };
                let batch = Batch { records, position, ..Batch::default() };
                exchange.stream_records(stream, batch, refused);
            }
        }));
    }

    /// Something came on a stream and is not taken in yet.
    fn stream_heard(&self, stream: StreamId) {
        let mut state = self.0.state.lock();
        let now = self.now();
        state.engine.on_stream_heard(now, stream);
    }

    /// A push has left; the next one follows at once if there is more to say.
    pub(super) fn stream_taken(&self, stream: StreamId) {
        let more = self.0.state.lock().engine.on_stream_taken(stream);
        if more {
            self.event(|_, _| ());
        }
    }

    /// Takes in what came on a stream, in slices, so that nobody waits long for the lock.
    pub(super) fn stream_records(
        &self,
        stream: StreamId,
        mut batch: Batch<UnverifiedRecord>,
        refused: usize,
    ) {
        while batch.records.len() > SLICE {
            let rest = batch.records.split_off(SLICE);
            let records = std::mem::replace(&mut batch.records, rest);
            let slice = Batch { records, ..Batch::default() };
            self.event(|state, now| state.engine.on_stream_records(now, stream, slice, 0));
        }
        self.event(|state, now| state.engine.on_stream_records(now, stream, batch, refused));
    }
}

/// Waits until the governor lets work of this cost pass, and says all the time that the caller is there: it is this node
/// that does not read, and a stream ended for silence would come back with more work than its heartbeats are.
async fn admitted(charge: &Charge, cost: NonZeroU32, heard: impl Fn()) {
    while let Some(wait) = charge(cost) {
        heard();
        sleep(wait.min(MAX_PAUSE)).await;
    }
}

fn cost(units: usize) -> NonZeroU32 {
    let units = u32::try_from(units).unwrap_or(u32::MAX);
    NonZeroU32::new(units).unwrap_or(NonZeroU32::MIN)
}

impl Stream for Batches {
    type Item = Result<WatchBatch, Refusal>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.handed_over) {
            self.exchange.stream_taken(self.stream);
        }
        loop {
            if let Some(pause) = &mut self.pause {
                std::task::ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            if self.debt < SENT_PER_UNIT {
                break;
            }
            let cost = cost(self.debt / SENT_PER_UNIT);
            self.debt %= SENT_PER_UNIT;
            self.pause = (self.charge)(cost).map(|wait| Box::pin(sleep(wait.min(MAX_PAUSE))));
        }
        self.queued.poll_recv(cx).map(|batch| match batch {
            Some(batch) => {
                self.handed_over = true;
                self.debt += MESSAGE_WEIGHT + batch.batch.records.len();
                Some(Ok(batch))
            }
            None => self.last_word.lock().take().map(Err),
        })
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        let stream = self.stream;
        self.exchange.event(|state, now| {
            state.serving.remove(&stream);
            state.engine.on_stream_closed(now, stream, &CallFailure::new("the watcher is gone"));
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_caller_that_waits_to_be_read_is_there() {
        let (refusals, said) = (AtomicUsize::new(3), AtomicUsize::new(0));
        let charge: Charge = Arc::new(move |_| {
            let left = refusals.load(Ordering::Relaxed).checked_sub(1)?;
            refusals.store(left, Ordering::Relaxed);
            Some(Duration::from_millis(1))
        });
        let heard = || {
            said.fetch_add(1, Ordering::Relaxed);
        };
        admitted(&charge, NonZeroU32::MIN, heard).await;
        assert_eq!(said.load(Ordering::Relaxed), 3, "as often as it was refused");
    }
}
