//! What is under way.

use std::time::Duration;

use unring_exchange::{Answer, Batch, CallId, OutboundRequest, Position, StreamId, UpstreamId};
use unring_peer::{PeerId, SignedRecord};

use crate::node::NodeId;

/// One life of a node: what is meant for it does not reach the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Party {
    pub(crate) node: NodeId,
    pub(crate) life: u32,
}

/// A call that waits for its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Caller {
    pub(crate) party: Party,
    pub(crate) call: CallId,
    /// It was made over a new connection.
    pub(crate) fresh: bool,
    pub(crate) upstream: UpstreamId,
}

/// Who waits for the answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Waiting {
    Node(Caller),
    Client(usize),
}

/// One end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct End {
    pub(crate) party: Party,
    pub(crate) stream: StreamId,
}

#[derive(Debug)]
pub(crate) enum Message {
    Timer(Party),
    Request { to: Party, from: Caller, request: Box<OutboundRequest>, timeout: Duration },
    Response { to: Caller, from: PeerId, answer: Box<Answer> },
    Failure { to: Caller, reason: &'static str },
    Probed { to: Caller, peer: Option<PeerId> },
    OpenStream { to: Party, from: End, record: SignedRecord, resume: Option<Position>, fresh: bool },
    StreamOpened { to: End, peer: PeerId, fresh: bool },
    Batch { to: End, batch: Batch<SignedRecord> },
    StreamClosed { to: End },
}

impl Message {
    /// Who gets it.
    pub(crate) fn party(&self) -> Party {
        match self {
            Self::Timer(party) => *party,
            Self::Request { to, .. } | Self::OpenStream { to, .. } => *to,
            Self::Response { to, .. } | Self::Failure { to, .. } | Self::Probed { to, .. } => {
                to.party
            }
            Self::StreamOpened { to, .. }
            | Self::Batch { to, .. }
            | Self::StreamClosed { to, .. } => to.party,
        }
    }

    /// The end of a stream that it is for. What is for one end arrives in the order in which it was sent.
    pub(crate) fn end(&self) -> Option<End> {
        match self {
            Self::StreamOpened { to, .. }
            | Self::Batch { to, .. }
            | Self::StreamClosed { to, .. } => Some(*to),
            _ => None,
        }
    }

    /// Whether it goes over the network, and is not something that a node notices by itself.
    pub(crate) fn is_sent(&self) -> bool {
        !matches!(self, Self::Timer(_) | Self::Failure { .. })
    }
}
