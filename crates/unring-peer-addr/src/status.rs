//! Refusals as gRPC statuses: the one place that maps one to the other.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use unring_exchange::InvalidTrace;
use unring_peer::NotAMember;

use crate::Refusal;
use crate::convert::cut;

/// The domain of our `google.rpc.ErrorInfo`: a status that carries it was made by this protocol and not on the way.
pub const ERROR_DOMAIN: &str = "unring";

/// Bytes of a status message. It travels as a header, and parts of it were chosen by the caller.
const MAX_STATUS_MESSAGE_BYTES: usize = 1024;

/// `error` and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

impl Refusal {
    /// The code, and the reason as `google.rpc.ErrorInfo` names it.
    fn code(&self) -> (Code, &'static str) {
        match self {
            Self::Trace(InvalidTrace::PathTooLong { .. }) => {
                (Code::InvalidArgument, "PATH_TOO_LONG")
            }
            Self::Trace(InvalidTrace::LastHopNotCaller { .. }) => {
                (Code::PermissionDenied, "LAST_HOP_NOT_CALLER")
            }
            Self::Trace(InvalidTrace::AnonymousCaller) => {
                (Code::Unauthenticated, "ANONYMOUS_CALLER")
            }
            Self::Trace(InvalidTrace::OtherKey { .. }) => (Code::InvalidArgument, "OTHER_KEY"),
            Self::Trace(InvalidTrace::Signature { .. }) => {
                (Code::InvalidArgument, "ORIGIN_SIGNATURE")
            }
            Self::Message(_) => (Code::InvalidArgument, "INVALID_MESSAGE"),
            Self::Unauthenticated(_) => (Code::Unauthenticated, "UNAUTHENTICATED"),
            Self::NotAMember(NotAMember::Denied { .. }) => (Code::PermissionDenied, "DENIED"),
            Self::NotAMember(NotAMember::NotAllowed { .. }) => {
                (Code::PermissionDenied, "NOT_ALLOWED")
            }
            Self::NotAMember(NotAMember::NothingShown) => (Code::Unauthenticated, "NO_TOKEN"),
            Self::NotAMember(NotAMember::OtherToken) => (Code::Unauthenticated, "OTHER_TOKEN"),
            Self::RateLimited { .. } => (Code::ResourceExhausted, "RATE_LIMITED"),
            Self::Busy { .. } => (Code::ResourceExhausted, "BUSY"),
            Self::TooManyStreams { .. } => (Code::ResourceExhausted, "TOO_MANY_STREAMS"),
            // The stream as a whole has to be opened again, which is what ABORTED says.
            Self::SlowConsumer { .. } => (Code::Aborted, "SLOW_CONSUMER"),
            Self::SilentCaller { .. } => (Code::Aborted, "SILENT_CALLER"),
            Self::Draining { .. } => (Code::Unavailable, "DRAINING"),
            Self::DeadlineExceeded { .. } => (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. }
            | Self::Busy { retry_after, .. }
            | Self::TooManyStreams { retry_after, .. }
            | Self::SlowConsumer { retry_after, .. }
            | Self::SilentCaller { retry_after, .. }
            | Self::Draining { retry_after } => Some(*retry_after),
            Self::Trace(_)
            | Self::Message(_)
            | Self::Unauthenticated(_)
            | Self::NotAMember(_)
            | Self::DeadlineExceeded { .. } => None,
        }
    }

    /// The numbers, for programs.
    fn metadata(&self) -> HashMap<String, String> {
        let pairs: &[(&str, String)] = match self {
            Self::RateLimited { limit, rate_per_second, .. } => {
                &[("limit", (*limit).to_owned()), ("rate_per_second", rate_per_second.to_string())]
            }
            Self::Busy { limit, .. } | Self::TooManyStreams { limit, .. } => {
                &[("limit", limit.to_string())]
            }
            Self::SlowConsumer { behind, .. } => &[("behind", behind.to_string())],
            Self::SilentCaller { after, .. } => &[("after_ms", after.as_millis().to_string())],
            Self::DeadlineExceeded { budget } => &[("budget_ms", budget.as_millis().to_string())],
            Self::Message(error) => &[("field", error.field().to_owned())],
            Self::Trace(_)
            | Self::Unauthenticated(_)
            | Self::NotAMember(_)
            | Self::Draining { .. } => &[],
        };
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let (code, reason) = refusal.code();
        let message = chain(&refusal);
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, ERROR_DOMAIN, refusal.metadata());
        if let Some(delay) = refusal.retry_after() {
            details.set_retry_info(Some(delay));
        }
        if let Refusal::Message(error) = &refusal {
            details.add_bad_request_violation(
                error.field(),
                cut(&chain(error), MAX_STATUS_MESSAGE_BYTES),
            );
        }
        Self::with_error_details(code, cut(&message, MAX_STATUS_MESSAGE_BYTES), details)
    }
}
