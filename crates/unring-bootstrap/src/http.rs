//! Asks an HTTP server for `/id`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST};
use http::uri::Scheme;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::dns::{Dns, DnsError};
use crate::id::{IdAnswer, InvalidId, parse_id};
use crate::limits::{MAX_DETAIL_BYTES, MAX_ID_BYTES};
use crate::tls::Tls;

/// A URL that is asked, whole: Spegel's newest form of it ends in `/id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl {
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
}

/// Why a text is no [`HttpUrl`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not of the form http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH")]
pub struct InvalidHttpUrl;

impl HttpUrl {
    /// Whether it asks for TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }
}

impl std::str::FromStr for HttpUrl {
    type Err = InvalidHttpUrl;

    fn from_str(text: &str) -> Result<Self, InvalidHttpUrl> {
        let uri: Uri = text.parse().map_err(|_| InvalidHttpUrl)?;
        let scheme = uri.scheme().ok_or(InvalidHttpUrl)?;
        let tls = *scheme == Scheme::HTTPS;
        let authority = uri.authority().ok_or(InvalidHttpUrl)?;
        // Credentials would be shown on the status page.
        if (!tls && *scheme != Scheme::HTTP) || authority.as_str().contains('@') {
            return Err(InvalidHttpUrl);
        }
        let host = authority.host();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if bare.is_empty() {
            return Err(InvalidHttpUrl);
        }
        let port = match (authority.port_u16(), tls) {
            (Some(port), _) => port,
            (None, _) if authority.as_str().ends_with(':') || authority.as_str() != host => {
                return Err(InvalidHttpUrl);
            }
            (None, true) => 443,
            (None, false) => 80,
        };
        let host = bare.to_owned();
        Ok(Self { uri, host, port, tls })
    }
}

impl std::fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.uri.fmt(f)
    }
}

/// Why an HTTP server told nothing.
#[derive(Debug, Error)]
pub enum HttpError {
    /// Its name is not known.
    #[error("no address of the server")]
    Name(#[source] DnsError),
    /// Nobody listens.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// A URL of `https` without CA files.
    #[error("https needs the CA of the server")]
    NoTls,
    /// Its name fits into no certificate.
    #[error("the host fits into no certificate")]
    ServerName,
    /// No TLS with it: another CA or name, expired, or our own certificate is refused.
    #[error("no TLS connection")]
    Tls(#[source] io::Error),
    /// Not HTTP, or a connection that broke.
    #[error("the connection broke")]
    Http(#[source] hyper::Error),
    /// The URL cannot be written into a request.
    #[error("the request cannot be written")]
    Request(#[source] http::Error),
    /// Too long, or broken off.
    #[error("the answer is longer than {MAX_ID_BYTES} bytes, or broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Not 200. A redirection is not followed.
    #[error("{status}: {detail:?}")]
    Status {
        /// What it says.
        status: StatusCode,
        /// The start of the body.
        detail: String,
    },
    /// None of the three forms.
    #[error("the answer is no /id")]
    Answer(#[source] InvalidId),
}

/// Asks one URL, each time over a connection of its own. Give it up after [`crate::limits::ASK_LIMIT`]: dropping the future
/// ends the connection.
#[derive(Clone, Debug)]
pub struct HttpSource {
    /// What is asked.
    pub url: HttpUrl,
    /// With which CA, and as whom; needed for `https`.
    pub tls: Option<Tls>,
    /// Who knows the host's address.
    pub dns: Dns,
    /// The port of addresses without one: this node's own libp2p port.
    pub port: u16,
}

impl HttpSource {
    /// Asks once.
    ///
    /// # Errors
    /// When there is no answer, or it is none.
    pub async fn ask(&self) -> Result<IdAnswer, HttpError> {
        let tcp = self.connect().await?;
        let body = if self.url.tls {
            let tls = self.tls.as_ref().ok_or(HttpError::NoTls)?;
            let name = ServerName::try_from(self.url.host.clone());
            let name = name.map_err(|_| HttpError::ServerName)?;
            let connector = TlsConnector::from(Arc::clone(tls.config()));
            self.get(connector.connect(name, tcp).await.map_err(HttpError::Tls)?).await?
        } else {
            self.get(tcp).await?
        };
        parse_id(&body, self.port).map_err(HttpError::Answer)
    }

    /// To the first of its addresses that listens.
    async fn connect(&self) -> Result<TcpStream, HttpError> {
        let ips = match self.url.host.parse::<IpAddr>() {
            Ok(ip) => vec![ip],
            Err(_) => self.dns.ips(&self.url.host).await.map_err(HttpError::Name)?,
        };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
        for ip in ips {
            match TcpStream::connect(SocketAddr::new(ip, self.url.port)).await {
                Ok(tcp) => return Ok(tcp),
                Err(error) => last = error,
            }
        }
        Err(HttpError::Connect(last))
    }

    async fn get<T>(&self, stream: T) -> Result<Bytes, HttpError>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let path = self.url.uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = self.url.uri.authority().map_or("", |authority| authority.as_str());
        let request = Request::get(path)
            .header(HOST, authority)
            .header(ACCEPT, "application/json, text/plain")
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(HttpError::Request)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(HttpError::Http)?;
        let mut answer = pin!(async {
            let answer = sender.send_request(request).await.map_err(HttpError::Http)?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ID_BYTES).collect().await;
            if head.status != StatusCode::OK {
                let detail = body.map(|body| detail(&body.to_bytes())).unwrap_or_default();
                return Err(HttpError::Status { status: head.status, detail });
            }
            body.map(http_body_util::Collected::to_bytes).map_err(HttpError::Body)
        });
        tokio::select! {
            answer = &mut answer => answer,
            // The connection is read to its end before the answer is taken from it.
            _ = connection => answer.await,
        }
    }
}

fn detail(body: &[u8]) -> String {
    let start = body.get(..MAX_DETAIL_BYTES).unwrap_or(body);
    String::from_utf8_lossy(start).trim().replace(|c: char| c.is_control(), " ")
}
