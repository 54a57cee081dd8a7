//! Reaching another node: name, TCP, TLS.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::{DnsName, ServerName};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use unring_peer::{GrpcUrl, NotAMember, PeerId};

use crate::tls::{peer_of, refused_certificate};
use crate::wire::{ClientIo, Wire};
use crate::{InvalidCertificate, TlsError, TlsIdentity, TlsSwitch};

/// Time for one address, TLS handshake included: nodes of a cluster are milliseconds apart, and what takes longer is
/// better asked again later than waited for.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Time for looking up a name.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Addresses of one name that are tried, in the resolver's order.
pub const MAX_ADDRESSES_TRIED: usize = 4;

/// Sent as the server's name where the host is no DNS name; nobody checks it.
const NO_NAME: &str = "unring.invalid";

/// Reaches the node at a URL.
pub trait Connector: Send + Sync + 'static {
    /// The bytes of a connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Connects, and says whom it reached, where the transport can tell.
    fn connect(
        &self,
        url: &GrpcUrl,
    ) -> impl Future<Output = Result<Connection<Self::Io>, ConnectError>> + Send;
}

/// A connection to another node.
#[derive(Debug)]
pub struct Connection<Io> {
    /// Its bytes.
    pub io: Io,
    /// Whom it reached, as the transport authenticated it; none in plaintext.
    pub peer: Option<PeerId>,
}

