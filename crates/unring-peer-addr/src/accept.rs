//! Accepting connections within bounds.

mod counters;
mod io;
mod slots;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::Stream;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;

pub use self::counters::{AcceptCounters, AcceptCounts};
pub use self::io::ServerIo;
use self::slots::{Slot, Slots};
use crate::status::chain;
use crate::tls::{peer_of, refused_certificate};
use crate::wire::Wire;
use crate::{ConnectInfo, TlsError, TlsIdentity, Transport};

/// Connections open at once, handshakes included: a node's neighbours many times over, at about 50 KiB each. One more
/// is closed at once.
pub const DEFAULT_MAX_CONNECTIONS: usize = 512;

/// Connections open at once from one IPv4 address or IPv6 /64 network: several nodes behind one NAT still fit, and one
/// host cannot take every place. One more is closed at once.
pub const DEFAULT_MAX_CONNECTIONS_PER_IP: usize = 128;

/// TLS handshakes at once, each about half a millisecond of CPU. At the bound the newest connection is closed: the
/// ones before it have waited longer.
pub const DEFAULT_MAX_HANDSHAKES: usize = 64;

/// Time for the TLS handshake, and again for the first bytes of HTTP/2.
pub const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after the operating system had no room for a connection (EMFILE), since it would say so again at once.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(100);

/// Bounds on what is accepted. [`AcceptLimits::new`] fills in the defaults.
#[derive(Clone, Debug)]
pub struct AcceptLimits {
    /// See [`DEFAULT_MAX_CONNECTIONS`].
    pub max_connections: usize,
    /// See [`DEFAULT_MAX_CONNECTIONS_PER_IP`].
    pub max_connections_per_ip: usize,
    /// See [`DEFAULT_MAX_HANDSHAKES`].
    pub max_handshakes: usize,
    /// See [`DEFAULT_HANDSHAKE_TIMEOUT`].
    pub handshake_timeout: Duration,
}

impl AcceptLimits {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_connections: DEFAULT_MAX_CONNECTIONS,
            max_connections_per_ip: DEFAULT_MAX_CONNECTIONS_PER_IP,
            max_handshakes: DEFAULT_MAX_HANDSHAKES,
            handshake_timeout: DEFAULT_HANDSHAKE_TIMEOUT,
        }
    }
}

impl Default for AcceptLimits {
    fn default() -> Self {
        Self::new()
    }
}

/// Connections of a TCP listener, over TLS or plain, as [`serve`](crate::serve) takes them.
///
/// Handshakes run beside each other in tasks of their own. A connection that fails is counted and never ends the
/// stream, which has no end and no errors. Dropping it closes the listener and every unfinished handshake.
#[derive(Debug)]
pub struct Incoming {
    listener: TcpListener,
    tls: Option<Tls>,
    limits: AcceptLimits,
    counters: Arc<AcceptCounters>,
    slots: Slots,
    handshakes: JoinSet<Option<ServerIo>>,
    pause: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone)]
struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(..)")
    }
}

impl Incoming {
    /// Connections over mutual TLS.
    ///
    /// # Errors
    /// When the TLS library refuses the configuration.
    pub fn tls(
        listener: TcpListener,
        identity: &TlsIdentity,
        limits: AcceptLimits,
        counters: Arc<AcceptCounters>,
    ) -> Result<Self, TlsError> {
        let tls = Tls(TlsAcceptor::from(identity.server_config()?));
        Ok(Self::new(listener, Some(tls), limits, counters))
    }

    /// Connections in plaintext: for loopback, or where the operator insists.
    #[must_use]
    pub fn plain(
        listener: TcpListener,
        limits: AcceptLimits,
        counters: Arc<AcceptCounters>,
    ) -> Self {
        Self::new(listener, None, limits, counters)
    }

    fn new(
        listener: TcpListener,
        tls: Option<Tls>,
        limits: AcceptLimits,
        counters: Arc<AcceptCounters>,
    ) -> Self {
        let slots = Slots::new(limits.max_connections, limits.max_connections_per_ip);
        let handshakes = JoinSet::new();
        Self { listener, tls, limits, counters, slots, handshakes, pause: None }
    }

    /// Takes in one connection: gives it back when it is ready, starts its handshake, or closes it.
    fn admit(&mut self, tcp: TcpStream, remote: SocketAddr) -> Option<ServerIo> {
        let slot = match self.slots.take(remote.ip()) {
            Ok(slot) => slot,
            Err(full) => {
                self.counters.refused(full);
                return None;
            }
        };
        // Without it small answers wait for acknowledgements; a socket that refuses it works all the same.
        let _ = tcp.set_nodelay(true);
        let Some(Tls(acceptor)) = self.tls.clone() else {
            let info = ConnectInfo { peer: None, remote, transport: Transport::Plaintext };
            self.counters.accepted();
            return Some(ServerIo::new(
                Wire::Plain(tcp),
                info,
                slot,
                self.limits.handshake_timeout,
            ));
        };
        if self.handshakes.len() >= self.limits.max_handshakes {
            self.counters.handshakes_full();
            return None;
        }
        let counters = Arc::clone(&self.counters);
        let limit = self.limits.handshake_timeout;
        self.handshakes.spawn(handshake(acceptor, tcp, remote, slot, limit, counters));
        None
    }
}

async fn handshake(
    acceptor: TlsAcceptor,
    tcp: TcpStream,
    remote: SocketAddr,
    slot: Slot,
    limit: Duration,
    counters: Arc<AcceptCounters>,
) -> Option<ServerIo> {
    let tls = match timeout(limit, acceptor.accept(tcp)).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => {
            let why = refused_certificate(&error).map_or_else(|| chain(&error), |why| chain(&why));
            tracing::debug!(%remote, error = why, "TLS handshake failed");
            counters.handshake_failed();
            return None;
        }
        Err(_) => {
            tracing::debug!(%remote, ?limit, "TLS handshake took too long");
            counters.handshake_timed_out();
            return None;
        }
    };
    let peer = peer_of(tls.get_ref().1.peer_certificates());
    let info = ConnectInfo { peer, remote, transport: Transport::Tls };
    counters.accepted();
    Some(ServerIo::new(Wire::Tls(Box::new(tls.into())), info, slot, limit))
}

impl Stream for Incoming {
    type Item = std::io::Result<ServerIo>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match this.handshakes.poll_join_next(cx) {
                Poll::Ready(Some(Ok(Some(io)))) => return Poll::Ready(Some(Ok(io))),
                Poll::Ready(Some(_)) => continue,
                Poll::Ready(None) | Poll::Pending => {}
            }
            if let Some(pause) = &mut this.pause {
                std::task::ready!(pause.as_mut().poll(cx));
                this.pause = None;
            }
            match std::task::ready!(this.listener.poll_accept(cx)) {
                Ok((tcp, remote)) => {
                    if let Some(io) = this.admit(tcp, remote) {
                        return Poll::Ready(Some(Ok(io)));
                    }
                }
                Err(error) => {
                    this.counters.accept_failed();
                    // The connection was gone before it was taken: the next one may be fine.
                    let gone = [
                        ErrorKind::ConnectionAborted,
                        ErrorKind::ConnectionReset,
                        ErrorKind::Interrupted,
                    ];
                    if !gone.contains(&error.kind()) {
                        tracing::debug!(%error, "no connection can be accepted for now");
                        this.pause = Some(Box::pin(sleep(NO_ROOM_PAUSE)));
                    }
                }
            }
        }
    }
}
