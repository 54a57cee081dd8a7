//! What a source is, and how an attempt ended.

use std::time::Duration;

use crate::limits::{ASK_LIMIT, ATTEMPT_LIMIT};

/// Where addresses come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The configuration.
    Static,
    /// A and AAAA records of a name.
    Dns,
    /// TXT records of a name, as `/dnsaddr` has them.
    Dnsaddr,
    /// Spegel's `/id`.
    Http,
    /// The HTTP path of a K3s or RKE2 server.
    K3s,
    /// An unring upstream.
    Grpc,
    /// What the node knew when it stopped.
    Book,
    /// The node itself: what is left when there is nobody else.
    Own,
}

impl Kind {
    /// Its name on the status page and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Dns => "dns",
            Self::Dnsaddr => "dnsaddr",
            Self::Http => "http",
            Self::K3s => "k3s",
            Self::Grpc => "grpc",
            Self::Book => "book",
            Self::Own => "self",
        }
    }

    /// How long its answer may take.
    #[must_use]
    pub fn ask_limit(self) -> Duration {
        match self {
            Self::Dns | Self::Dnsaddr | Self::Http | Self::K3s => ASK_LIMIT,
            Self::Static | Self::Grpc | Self::Book | Self::Own => ATTEMPT_LIMIT,
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Addresses, and somebody answered at one of them.
    Ok,
    /// Addresses, all of them this node's own.
    OnlySelf,
    /// No address.
    Empty,
    /// Addresses, and nobody answered.
    Unreachable,
    /// The source could not be asked, or its answer not be read.
    Failed,
    /// The source did not answer in time.
    TimedOut,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::OnlySelf, Self::Empty, Self::Unreachable, Self::Failed, Self::TimedOut];

    /// Its name on the status page and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::OnlySelf => "only_self",
            Self::Empty => "empty",
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
        }
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Ok => 0,
            Self::OnlySelf => 1,
            Self::Empty => 2,
            Self::Unreachable => 3,
            Self::Failed => 4,
            Self::TimedOut => 5,
        }
    }
}
