//! Why a dial failed, as a type and not only as text.

use libp2p::swarm::DialError;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use thiserror::Error;

use crate::address::without_peer;
use crate::config::MAX_ERROR_TEXT;
use crate::first_bytes::{NoGreeting, no_greeting};
use crate::gate::LimitExceeded;
use crate::lists::KeptOut;

/// Why a dial to a wanted peer failed.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum DialFailure {
    /// Another peer answered: the address belongs to somebody else now.
    #[error("{obtained} answered at {address}")]
    WrongPeer {
        /// Who answered, proven by the handshake.
        obtained: PeerId,
        /// Where.
        address: Multiaddr,
    },
    /// The address leads to this node itself.
    #[error("{address} is this node itself")]
    OwnAddress {
        /// The address.
        address: Multiaddr,
    },
    /// Who is at the address does not greet as libp2p does, and no other address did better.
    #[error("no libp2p of our network at {address}")]
    NoGreeting {
        /// Where.
        address: Multiaddr,
        /// What it did instead.
        #[source]
        source: NoGreeting,
    },
    /// No address answered with a working handshake.
    #[error("unreachable: {detail}")]
    Unreachable {
        /// Each address with its error, at most [`MAX_ERROR_TEXT`] bytes.
        detail: String,
    },
    /// A limit of this node is reached.
    #[error("not admitted")]
    Limit(#[source] LimitExceeded),
    /// A list of this node keeps out who is there.
    #[error("kept out")]
    KeptOut(#[source] KeptOut),
    /// The dial was given up for a reason of this node's own.
    #[error("not dialled: {detail}")]
    NotDialled {
        /// The reason, at most [`MAX_ERROR_TEXT`] bytes.
        detail: String,
    },
}

impl DialFailure {
    pub(crate) fn new(error: &DialError) -> Self {
        match error {
            DialError::WrongPeerId { obtained, address } => {
                Self::WrongPeer { obtained: *obtained, address: without_peer(address) }
            }
            DialError::LocalPeerId { address } => {
                Self::OwnAddress { address: without_peer(address) }
            }
            // The swarm drops addresses that it listens on before it dials.
            DialError::NoAddresses => {
                Self::NotDialled { detail: "every address is this node's own".to_owned() }
            }
            DialError::Denied { cause } => {
                let limit = cause.downcast_ref().copied().map(Self::Limit);
                let kept_out = || cause.downcast_ref().copied().map(Self::KeptOut);
                limit.or_else(kept_out).unwrap_or_else(|| Self::NotDialled { detail: chain(cause) })
            }
            DialError::Transport(errors) => {
                let foreign =
                    errors.iter().find_map(|(address, error)| Some((address, no_greeting(error)?)));
                if let Some((address, source)) = foreign {
                    return Self::NoGreeting { address: without_peer(address), source };
                }
                let errors = errors
                    .iter()
                    .map(|(address, error)| format!("{}: {}", without_peer(address), chain(error)));
                Self::Unreachable { detail: cut(errors.collect::<Vec<_>>().join("; ")) }
            }
            DialError::DialPeerConditionFalse(_) | DialError::Aborted => {
                Self::NotDialled { detail: chain(error) }
            }
        }
    }

    /// The address where somebody else answered.
    pub(crate) fn wrong_address(&self) -> Option<&Multiaddr> {
        match self {
            Self::WrongPeer { address, .. } | Self::OwnAddress { address } => Some(address),
            Self::NoGreeting { .. }
            | Self::Unreachable { .. }
            | Self::Limit(_)
            | Self::KeptOut(_)
            | Self::NotDialled { .. } => None,
        }
    }
}

/// `error` and its causes, each once (libp2p's errors repeat theirs), at most [`MAX_ERROR_TEXT`] bytes.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let part = cause.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        if text.len() > MAX_ERROR_TEXT {
            break;
        }
        source = cause.source();
    }
    cut(text)
}

fn cut(mut text: String) -> String {
    let end = (0..=MAX_ERROR_TEXT).rev().find(|end| text.is_char_boundary(*end));
    if text.len() > MAX_ERROR_TEXT {
        text.truncate(end.unwrap_or(0));
    }
    text
}
