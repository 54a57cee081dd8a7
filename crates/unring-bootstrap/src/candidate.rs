//! Where a peer may be, and perhaps who it is.

use std::fmt;
use std::str::FromStr;

use multiaddr::{Multiaddr, Protocol};
use thiserror::Error;
use unring_peer::{InvalidAddress, PeerAddress, PeerId};

/// Where a peer may be, and who must answer there if that is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Candidate {
    /// Where.
    pub address: PeerAddress,
    /// Who; none where only an address is known, as in DNS.
    pub peer: Option<PeerId>,
}

/// Why a text is no [`Candidate`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidCandidate {
    /// Not a multiaddr, or one with a protocol that is not known.
    #[error("not a multiaddr")]
    NotMultiaddr,
    /// Of another transport, or with something behind the peer id.
    #[error("not of the form /ip4|ip6/ADDRESS/tcp/PORT with or without /p2p/ID")]
    Address(#[source] InvalidAddress),
    /// Two names for one peer.
    #[error("the address says {named}, and its owner {given}")]
    OtherPeer {
        /// In the address.
        named: PeerId,
        /// Beside it.
        given: PeerId,
    },
}

impl Candidate {
    /// Reads `/ip4|ip6/ADDRESS[/tcp/PORT][/p2p/ID]`. Spegel lets an address go without its port, which is `port` then;
    /// `given` is the peer id that stands beside the address, if there is one.
    ///
    /// # Errors
    /// When it is of another form or cannot be dialled.
    pub fn parse(
        text: &str,
        given: Option<PeerId>,
        port: Option<u16>,
    ) -> Result<Self, InvalidCandidate> {
        // Longer than any address: not worth the parser's time.
        if text.len() > 2 * unring_peer::limits::MAX_ADDRESS_BYTES {
            return Err(InvalidCandidate::NotMultiaddr);
        }
        let mut address: Multiaddr = text.parse().map_err(|_| InvalidCandidate::NotMultiaddr)?;
        let named = match address.iter().last() {
            Some(Protocol::P2p(named)) => {
                address.pop();
                Some(named)
            }
            _ => None,
        };
        if let (Some(port), 1) = (port, address.iter().count()) {
            address.push(Protocol::Tcp(port));
        }
        let address = PeerAddress::from_multiaddr(address).map_err(InvalidCandidate::Address)?;
        match (named, given) {
            (Some(named), Some(given)) if named != given => {
                Err(InvalidCandidate::OtherPeer { named, given })
            }
            _ => Ok(Self { address, peer: named.or(given) }),
        }
    }

    /// The address as libp2p takes it, with the peer id at its end if there is one.
    #[must_use]
    pub fn to_multiaddr(&self) -> Multiaddr {
        let address = self.address.as_multiaddr().clone();
        match self.peer {
            Some(peer) => address.with(Protocol::P2p(peer)),
            None => address,
        }
    }
}

impl FromStr for Candidate {
    type Err = InvalidCandidate;

    fn from_str(text: &str) -> Result<Self, InvalidCandidate> {
        Self::parse(text, None, None)
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_multiaddr().fmt(f)
    }
}
