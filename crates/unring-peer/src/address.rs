//! libp2p addresses, parsed once at the edge.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use multiaddr::{Multiaddr, Protocol};
use thiserror::Error;

use crate::limits;

/// A libp2p address that unring dials: `/ip4|ip6/ADDRESS/tcp/PORT`, nothing before or after.
///
/// Names are left out on purpose: Spegel skips a whole peer for one address that is not an IP address, and a name in
/// a record could be pointed anywhere after it was signed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddress(Multiaddr);

/// Why a text is not a [`PeerAddress`].
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum InvalidAddress {
    /// Longer than [`limits::MAX_ADDRESS_BYTES`].
    #[error("address of {got} bytes, at most {} are allowed", limits::MAX_ADDRESS_BYTES)]
    TooLong {
        /// Bytes it has.
        got: usize,
    },
    /// Not a multiaddr, or one with a protocol this version does not know.
    #[error("{0:?} is not a multiaddr")]
    NotMultiaddr(String),
    /// A multiaddr of another transport.
    #[error("{0} is not of the form /ip4|ip6/ADDRESS/tcp/PORT")]
    OtherTransport(String),
    /// An address that no other node can reach: port 0, multicast or unspecified.
    #[error("{0} cannot be dialled")]
    NotDialable(String),
}

impl PeerAddress {
    /// The address as libp2p takes it.
    #[must_use]
    pub fn as_multiaddr(&self) -> &Multiaddr {
        &self.0
    }

    /// Checks `address`; a trailing `/p2p/ID` is not allowed.
    ///
    /// # Errors
    /// When it is of another transport or cannot be dialled.
    pub fn from_multiaddr(address: Multiaddr) -> Result<Self, InvalidAddress> {
        let mut parts = address.iter();
        let ip = match parts.next() {
            Some(Protocol::Ip4(ip)) => IpAddr::V4(ip),
            Some(Protocol::Ip6(ip)) => IpAddr::V6(ip),
            _ => return Err(InvalidAddress::OtherTransport(address.to_string())),
        };
        let (Some(Protocol::Tcp(port)), None) = (parts.next(), parts.next()) else {
            return Err(InvalidAddress::OtherTransport(address.to_string()));
        };
        if port == 0 || ip.is_unspecified() || ip.is_multicast() {
            return Err(InvalidAddress::NotDialable(address.to_string()));
        }
        Ok(Self(address))
    }
}

impl FromStr for PeerAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > limits::MAX_ADDRESS_BYTES {
            return Err(InvalidAddress::TooLong { got: text.len() });
        }
        let address = text.parse().map_err(|_| InvalidAddress::NotMultiaddr(text.to_owned()))?;
        Self::from_multiaddr(address)
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
