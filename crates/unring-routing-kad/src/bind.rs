//! Binding the listeners, and what can go wrong with that.

use std::io;

use libp2p::core::transport::{ListenerId, TransportError};
use libp2p::swarm::InvalidProtocol;
use libp2p::{Swarm, noise, tls};
use multiaddr::Multiaddr;
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use crate::address;
use crate::config::{Config, MAX_OWN_ADDRESSES, MIN_MAX_CONNECTIONS};
use crate::swarm::Behaviour;
use crate::transport::SetupError;

/// Why a network could not be started. Nothing stays bound.
#[derive(Debug, Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error("{address} is already in use")]
    InUse {
        /// The address asked for.
        address: Multiaddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address asked for.
        address: Multiaddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Not an address of a transport that is spoken.
    #[error("{address} is not of the form /ip4|ip6/ADDRESS/tcp/PORT")]
    Unsupported {
        /// The address given.
        address: Multiaddr,
    },
    /// An address to announce that nobody can dial.
    #[error("{address} cannot be announced: port 0, unspecified or multicast")]
    NotDialable {
        /// The address given.
        address: Multiaddr,
    },
    /// More addresses than [`MAX_OWN_ADDRESSES`].
    #[error("{got} addresses, at most {MAX_OWN_ADDRESSES} are allowed")]
    TooManyAddresses {
        /// How many were given.
        got: usize,
    },
    /// Fewer connections than [`MIN_MAX_CONNECTIONS`].
    #[error("{got} connections are too few, at least {MIN_MAX_CONNECTIONS} are needed")]
    TooFewConnections {
        /// How many were given.
        got: u32,
    },
    /// More than one address to announce with Kademlia: releases of Spegel before 0.6 pass over peers with two.
    #[error("{got} addresses to announce, with Kademlia it can be only one")]
    ExternalAddresses {
        /// How many there are.
        got: usize,
    },
    /// The name of the protocol does not begin with a slash.
    #[error("the name of the Kademlia protocol is not valid")]
    Protocol(#[source] InvalidProtocol),
    /// The Noise keys could not be made.
    #[error("failed to set up Noise")]
    Noise(#[source] noise::Error),
    /// The certificate for TLS could not be made.
    #[error("failed to set up TLS")]
    Tls(#[source] tls::certificate::GenError),
}

/// Checks everything that can be checked before a port is bound.
pub(crate) fn validate(config: &Config) -> Result<(), BindError> {
    if config.limits.max_connections < MIN_MAX_CONNECTIONS {
        return Err(BindError::TooFewConnections { got: config.limits.max_connections });
    }
    let got = config.listen.len().max(config.external.len());
    if got > MAX_OWN_ADDRESSES {
        return Err(BindError::TooManyAddresses { got });
    }
    if config.kad.is_some() && config.external.len() > 1 {
        return Err(BindError::ExternalAddresses { got: config.external.len() });
    }
    for address in config.listen.iter().chain(&config.external) {
        if address::socket(address).is_none() {
            return Err(BindError::Unsupported { address: address.clone() });
        }
    }
    for address in &config.external {
        if !address::socket(address).is_some_and(address::can_be_dialled) {
            return Err(BindError::NotDialable { address: address.clone() });
        }
    }
    Ok(())
}

impl From<SetupError> for BindError {
    fn from(error: SetupError) -> Self {
        match error {
            SetupError::Noise(error) => Self::Noise(error),
            SetupError::Tls(error) => Self::Tls(error),
        }
    }
}

/// Starts one listener.
pub(crate) fn listen(
    swarm: &mut Swarm<Behaviour>,
    address: &Multiaddr,
) -> Result<ListenerId, BindError> {
    probe(address)?;
    swarm.listen_on(address.clone()).map_err(|error| match error {
        TransportError::MultiaddrNotSupported(address) => BindError::Unsupported { address },
        TransportError::Other(source) => failed(address, source),
    })
}

/// Whether the port is free. libp2p binds with `SO_REUSEPORT`, with which a second node of the same user would bind
/// the same port, and connections would reach either at random.
fn probe(address: &Multiaddr) -> Result<(), BindError> {
    let Some(socket) = address::socket(address).filter(|socket| socket.port() != 0) else {
        return Ok(());
    };
    let bind = || {
        let probe = Socket::new(Domain::for_address(socket), Type::STREAM, Some(Protocol::TCP))?;
        if socket.is_ipv6() {
            probe.set_only_v6(true)?;
        }
        // As std does: old connections of the port in TIME_WAIT are no obstacle, a listener is one.
        probe.set_reuse_address(true)?;
        probe.bind(&socket.into())
    };
    bind().map_err(|source| failed(address, source))
}

fn failed(address: &Multiaddr, source: io::Error) -> BindError {
    let address = address.clone();
    if source.kind() == io::ErrorKind::AddrInUse {
        BindError::InUse { address, source }
    } else {
        BindError::Listen { address, source }
    }
}

/// A listener that closed or stayed silent while it was being bound.
pub(crate) fn not_ready(address: &Multiaddr, reason: Option<io::Error>) -> BindError {
    let source = reason
        .unwrap_or_else(|| io::Error::new(io::ErrorKind::TimedOut, "no address was reported"));
    failed(address, source)
}
