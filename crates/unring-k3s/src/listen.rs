//! HTTP/1.1 over TLS, bounded in connections and in time.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::access::CertifiedUser;
use crate::limits;
use crate::places::Places;
use crate::respond::Peers;
use crate::server::K3sServer;
use crate::tls::ServerTls;

/// How long a TLS handshake may take, and how long the head of a request, each; a client that sends it byte by byte
/// (slow-loris) included.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may be open, whatever it does: handshake, head, and as long again to read the answer. K3s's own
/// client gives up after 10 s.
pub const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);

/// Asked before a connection has cost anything.
pub trait Gate {
    /// Whether this address gets a TLS handshake now. Without one the connection is closed.
    fn admit(&self, client: IpAddr) -> bool;

    /// How long to wait before the next connection is taken; the others wait in the kernel's backlog.
    fn pause(&self) -> Option<Duration>;
}

/// A gate that is always open.
#[derive(Clone, Copy, Debug)]
pub struct Open;

impl Gate for Open {
    fn admit(&self, _: IpAddr) -> bool {
        true
    }

    fn pause(&self) -> Option<Duration> {
        None
    }
}

/// Accepts connections for ever; dropping the future closes them all.
///
/// At most [`limits::MAX_CONNECTIONS`] are open, and [`limits::MAX_CONNECTIONS_PER_ADDRESS`] from one address; above it a
/// connection is closed as soon as it comes. Each is for one request, as K3s's own client has it, and closed with its
/// answer. `tls` is asked for each connection, so that a certificate can be replaced without a restart.
pub async fn serve<P>(
    listener: TcpListener,
    tls: impl Fn() -> ServerTls + Send,
    server: Arc<K3sServer<P>>,
    gate: impl Gate + Send,
) where
    P: Peers + Send + Sync + 'static,
{
    let places = Places::default();
    let started = Instant::now();
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            // What ended gives its memory back, also while nobody comes.
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(_) => {
                // Out of file handles: some are given back soon.
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if let Some(pause) = gate.pause() {
            sleep(pause).await;
        }
        let Some(place) = places.take(client.ip()).filter(|_| gate.admit(client.ip())) else {
            continue;
        };
        let (server, acceptor) = (Arc::clone(&server), TlsAcceptor::from(tls().0));
        // Without it an answer would wait for the acknowledgement of the handshake; whether it is set decides no result.
        let _ = stream.set_nodelay(true);
        connections.spawn(async move {
            connection(&server, stream, client.ip(), acceptor, started).await;
            drop(place);
        });
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset)
}

/// One connection, for [`CONNECTION_TIMEOUT`] at the most. A client that breaks off is not this server's concern.
pub(crate) async fn connection<P: Peers>(
    server: &K3sServer<P>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    client: IpAddr,
    tls: TlsAcceptor,
    started: Instant,
) {
    let done = one_request(server, stream, client, tls, started);
    let _ = timeout(CONNECTION_TIMEOUT, done).await;
}

async fn one_request<P: Peers>(
    server: &K3sServer<P>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    client: IpAddr,
    tls: TlsAcceptor,
    started: Instant,
) {
    let Ok(Ok(stream)) = timeout(HEAD_TIMEOUT, tls.accept(stream)).await else { return };
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = certificate.and_then(|own| CertifiedUser::of_certificate(own));
    let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
        let (head, _) = request.into_parts();
        let now = started.elapsed();
        let answer = server.respond(&head, client, certificate.as_ref(), now);
        std::future::ready(Ok::<_, std::convert::Infallible>(answer))
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    http.max_buf_size(limits::MAX_HEAD_BYTES).keep_alive(false);
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}
