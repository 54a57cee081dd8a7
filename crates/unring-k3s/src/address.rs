//! Addresses as K3s hands them out: a multiaddr that ends with a peer id.

use std::fmt;
use std::str::FromStr;

use multiaddr::{Multiaddr, Protocol};
use thiserror::Error;
use unring_peer::{InvalidAddress, PeerAddress, PeerId};

use crate::limits;

/// Where a peer is and who it is: `/ip4|ip6/ADDRESS/tcp/PORT/p2p/ID`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct K3sAddress {
    /// Who.
    pub peer: PeerId,
    /// Where.
    pub address: PeerAddress,
}

/// Why a text is not a [`K3sAddress`].
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum InvalidK3sAddress {
    /// Longer than [`limits::MAX_ADDRESS_BYTES`].
    #[error("address of {got} bytes, at most {} are allowed", limits::MAX_ADDRESS_BYTES)]
    TooLong {
        /// Bytes it has.
        got: usize,
    },
    /// Not a multiaddr, or one with a protocol this version does not know.
    #[error("not a multiaddr")]
    NotMultiaddr,
    /// It does not say who is there.
    #[error("no /p2p/ID at its end")]
    NoPeerId,
    /// What stands before the peer id cannot be dialled.
    #[error("the part before /p2p/ is not one that is dialled")]
    Address(#[from] InvalidAddress),
}

impl FromStr for K3sAddress {
    type Err = InvalidK3sAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > limits::MAX_ADDRESS_BYTES {
            return Err(InvalidK3sAddress::TooLong { got: text.len() });
        }
        let mut address: Multiaddr = text.parse().map_err(|_| InvalidK3sAddress::NotMultiaddr)?;
        let Some(Protocol::P2p(peer)) = address.pop() else {
            return Err(InvalidK3sAddress::NoPeerId);
        };
        Ok(Self { peer, address: PeerAddress::from_multiaddr(address)? })
    }
}

impl fmt::Display for K3sAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/p2p/{}", self.address, self.peer)
    }
}
