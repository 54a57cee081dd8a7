//! Why a node does not start.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;

use crate::database::DatabaseError;
use crate::identity::IdentityError;
use crate::k3s::K3sFileError;
use crate::security::SecretsError;
use crate::sources::HttpFileError;

/// Why a node does not start. Each says what to do.
#[derive(Debug, Error)]
pub enum BuildError {
    /// No identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// What says who belongs to the cluster cannot be read.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// What `bootstrap.http` needs for TLS cannot be used.
    #[error(transparent)]
    Http(#[from] HttpFileError),
    /// No database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {what}: {}", advice(source, key))]
    Listen {
        /// Which service.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// The key that sets it.
        key: &'static str,
        /// Why.
        source: io::Error,
    },
    /// libp2p does not start.
    #[error("cannot start libp2p: check listen.libp2p")]
    Libp2p(#[source] unring_routing_kad::BindError),
    /// No network key.
    #[error(transparent)]
    NetworkKey(#[from] super::NetworkKeyError),
    /// What K3s keeps in files cannot be used.
    #[error(transparent)]
    K3s(#[from] K3sFileError),
    /// A limit is out of range.
    #[error("limits.requests_per_second cannot be used")]
    Rate(#[source] unring_rate_governor::InvalidRate),
    /// The system gives no threads.
    #[error("cannot start the P2P runtime: the system gives no threads; check ulimit -u")]
    Runtime(#[source] io::Error),
}

fn advice(error: &io::Error, key: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("another process uses it; stop that one, or set {key} to a free port")
        }
        io::ErrorKind::PermissionDenied => format!("not allowed; set {key} to a port above 1023"),
        io::ErrorKind::AddrNotAvailable => format!("this host has no such address; check {key}"),
        _ => format!("check {key}"),
    }
}