/// Why a node cannot be reached.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// A URL of another scheme than the connector's.
    #[error("{url}: this connector only takes {want}")]
    Scheme {
        /// What was to be reached.
        url: GrpcUrl,
        /// The scheme it takes.
        want: &'static str,
    },
    /// Plaintext to another machine, which anybody on the way can read and change.
    #[error(
        "{url} is plaintext and leads to {address}, which is not loopback: use https://, or set insecure = true"
    )]
    NotLoopback {
        /// What was to be reached.
        url: GrpcUrl,
        /// Where it leads.
        address: SocketAddr,
    },
    /// The name cannot be looked up.
    #[error("{url}: the host's name cannot be looked up")]
    Resolve {
        /// What was to be reached.
        url: GrpcUrl,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The name has no address.
    #[error("{url}: the host's name has no address")]
    NoAddress {
        /// What was to be reached.
        url: GrpcUrl,
    },
    /// No TCP connection.
    #[error("{url}: no TCP connection to {address}")]
    Tcp {
        /// What was to be reached.
        url: GrpcUrl,
        /// The last address that was tried.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The TLS handshake failed.
    #[error("{url}: TLS handshake with {address} failed")]
    Tls {
        /// What was to be reached.
        url: GrpcUrl,
        /// The last address that was tried.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The other end's certificate does not say who it is.
    #[error("{url}: the certificate of {address} is refused")]
    Certificate {
        /// What was to be reached.
        url: GrpcUrl,
        /// The last address that was tried.
        address: SocketAddr,
        /// Why.
        #[source]
        source: InvalidCertificate,
    },
    /// Whom it reached does not belong to the cluster.
    #[error("{url}: who was reached does not belong to this cluster")]
    NotAMember {
        /// What was reached.
        url: GrpcUrl,
        /// Why not.
        source: NotAMember,
    },
    /// It took too long.
    #[error("{url}: not connected within {after:?}")]
    Timeout {
        /// What was to be reached.
        url: GrpcUrl,
        /// The time it had.
        after: Duration,
    },
    /// HTTP/2 could not be started.
    #[error("{url}: HTTP/2 could not be started")]
    Http2 {
        /// What was to be reached.
        url: GrpcUrl,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The transport does not say whom it reached.
    #[error("{url}: the transport does not say who answers; only https:// does")]
    NotAuthenticated {
        /// What was reached.
        url: GrpcUrl,
    },
}

/// Who answers at `url`, by the TLS handshake alone. Whether that node would let us in is not known from it: in TLS 1.3
/// a client is done before the server has seen its certificate.
///
/// # Errors
/// When it cannot be reached, or not over TLS.
pub async fn probe<C: Connector>(connector: &C, url: &GrpcUrl) -> Result<PeerId, ConnectError> {
    let connection = connector.connect(url).await?;
    connection.peer.ok_or_else(|| ConnectError::NotAuthenticated { url: url.clone() })
}

/// Connects to `https://` URLs over mutual TLS.
#[derive(Clone, Debug)]
pub struct TlsConnector {
    pub(crate) tls: TlsSwitch,
}

impl TlsConnector {
    /// A connector that shows `identity`.
    ///
    /// # Errors
    /// When the TLS library refuses the configuration.
    pub fn new(identity: &TlsIdentity) -> Result<Self, TlsError> {
        Ok(Self { tls: TlsSwitch::new(identity)? })
    }

    async fn handshake(
        &self,
        url: &GrpcUrl,
        address: SocketAddr,
    ) -> Result<Connection<ClientIo>, ConnectError> {
        let tcp = tcp(url, address).await?;
        let connector = tokio_rustls::TlsConnector::from(self.tls.client());
        let fail = |source| {
            let url = url.clone();
            match refused_certificate(&source) {
                Some(source) => ConnectError::Certificate { url, address, source },
                None => ConnectError::Tls { url, address, source },
            }
        };
        let tls = connector.connect(server_name(url), tcp).await.map_err(fail)?;
        let peer = peer_of(tls.get_ref().1.peer_certificates());
        Ok(Connection { io: ClientIo(Wire::Tls(Box::new(tls.into()))), peer })
    }
}

impl Connector for TlsConnector {
    type Io = ClientIo;

    async fn connect(&self, url: &GrpcUrl) -> Result<Connection<ClientIo>, ConnectError> {
        if !url.is_tls() {
            return Err(ConnectError::Scheme { url: url.clone(), want: "https://" });
        }
        let addresses = resolve(url).await?;
        first(url, &addresses, |address| self.handshake(url, address)).await
    }
}

/// Connects to `http://` URLs without TLS: to loopback addresses, or anywhere where the operator insists.
#[derive(Clone, Copy, Debug)]
pub struct PlainConnector {
    insecure: bool,
}

impl PlainConnector {
    /// A connector that leaves this machine only when `insecure`.
    #[must_use]
    pub fn new(insecure: bool) -> Self {
        Self { insecure }
    }
}

impl Connector for PlainConnector {
    type Io = ClientIo;

    async fn connect(&self, url: &GrpcUrl) -> Result<Connection<ClientIo>, ConnectError> {
        if url.is_tls() {
            return Err(ConnectError::Scheme { url: url.clone(), want: "http://" });
        }
        let addresses = resolve(url).await?;
        let away = addresses.iter().find(|address| !address.ip().to_canonical().is_loopback());
        if let (false, Some(address)) = (self.insecure, away) {
            return Err(ConnectError::NotLoopback { url: url.clone(), address: *address });
        }
        first(url, &addresses, async |address| {
            let tcp = tcp(url, address).await?;
            Ok(Connection { io: ClientIo(Wire::Plain(tcp)), peer: None })
        })
        .await
    }
}

/// Connects as the URL's scheme says.
#[derive(Clone, Debug)]
pub struct UrlConnector {
    tls: TlsConnector,
    plain: PlainConnector,
}

impl UrlConnector {
    /// A connector whose TLS changes while connections are open, and which leaves this machine without TLS only when
    /// `insecure`.
    #[must_use]
    pub fn switched(tls: TlsSwitch, insecure: bool) -> Self {
        Self { tls: TlsConnector { tls }, plain: PlainConnector::new(insecure) }
    }

    /// A connector that shows `identity` over TLS, and leaves this machine without TLS only when `insecure`.
    ///
    /// # Errors
    /// When the TLS library refuses the configuration.
    pub fn new(identity: &TlsIdentity, insecure: bool) -> Result<Self, TlsError> {
        Ok(Self { tls: TlsConnector::new(identity)?, plain: PlainConnector::new(insecure) })
    }
}

impl Connector for UrlConnector {
    type Io = ClientIo;

    async fn connect(&self, url: &GrpcUrl) -> Result<Connection<ClientIo>, ConnectError> {
        if url.is_tls() { self.tls.connect(url).await } else { self.plain.connect(url).await }
    }
}

async fn resolve(url: &GrpcUrl) -> Result<Vec<SocketAddr>, ConnectError> {
    let fail = |source| ConnectError::Resolve { url: url.clone(), source };
    let lookup = timeout(RESOLVE_TIMEOUT, lookup_host((url.host(), url.port()))).await;
    let addresses = lookup.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(fail)?;
    Ok(addresses.take(MAX_ADDRESSES_TRIED).collect())
}

/// The first address that works, each within [`CONNECT_TIMEOUT`]; else the last one's error.
async fn first<F>(
    url: &GrpcUrl,
    addresses: &[SocketAddr],
    connect: impl Fn(SocketAddr) -> F,
) -> Result<Connection<ClientIo>, ConnectError>
where
    F: Future<Output = Result<Connection<ClientIo>, ConnectError>>,
{
    let mut failure = ConnectError::NoAddress { url: url.clone() };
    for address in addresses {
        match timeout(CONNECT_TIMEOUT, connect(*address)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => failure = error,
            Err(_) => {
                failure = ConnectError::Timeout { url: url.clone(), after: CONNECT_TIMEOUT };
            }
        }
    }
    Err(failure)
}

async fn tcp(url: &GrpcUrl, address: SocketAddr) -> Result<TcpStream, ConnectError> {
    let fail = |source| ConnectError::Tcp { url: url.clone(), address, source };
    let tcp = TcpStream::connect(address).await.map_err(fail)?;
    // Without it small requests wait for acknowledgements; a socket that refuses it works all the same.
    let _ = tcp.set_nodelay(true);
    Ok(tcp)
}

/// The host as TLS names it, for proxies that pick by name.
fn server_name(url: &GrpcUrl) -> ServerName<'static> {
    ServerName::try_from(url.host().to_owned())
        .or_else(|_| DnsName::try_from(NO_NAME).map(ServerName::DnsName))
        .unwrap_or(ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_next_address_is_tried_and_the_last_error_is_told() {
        let url: GrpcUrl = "http://node-1:5871".parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        let nobody = |port| SocketAddr::from(([127, 0, 0, 2], port));
        let connect = async |address| {
            let tcp = tcp(&url, address).await?;
            Ok(Connection { io: ClientIo(Wire::Plain(tcp)), peer: None })
        };
        // The port is taken on one loopback address alone.
        assert!(first(&url, &[nobody(there.port()), there], connect).await.is_ok());
        let all = [nobody(there.port()), nobody(1)];
        let error = first(&url, &all, connect).await.unwrap_err();
        assert!(matches!(error, ConnectError::Tcp { address, .. } if address == all[1]), "{error}");
    }
}
