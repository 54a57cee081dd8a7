//! `GET /v1-k3s/p2p`: `peerInfo` of K3s, with the authentication before it.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::client::PATH;
use crate::limits::{Ledger, count};
use crate::log::{Log, chain};
use crate::sources::Chain;

/// The most connections that are open at once; the next waits to be accepted. Above the calls in flight of a whole run,
/// so that it is never this that limits.
const MAX_CONNECTIONS: usize = 4096;

/// How long a TLS handshake may take, as for Go's `net/http` when it is told a limit.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// What answers.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) chain: Chain,
    pub(crate) ca_pem: Arc<Vec<u8>>,
    /// `user:password` or a bearer token; without it only client certificates count.
    pub(crate) token: Option<String>,
    /// Requests being answered (`WithMaxInFlightLimit`, k3s#12154); without it there is no limit.
    pub(crate) cap: Option<Arc<Semaphore>>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) log: Log,
}

type Answer = Response<Full<Bytes>>;

/// Accepts for ever.
pub(crate) async fn accept(server: Arc<Server>, listener: TcpListener, tls: TlsAcceptor) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(room) = Arc::clone(&connections).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file handles: some are given back soon.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let (server, tls) = (Arc::clone(&server), tls.clone());
        tokio::spawn(async move {
            serve(&server, stream, &tls).await;
            drop(room);
        });
    }
}

async fn serve(server: &Arc<Server>, stream: TcpStream, tls: &TlsAcceptor) {
    let Ok(client) = stream.peer_addr().map(|client| client.ip().to_string()) else { return };
    // Without it an answer would wait for the acknowledgement of the handshake; whether it is set decides no result.
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await else { return };
    let certified = stream.get_ref().1.peer_certificates().is_some();
    let service = service_fn(|request| {
        let (server, client) = (Arc::clone(server), client.clone());
        async move { answer(server, request, certified, client).await }
    });
    // A client that goes away is not this server's concern.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    server: Arc<Server>,
    request: Request<Incoming>,
    certified: bool,
    client: String,
) -> Result<Answer, http::Error> {
    match request.uri().path() {
        "/cacerts" => return text(StatusCode::OK, server.ca_pem.to_vec()),
        PATH => {}
        _ => return text(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
    if !certified && !server.knows(&request) {
        return text(StatusCode::UNAUTHORIZED, "Unauthorized\n");
    }
    count(&server.ledger.received);
    let turn = match &server.cap {
        None => None,
        Some(cap) => match Arc::clone(cap).try_acquire_owned() {
            Ok(turn) => Some(turn),
            Err(_) => {
                count(&server.ledger.refused);
                let refused = "Too many requests, please try again later.\n";
                let mut answer = text(StatusCode::TOO_MANY_REQUESTS, refused)?;
                answer.headers_mut().insert(RETRY_AFTER, http::HeaderValue::from_static("1"));
                return Ok(answer);
            }
        },
    };
    let json = request.headers().get(ACCEPT).is_some_and(|accept| accept == "application/json");
    // A task of its own: the client may go away, and then this future is dropped, but what K3s does for it goes on.
    let handled = tokio::spawn(async move {
        let answer = server.peer_info(json, &client).await;
        drop(turn);
        answer
    });
    handled.await.unwrap_or_else(|_| text(StatusCode::INTERNAL_SERVER_ERROR, ""))
}

impl Server {
    fn knows(&self, request: &Request<Incoming>) -> bool {
        let given = request.headers().get(AUTHORIZATION).and_then(|given| given.to_str().ok());
        self.token.as_deref().is_some_and(|token| given == Some(&authorization(token)))
    }

    async fn peer_info(&self, json: bool, client: &str) -> Result<Answer, http::Error> {
        let addresses = match self.chain.get().await {
            Ok(addresses) => addresses,
            Err(errors) => {
                let errors: Vec<String> = errors.iter().map(|error| chain(error)).collect();
                return text(StatusCode::INTERNAL_SERVER_ERROR, errors.join("\n") + "\n");
            }
        };
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let Some(first) = addresses.first() else {
            return text(StatusCode::SERVICE_UNAVAILABLE, "no peer addresses available\n");
        };
        if json {
            let all = addresses.join(" ");
            self.log.debug(&format!("Serving p2p peer addrs [{all}] to client at {client}"));
            let body = serde_json::to_vec(&addresses).unwrap_or_default();
            return with_type(StatusCode::OK, "application/json", body);
        }
        self.log.debug(&format!("Serving p2p peer addr {first} to client at {client}"));
        with_type(StatusCode::OK, "text/plain", first.clone())
    }
}

/// The `Authorization` of a token: `user:password` is basic, anything else a bearer's.
pub(crate) fn authorization(token: &str) -> String {
    match token.contains(':') {
        true => format!("Basic {}", base64(token.as_bytes())),
        false => format!("Bearer {token}"),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Result<Answer, http::Error> {
    with_type(status, "text/plain; charset=utf-8", body)
}

fn with_type(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Result<Answer, http::Error> {
    Response::builder().status(status).header(CONTENT_TYPE, kind).body(Full::new(body.into()))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let word = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for place in 0..4_usize {
            let sextet = (word >> (18 - 6 * place)) & 63;
            let letter = ALPHABET.get(usize::try_from(sextet).unwrap_or(0));
            text.push(if place > chunk.len() { '=' } else { letter.map_or('=', |&l| l.into()) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::authorization;

    #[test]
    fn a_token_is_basic_or_bearer() {
        assert_eq!(authorization("node:secret"), "Basic bm9kZTpzZWNyZXQ=");
        assert_eq!(authorization("a:bcd"), "Basic YTpiY2Q=");
        assert_eq!(authorization("ab:c"), "Basic YWI6Yw==");
        assert_eq!(authorization("a:bcde"), "Basic YTpiY2Rl");
        assert_eq!(authorization("abcdef.0123456789abcdef"), "Bearer abcdef.0123456789abcdef");
    }
}
