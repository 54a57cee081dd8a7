//! The peer address exchange as a state machine without I/O.
#![forbid(unsafe_code)]

mod message;
mod trace;

pub use self::message::{
    Answer, Incomplete, OutboundRequest, RemoteAnswer, Request, Scope, UpstreamOutcome,
};
pub use self::trace::{
    Hop, InvalidTrace, MAX_HOP_LIMIT, MAX_PATH, RequestId, Stamp, StampKey, Trace,
};
