//! The peer address exchange as a state machine without I/O.
#![forbid(unsafe_code)]

mod action;
mod backoff;
mod book;
pub mod config;
mod counters;
mod engine;
mod graves;
mod looks;
mod message;
mod stream;
mod trace;
mod upstream;
mod verifier;

#[cfg(test)]
mod tests;

pub use self::action::{Action, CallFailure, CallId, InboundId, Notice};
pub use self::book::KeptOut;
pub use self::config::Config;
pub use self::counters::Counters;
pub use self::engine::{
    Admission, Disposition, Engine, Now, Origin, PeerView, RecentRequest, StreamRefused,
    UpstreamView,
};
pub use self::message::{
    Answer, Incomplete, OutboundRequest, RemoteAnswer, Request, Scope, UpstreamOutcome,
};
pub use self::stream::StreamId;
pub use self::trace::{
    Hop, InvalidTrace, MAX_HOP_LIMIT, MAX_PATH, RequestId, Stamp, StampKey, Trace,
};
pub use self::upstream::{LastResult, Link, UpstreamId};
pub use self::verifier::{Signatures, Verifier};
