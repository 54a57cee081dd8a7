//! One GET over a connection of its own.

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::limits;
use crate::url::ServerUrl;

/// How long a call may take in all, connection included: what K3s's own client gives it.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a call brought no body.
#[derive(Debug, Error)]
pub enum CallError {
    /// Not within [`CALL_TIMEOUT`].
    #[error("no answer within {CALL_TIMEOUT:?}")]
    TimedOut,
    /// Nobody listens, or no such name.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// No TLS with it: another CA or name, expired, or our own certificate is refused.
    #[error("no TLS connection")]
    Tls(#[source] io::Error),
    /// The TLS library refuses CA, certificate or key.
    #[error("the TLS library refuses CA, certificate or key")]
    TlsConfig(#[source] rustls::Error),
    /// Not HTTP, or a connection that broke.
    #[error("the connection broke")]
    Http(#[source] hyper::Error),
    /// The credentials have bytes that no header can hold.
    #[error("the request cannot be written")]
    Request(#[source] http::Error),
    /// Too long, or broken off.
    #[error("the body is longer than {at_most} bytes, or broke off")]
    Body {
        /// What was allowed.
        at_most: usize,
        /// What was wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Not success. A redirection is none: credentials are sent to the configured server alone.
    #[error("{status}: {detail:?}")]
    Status {
        /// What it says.
        status: StatusCode,
        /// When to come back, where it says.
        retry_after: Option<Duration>,
        /// The start of the body, at most [`limits::MAX_DETAIL_BYTES`].
        detail: String,
    },
}

/// A body, and from where it came.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) body: Bytes,
    pub(crate) remote: IpAddr,
}

/// What a call asks for, and with what.
pub(crate) struct Call<'a> {
    pub(crate) server: &'a ServerUrl,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) path: &'static str,
    pub(crate) authorization: Option<&'a str>,
    pub(crate) at_most: usize,
}

impl Call<'_> {
    /// Dropping the future ends the connection.
    pub(crate) async fn get(self) -> Result<Fetched, CallError> {
        timeout(CALL_TIMEOUT, self.call()).await.unwrap_or(Err(CallError::TimedOut))
    }

    async fn call(self) -> Result<Fetched, CallError> {
        let (server, at_most) = (self.server, self.at_most);
        let request = self.request().map_err(CallError::Request)?;
        // An address that `ServerUrl` has checked; none of its kinds lacks a name.
        let name = server.server_name().ok_or_else(|| {
            CallError::Tls(io::Error::new(io::ErrorKind::InvalidInput, "no server name"))
        })?;
        let tcp =
            TcpStream::connect((server.host(), server.port())).await.map_err(CallError::Connect)?;
        let remote = tcp.peer_addr().map_err(CallError::Connect)?.ip();
        let tls = TlsConnector::from(self.tls).connect(name, tcp).await.map_err(CallError::Tls)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(tls)).await.map_err(CallError::Http)?;
        let mut answer = pin!(async {
            let answer = sender.send_request(request).await.map_err(CallError::Http)?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, at_most).collect().await;
            if !head.status.is_success() {
                let detail = body.map(|body| detail(&body.to_bytes())).unwrap_or_default();
                let retry_after = retry_after(&head.headers);
                return Err(CallError::Status { status: head.status, retry_after, detail });
            }
            match body {
                Ok(body) => Ok(Fetched { body: body.to_bytes(), remote }),
                Err(source) => Err(CallError::Body { at_most, source }),
            }
        });
        tokio::select! {
            answer = &mut answer => answer,
            // The connection is read to its end before the answer is taken from it.
            _ = connection => answer.await,
        }
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, http::Error> {
        let mut request = Request::get(self.path)
            .header(HOST, self.server.authority())
            .header(ACCEPT, "application/json")
            .header(CONNECTION, "close")
            .body(Empty::new())?;
        if let Some(text) = self.authorization {
            let mut value = HeaderValue::from_str(text)?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }
}

/// In whole seconds; a date is not read, as Go's clients do not.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(limits::MAX_RETRY_AFTER))
}

/// The start of a body, on one line.
pub(crate) fn detail(body: &[u8]) -> String {
    let start = body.get(..limits::MAX_DETAIL_BYTES).unwrap_or(body);
    let text = String::from_utf8_lossy(start);
    text.trim().replace(|c: char| c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_shown_shows_no_credentials() {
        let server = "https://server1:6443".parse().unwrap();
        let tls = crate::tls::trusting_anybody().unwrap();
        let authorization = Some("Basic hunter2");
        let call = Call { server: &server, tls, path: "/", authorization, at_most: 1 };
        let request = call.request().unwrap();
        assert_eq!(request.headers()[AUTHORIZATION], "Basic hunter2");
        let shown = format!("{request:?}");
        assert!(shown.contains("authorization") && !shown.contains("hunter2"), "{shown}");
    }
}
