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
use crate::places::{Place, Places, Progress};
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

    /// Told of connections that were closed for want of a place, to be counted.
    fn closed(&self, _: Closed) {}
}

/// Which connection was closed for want of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The one that came: every place is taken by somebody who has asked, or has just come.
    Newcomer,
    /// One that had asked nothing for longest, for one that came.
    Quietest,
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
/// At most [`limits::MAX_CONNECTIONS`] are open, and [`limits::MAX_CONNECTIONS_PER_ADDRESS`] from one address; above it the
/// one that has asked nothing for longest, 2 s at the least, is closed for the one that comes, a neighbour of its address
/// before others; without any the one that comes is closed. Each is for one request, as K3s's own client has it, and closed with its
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
        let now = Instant::now();
        if !places.has_room(client.ip(), now) {
            gate.closed(Closed::Newcomer);
            continue;
        }
        // Before, so that nobody gives way to one that is then refused.
        if !gate.admit(client.ip()) {
            continue;
        }
        let Some((place, instead)) = places.take(client.ip(), now) else { continue };
        if instead {
            gate.closed(Closed::Quietest);
        }
        let (server, acceptor) = (Arc::clone(&server), TlsAcceptor::from(tls().0));
        // Without it an answer would wait for the acknowledgement of the handshake; whether it is set decides no result.
        let _ = stream.set_nodelay(true);
        connections.spawn(async move {
            connection(&server, stream, client.ip(), acceptor, started, place).await;
        });
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset)
}

/// One connection, for [`CONNECTION_TIMEOUT`] at the most, or until another has its place. A client that breaks off is not this server's concern.
pub(crate) async fn connection<P: Peers>(
    server: &K3sServer<P>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    client: IpAddr,
    tls: TlsAcceptor,
    started: Instant,
    mut place: Place,
) {
    let progress = place.progress();
    let done = one_request(server, stream, client, tls, started, &progress);
    tokio::select! {
        _ = timeout(CONNECTION_TIMEOUT, done) => {}
        () = place.gave_way() => {}
    }
}

async fn one_request<P: Peers>(
    server: &K3sServer<P>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    client: IpAddr,
    tls: TlsAcceptor,
    started: Instant,
    progress: &Progress,
) {
    let Ok(Ok(stream)) = timeout(HEAD_TIMEOUT, tls.accept(stream)).await else { return };
    progress.heard(Instant::now());
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = certificate.and_then(|own| CertifiedUser::of_certificate(own));
    let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
        progress.asked();
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
