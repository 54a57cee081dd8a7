//! Takes the engine's actions.

use unring_cycle_detector::Voice;
use unring_exchange::{Action, Notice};
use unring_peer_addr::{OutboundUpdate, Refusal, WatchBatch};

use super::{Exchange, State};
use crate::log::NODE;

impl Exchange {
    /// Takes what the engine asks for, in its order. Nothing here waits.
    pub(super) fn act(&self, state: &mut State) {
        // Closing a slow stream is an event of its own, which may leave actions behind.
        loop {
            let actions = state.engine.take_actions();
            if actions.is_empty() {
                break;
            }
            for action in actions {
                self.take(state, action);
            }
        }
    }

    fn take(&self, state: &mut State, action: Action) {
        match action {
            Action::PersistSeq { seq } => {
                self.0.keeper.seq(seq);
            }
            Action::Answer { inbound, answer } => {
                if let Some(caller) = state.answers.remove(&inbound) {
                    // A caller that is gone needs no answer.
                    let _ = caller.send(answer);
                }
            }
            Action::Call { call, upstream, request, timeout, fresh_connection } => {
                self.start_call(state, call, upstream, *request, timeout, fresh_connection);
            }
            Action::OpenStream { stream, upstream, caller_record } => {
                self.start_watching(state, stream, upstream, caller_record);
            }
            Action::CloseStream(stream) => {
                state.serving.remove(&stream);
                state.watching.remove(&stream);
            }
            Action::Push { stream, batch } => {
                if let Some(end) = state.serving.get(&stream) {
                    let behind = batch.records.len();
                    let batch = WatchBatch { batch, responder: self.0.me };
                    if end.batches.try_send(Ok(batch)).is_err() {
                        self.close_slow(state, stream, behind);
                    }
                } else if let Some(end) = state.watching.get(&stream) {
                    let update = OutboundUpdate { caller_record: None, records: batch.records };
                    if end.updates.try_send(update).is_err() {
                        self.close_slow(state, stream, 0);
                    }
                }
            }
            Action::PersistTargets { address, targets } => self.0.keeper.targets(address, targets),
            Action::BookChanged => {
                self.0.keeper.book();
                self.0.book_changed.notify_one();
            }
            Action::Ring(event) => {
                // Lines that were not written need no memory of their own; the counters have them.
                if event.voice() != Voice::Quiet {
                    self.0.keeper.rings();
                }
                // A ring that is gone is not among the known ones any more.
                let names = state.engine.names(&event.ring().members);
                super::rings::log(&event, &names);
            }
            Action::Notice(notice) => log_notice(&notice),
        }
    }

    /// Closes a stream whose other end reads too slowly: it will resume, and nothing piles up here.
    fn close_slow(&self, state: &mut State, stream: unring_exchange::StreamId, behind: usize) {
        if let Some(end) = state.serving.remove(&stream) {
            let waiting = end.batches.max_capacity() - end.batches.capacity();
            *end.last_word.lock() = Some(Refusal::SlowConsumer {
                behind: behind + waiting,
                retry_after: std::time::Duration::from_secs(1),
            });
        }
        state.watching.remove(&stream);
        let failure = unring_exchange::CallFailure::new("the other end reads too slowly");
        state.engine.on_stream_closed(self.now(), stream, &failure);
    }
}

fn log_notice(notice: &Notice) {
    match notice {
        Notice::SeqAdopted { seq } => tracing::info!(
            target: NODE,
            event = "seq_adopted",
            seq,
            "other nodes knew a newer record of this node than its database: the database was lost or is old; going on from there"
        ),
        Notice::ClonedIdentity { name, addresses } => tracing::warn!(
            target: NODE,
            event = "cloned_identity",
            name,
            addresses = addresses.join(", "),
            "another process uses this node's identity: stop one of the two, and give it an identity of its own by moving identity.key out of its data folder"
        ),
        Notice::OwnRecordInvalid { reason } => tracing::error!(
            target: NODE,
            event = "own_record_invalid",
            reason,
            "other nodes would refuse this node's record, so it is not sent: shorten what it holds"
        ),
    }
}
