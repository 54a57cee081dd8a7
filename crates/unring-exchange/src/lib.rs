#![doc = include_str!("../README.md")]
//! # Events and actions
//!
//! | What happens | Reported with |
//! |---|---|
//! | a request comes in, or its caller gives up | [`Engine::on_request`], [`Engine::on_request_cancelled`] |
//! | an authenticated caller connects | [`Engine::on_caller`] |
//! | an [`Action::Call`] or [`Action::Probe`] ends, however | [`Engine::on_call_done`], [`Engine::on_probe_done`] |
//! | a node or client watches us | [`Engine::on_watcher`] |
//! | an [`Action::OpenStream`] succeeds | [`Engine::on_stream_opened`] |
//! | records come on a stream, it ends or could not be opened | [`Engine::on_stream_records`], [`Engine::on_stream_closed`] |
//! | an [`Action::PersistSeq`] is on disk, or cannot be | [`Engine::on_seq_persisted`] |
//! | an [`Action::Push`] is on its way | [`Engine::on_stream_taken`] |
//! | [`Engine::next_timer`] is due | [`Engine::on_timer`] |
//! | configuration or addresses change | [`Engine::set_upstreams`], [`Engine::set_addresses`], [`Engine::set_membership`] |
//!
//! After each, [`Engine::take_actions`] is emptied. A connection to an upstream is kept for its stream and requests; a
//! probe gets one of its own, and an [`Action::CloseStream`] closes the one below the stream, so
//! that the next one may lead elsewhere. `fresh` says of a result that its connection was made for it.
//!
//! # Bounds
//!
//! Every bound and pause is a constant in [`config`] or a field of [`Config`], with its reason and what happens there.
#![forbid(unsafe_code)]

mod action;
mod backoff;
mod batch;
mod book;
pub mod config;
mod counters;
mod engine;
mod graves;
mod id;
mod looks;
mod message;
mod now;
mod records;
mod renewal;
mod stream;
mod trace;
mod upstream;
mod verifier;

#[cfg(test)]
mod tests;

pub use self::action::{Action, CallFailure, Notice, StreamEnd};
pub use self::batch::{Batch, Position};
pub use self::book::KeptOut;
pub use self::config::Config;
pub use self::counters::Counters;
pub use self::engine::{
    Admission, Disposition, Engine, Grave, Origin, PeerView, RecentRequest, Restored,
    StreamRefused, UpstreamView,
};
pub use self::id::{CallId, InboundId, StreamId, UpstreamId};
pub use self::message::{
    Answer, Incomplete, OutboundRequest, RemoteAnswer, Request, Scope, UpstreamOutcome,
};
pub use self::now::Now;
pub use self::records::{Records, Sample, Written};
pub use self::trace::{
    Hop, InvalidTrace, MAX_HOP_LIMIT, MAX_PATH, RequestId, Stamp, StampKey, Trace,
};
pub use self::upstream::{LastResult, Link};
pub use self::verifier::{Signatures, Verifier};
