//! A call to a server: `agentBootstrapper.Get` over `clientaccess.Info.Get`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, CONNECTION, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::address::{self, PeerAddress};
use crate::limits::{Ledger, Limits, count};
use crate::tls::{TlsError, TlsFiles};

/// The path that K3s serves.
pub(crate) const PATH: &str = "/v1-k3s/p2p";

/// The longest answer that is read. K3s reads any; this is a list of 40 000 addresses.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// How calls are made.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(crate) tls: TlsFiles,
    pub(crate) ca_pem: Arc<Vec<u8>>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) give_up_after: Duration,
    /// Its own address: whoever is asked sees it.
    pub(crate) from: IpAddr,
}

/// A server and how it is called.
#[derive(Clone, Debug)]
pub struct Call {
    pub(crate) caller: Caller,
    pub(crate) server: SocketAddr,
}

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer in time, or no turn in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// No key pair.
    #[error("the key pair cannot be used")]
    Tls(#[from] TlsError),
    /// No connection, or one that broke while it was secured.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// Not HTTP, or a connection that broke.
    #[error("the connection broke")]
    Http(#[from] hyper::Error),
    /// The request is not one.
    #[error("the request cannot be written")]
    Request(#[from] http::Error),
    /// The answer is too long, or broke off.
    #[error("the answer cannot be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Not success.
    #[error("{0}")]
    Status(StatusCode),
}

impl Caller {
    /// Calls of somebody who is no node, such as an agent.
    ///
    /// # Errors
    /// The CA's certificate cannot be read.
    pub fn new(tls: TlsFiles, limits: Limits, give_up_after: Duration) -> Result<Self, TlsError> {
        let ca_pem = Arc::new(tls.ca_pem()?);
        let from = Ipv4Addr::LOCALHOST.into();
        Ok(Self { tls, ca_pem, ledger: Ledger::new(limits), give_up_after, from })
    }

    /// A call to this server.
    pub fn call(&self, server: SocketAddr) -> Call {
        Call { caller: self.clone(), server }
    }
}

impl Call {
    /// Where it goes.
    pub fn url(&self) -> String {
        format!("https://{}{PATH}", self.server)
    }

    /// Asks for addresses.
    ///
    /// # Errors
    /// No answer with success within the caller's time, waiting for a turn included.
    pub async fn addresses(&self) -> Result<Vec<PeerAddress>, CallError> {
        let ledger = &self.caller.ledger;
        let after = self.caller.give_up_after;
        let answer = timeout(after, async {
            let _sending = ledger.sending().await;
            self.get().await
        });
        let answer = answer.await.unwrap_or(Err(CallError::TimedOut(after)));
        count(if answer.is_ok() { &ledger.succeeded } else { &ledger.failed });
        Ok(address::of_answer(&answer?))
    }

    /// From the own address where there are several on loopback, as on machines of their own.
    async fn connect(&self) -> io::Result<TcpStream> {
        let from = self.caller.from;
        if from == IpAddr::V4(Ipv4Addr::LOCALHOST) || !self.server.is_ipv4() || !from.is_ipv4() {
            return TcpStream::connect(self.server).await;
        }
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        socket.connect(self.server).await
    }

    async fn get(&self) -> Result<Bytes, CallError> {
        let tls = TlsConnector::from(Arc::new(self.caller.tls.client(&self.caller.ca_pem)?));
        let stream = self.connect().await.map_err(CallError::Connect)?;
        // Go's net package sets it too.
        stream.set_nodelay(true).map_err(CallError::Connect)?;
        let name = ServerName::IpAddress(self.server.ip().into());
        let stream = tls.connect(name, stream).await.map_err(CallError::Connect)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::get(PATH)
            .header(HOST, self.server.to_string())
            .header(ACCEPT, "application/json")
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())?;
        let mut answer = pin!(async {
            let answer = sender.send_request(request).await?;
            if !answer.status().is_success() {
                return Err(CallError::Status(answer.status()));
            }
            let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
            Ok(body.map_err(CallError::Body)?.to_bytes())
        });
        tokio::select! {
            answer = &mut answer => answer,
            // The connection is read to its end before the answer is taken from it.
            _ = connection => answer.await,
        }
    }
}
