//! Takes the engine's actions.

use std::time::Duration;

use unring_cycle_detector::Voice;
use unring_exchange::config::STREAM_TIMEOUT;
use unring_exchange::{Action, Batch, Notice, StreamEnd};
use unring_peer_addr::{OutboundOpen, OutboundUpdate, Refusal, WatchBatch};

use super::{Exchange, State};
use crate::log::NODE;

/// When a watcher whose stream was ended may open it again.
const COME_BACK: Duration = Duration::from_secs(1);

impl Exchange {
    /// Takes what the engine asks for, in its order. Nothing here waits.
    pub(super) fn act(&self, state: &mut State) {
        for action in state.engine.take_actions() {
            self.take(state, action);
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
            Action::Call { call, upstream, request, timeout } => {
                self.start_call(state, call, upstream, *request, timeout);
            }
            Action::Probe { call, upstream, connected, request, timeout } => {
                self.start_probe(state, call, upstream, connected, *request, timeout);
            }
            Action::OpenStream { stream, upstream, caller_record, resume } => {
                let open = OutboundOpen { caller_record: Some(caller_record), resume };
                self.start_watching(state, stream, upstream, open);
            }
            Action::CloseStream { stream, end } => {
                if let Some(serving) = state.serving.remove(&stream) {
                    *serving.last_word.lock() = last_word(end);
                }
                let watching = state.watching.remove(&stream);
                if let Some(url) = watching.and_then(|end| end.url)
                    && end != StreamEnd::Unwanted
                {
                    self.0.clients.forget(&url);
                }
            }
            // Each end has room for the one push that is on its way. Where there is nobody to take it, its stream is
            // about to be reported as closed.
            Action::Push { stream, batch } => {
                if let Some(end) = state.serving.get(&stream) {
                    let batch = WatchBatch { batch, responder: self.0.me };
                    let _ = end.batches.try_send(batch);
                } else if let Some(end) = state.watching.get(&stream) {
                    let Batch { records, position, .. } = batch;
                    let version = position.version;
                    let update = OutboundUpdate { caller_record: None, records, version };
                    let _ = end.updates.try_send(update);
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
}

/// What a watcher is told when its stream is ended here.
fn last_word(end: StreamEnd) -> Option<Refusal> {
    match end {
        StreamEnd::Unwanted => None,
        StreamEnd::SlowConsumer { behind } => {
            Some(Refusal::SlowConsumer { behind, retry_after: COME_BACK })
        }
        StreamEnd::Silent => {
            Some(Refusal::SilentCaller { after: STREAM_TIMEOUT, retry_after: COME_BACK })
        }
        // What it hears when it opens the next one says why.
        StreamEnd::NotAMember => None,
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
