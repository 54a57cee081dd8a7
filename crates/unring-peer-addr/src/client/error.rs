//! Why a call failed, for programs and for operators.

use std::error::Error;
use std::time::Duration;

use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use unring_peer::{GrpcUrl, NotAMember};

use crate::ConnectError;
use crate::limits::MAX_RETRY_AFTER;
use crate::status::{ERROR_DOMAIN, chain};

/// Why a call to another node failed.
#[derive(Debug, Error)]
pub enum CallError {
    /// It was not reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No answer in time.
    #[error("{url}: no answer within {after:?}")]
    Timeout {
        /// Who was asked.
        url: GrpcUrl,
        /// The time it had.
        after: Duration,
    },
    /// It answered that it will not answer.
    #[error("{url}: refused with {code:?}: {message}")]
    Refused {
        /// Who was asked.
        url: GrpcUrl,
        /// The gRPC code.
        code: Code,
        /// The reason's name, when it is one of this protocol's own refusals.
        reason: Option<String>,
        /// What it says.
        message: String,
        /// When asking again is worth it, by its own word.
        retry_after: Option<Duration>,
    },
    /// It answered, and does not belong to the cluster.
    #[error("{url}: who answers does not belong to this cluster")]
    NotAMember {
        /// Who was asked.
        url: GrpcUrl,
        /// Why not.
        source: NotAMember,
    },
    /// It answered something that is no answer.
    #[error("{url}: not an answer of this protocol: {what}")]
    Protocol {
        /// Who was asked.
        url: GrpcUrl,
        /// What is wrong.
        what: String,
    },
    /// The connection ended before the answer did.
    #[error("{url}: the connection was lost: {what}")]
    Lost {
        /// Who was asked.
        url: GrpcUrl,
        /// What is known of the end.
        what: String,
    },
}

impl CallError {
    /// After how long the other end wants to be asked again, when it said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Connect(_)
            | Self::Timeout { .. }
            | Self::NotAMember { .. }
            | Self::Protocol { .. }
            | Self::Lost { .. } => None,
        }
    }

    pub(super) fn of(url: &GrpcUrl, status: &Status) -> Self {
        let url = url.clone();
        // A status with a cause was not sent by anybody: it says what happened to the connection.
        if let Some(cause) = status.source() {
            let what = chain(cause);
            return match broke(cause) {
                true => Self::Protocol { url, what },
                false => Self::Lost { url, what },
            };
        }
        let details = status.get_error_details();
        let ours = details.error_info().filter(|info| info.domain == ERROR_DOMAIN);
        let reason = ours.map(|info| info.reason.clone());
        let unreadable =
            [Code::Internal, Code::Unknown, Code::OutOfRange, Code::DataLoss, Code::Ok];
        // These codes are what gRPC itself makes of bytes that it cannot read; no refusal of ours has them.
        if reason.is_none() && unreadable.contains(&status.code()) {
            return Self::Protocol { url, what: status.message().to_owned() };
        }
        let delay = details.retry_info().and_then(|info| info.retry_delay);
        Self::Refused {
            url,
            code: status.code(),
            reason,
            message: status.message().to_owned(),
            retry_after: delay.map(|delay| delay.min(MAX_RETRY_AFTER)),
        }
    }
}

/// Whether the other end broke the rules of HTTP/2, rather than hanging up.
fn broke(cause: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(cause);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return !error.is_io() && !error.is_remote();
        }
        cause = error.source();
    }
    false
}
