//! What an engine asks of whoever runs it.

use std::time::Duration;

use unring_cycle_detector::Event;
use unring_peer::{PeerId, SignedRecord};

use crate::batch::{Batch, Position};
use crate::config::MAX_RETRY_AFTER;
use crate::id::{CallId, InboundId, StreamId, UpstreamId};
use crate::message::{Answer, OutboundRequest};

/// What an engine asks of whoever runs it. Actions are to be taken in their order.
#[derive(Debug)]
pub enum Action {
    /// Write to disk that our records may have used every `seq` up to this one, and report with
    /// [`Engine::on_seq_persisted`](crate::Engine::on_seq_persisted). No record with a higher one is shown to anybody
    /// before. It is asked for ahead of need, so nothing waits for it: of several only the last needs to be written.
    PersistSeq {
        /// The highest `seq` that may be used then.
        seq: u64,
    },
    /// Answer an inbound request that was pending.
    Answer {
        /// Which.
        inbound: InboundId,
        /// With what.
        answer: Answer,
    },
    /// Send a request and report with [`Engine::on_call_done`](crate::Engine::on_call_done), whatever happens.
    Call {
        /// Its name.
        call: CallId,
        /// Where to.
        upstream: UpstreamId,
        /// What.
        request: Box<OutboundRequest>,
        /// When to give up.
        timeout: Duration,
    },
    /// Look who is at an upstream's address now, over a connection of its own, which is closed afterwards: it may lead
    /// elsewhere than the one in use. If the transport says that one of `connected` is there, nothing is asked: report with
    /// [`Engine::on_probe_done`](crate::Engine::on_probe_done). Else send the request over that connection, since behind
    /// a shared address nothing else may connect us, and report with
    /// [`Engine::on_call_done`](crate::Engine::on_call_done), as fresh.
    Probe {
        /// Its name.
        call: CallId,
        /// Where to.
        upstream: UpstreamId,
        /// Ourselves, and the nodes that the address led to with which a stream is open.
        connected: Vec<PeerId>,
        /// What to ask any other.
        request: Box<OutboundRequest>,
        /// When to give up.
        timeout: Duration,
    },
    /// Open a stream to an upstream and report with [`Engine::on_stream_opened`](crate::Engine::on_stream_opened) or
    /// [`Engine::on_stream_closed`](crate::Engine::on_stream_closed).
    OpenStream {
        /// Its name.
        stream: StreamId,
        /// Where to.
        upstream: UpstreamId,
        /// Our own record, for the first message.
        caller_record: SignedRecord,
        /// Where an earlier stream to this upstream ended; none for a full snapshot. It may be another node today, which
        /// knows by the epoch that it cannot go on there.
        resume: Option<Position>,
    },
    /// Close a stream. No report is needed.
    CloseStream {
        /// Which.
        stream: StreamId,
        /// Why, for the other end.
        end: StreamEnd,
    },
    /// Send a batch on an open stream, and report with [`Engine::on_stream_taken`](crate::Engine::on_stream_taken) when
    /// the transport has taken it. Until then no other follows: whoever runs the engine needs room for one.
    Push {
        /// Which.
        stream: StreamId,
        /// What.
        batch: Batch<SignedRecord>,
    },
    /// Write to disk where an upstream's address leads, for [`Engine::restore_targets`](crate::Engine::restore_targets).
    PersistTargets {
        /// The address, as configured.
        address: String,
        /// Who answered there within the last refreshes.
        targets: Vec<PeerId>,
    },
    /// The book changed: wanted libp2p connections may have, too.
    BookChanged,
    /// Say something about a ring that we are on, as loud as the event says.
    Ring(Event<PeerId>),
    /// Something an operator should hear.
    Notice(Notice),
}

/// Why a stream is ended from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// It is not wanted any more: its upstream was removed or is ourselves, or its caller has opened others since.
    Unwanted,
    /// The other end has not taken a push for [`SLOW_CONSUMER_AFTER`](crate::config::SLOW_CONSUMER_AFTER) and more is
    /// waiting. It can go on from where it is on another stream.
    SlowConsumer {
        /// Changes that wait, our own record among them.
        behind: usize,
    },
    /// Nothing was heard of the other end for [`STREAM_TIMEOUT`](crate::config::STREAM_TIMEOUT). The connection below is
    /// not to be used again.
    Silent,
    /// The other end does not belong to the cluster any more.
    NotAMember,
}

/// Something an operator should hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Another node kept a newer record of ours than we remember: our database was lost or is old. Ours is ahead again.
    SeqAdopted {
        /// The `seq` that we go on from.
        seq: u64,
    },
    /// Another process signs records with our key: an identity was copied. We stop answering it for a while.
    ClonedIdentity {
        /// The name that it gives itself.
        name: String,
        /// The addresses that it gives.
        addresses: Vec<String>,
    },
    /// A record could not be signed, because it breaks a bound that every node checks.
    OwnRecordInvalid {
        /// Why, for people.
        reason: String,
    },
}

/// Why an outbound request or stream failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFailure {
    /// For people: what happened, at which address.
    pub reason: String,
    /// No stream is to be had there, for now or at all, while requests may be answered: poll instead.
    pub unsupported: bool,
    /// The upstream asked not to be asked again before.
    pub retry_after: Option<Duration>,
}

impl CallFailure {
    /// A failure that trying again may mend.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), unsupported: false, retry_after: None }
    }

    /// How long the upstream wants to be left alone, at most [`MAX_RETRY_AFTER`].
    pub(crate) fn wait(&self) -> Duration {
        self.retry_after.unwrap_or_default().min(MAX_RETRY_AFTER)
    }
}
