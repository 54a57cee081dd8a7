//! Accepting connections within bounds.

mod bucket;
mod counters;
mod io;
mod slots;
#[cfg(test)]
mod tests;
mod throttle;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::Stream;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use self::bucket::Bucket;
pub use self::counters::{AcceptCounters, AcceptCounts};
pub use self::io::ServerIo;
use self::slots::Slots;
use self::throttle::{MAX_PAUSE, Throttled};
use crate::activity::Activity;
use crate::status::chain;
use crate::tls::{peer_of, refused_certificate};
use crate::wire::Wire;
use crate::{Accepted, ConnectInfo, Pressure, TlsError, TlsIdentity, TlsSwitch, Transport};

/// Connections open at once, handshakes included: a node's neighbours many times over, at about 50 KiB each. One more
/// takes the place of the one that has made no call for longest, or is closed at once.
pub const DEFAULT_MAX_CONNECTIONS: usize = 512;

/// Connections open at once from one IPv4 address or IPv6 /64 network: several nodes behind one NAT still fit, and one
/// host cannot take every place. One more takes the place of the one of them that has made no call for longest, 2 s at the
/// least, or is closed at once.
pub const DEFAULT_MAX_CONNECTIONS_PER_IP: usize = 128;

/// TLS handshakes at once, each about half a millisecond of CPU. At the bound the newest connection is closed: the
/// ones before it have waited longer.
pub const DEFAULT_MAX_HANDSHAKES: usize = 64;

/// TLS handshakes at once with one IPv4 address or IPv6 /64 network, an eighth of all: one host cannot take every place
/// by starting handshakes that it never ends. One more is closed at once.
pub const DEFAULT_MAX_HANDSHAKES_PER_IP: usize = 8;

/// Time for the TLS handshake. What comes after it is [`ServerConfig::first_call_timeout`](crate::ServerConfig)'s.
pub const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Parts of a handshake in which the accept rate is counted: taking a connection and closing it costs one of them, for
/// it is a few system calls and no cryptography. An assumption, not a measurement.
const PARTS: u64 = 16;

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
    /// See [`DEFAULT_MAX_HANDSHAKES_PER_IP`].
    pub max_handshakes_per_ip: usize,
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
            max_handshakes_per_ip: DEFAULT_MAX_HANDSHAKES_PER_IP,
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
    tls: Option<TlsSwitch>,
    handshake_timeout: Duration,
    counters: Arc<AcceptCounters>,
    pressure: Arc<Pressure>,
    slots: Slots,
    handshake_slots: Slots,
    /// Parts of handshakes that may start.
    starts: Bucket,
    handshakes: JoinSet<Option<ServerIo>>,
    pause: Option<Pin<Box<Sleep>>>,
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
        Ok(Self::switched(listener, TlsSwitch::new(identity)?, limits, counters))
    }

    /// Connections over mutual TLS that changes while they are open.
    #[must_use]
    pub fn switched(
        listener: TcpListener,
        tls: TlsSwitch,
        limits: AcceptLimits,
        counters: Arc<AcceptCounters>,
    ) -> Self {
        Self::new(listener, Some(tls), &limits, counters)
    }

    /// Connections in plaintext: for loopback, or where the operator insists.
    #[must_use]
    pub fn plain(
        listener: TcpListener,
        limits: AcceptLimits,
        counters: Arc<AcceptCounters>,
    ) -> Self {
        Self::new(listener, None, &limits, counters)
    }

    fn new(
        listener: TcpListener,
        tls: Option<TlsSwitch>,
        limits: &AcceptLimits,
        counters: Arc<AcceptCounters>,
    ) -> Self {
        let slots = Slots::new(limits.max_connections, limits.max_connections_per_ip);
        let handshake_slots = Slots::new(limits.max_handshakes, limits.max_handshakes_per_ip);
        Self {
            listener,
            tls,
            handshake_timeout: limits.handshake_timeout,
            counters,
            pressure: Arc::default(),
            slots,
            handshake_slots,
            starts: Bucket::new(Instant::now()),
            handshakes: JoinSet::new(),
            pause: None,
        }
    }

    /// Slows down as `pressure` says, which nothing does by default.
    #[must_use]
    pub fn with_pressure(mut self, pressure: Arc<Pressure>) -> Self {
        self.pressure = pressure;
        self
    }

    /// When the next connection may be taken in, if not now.
    fn paused_until(&mut self) -> Option<Instant> {
        let rate = u64::from(self.pressure.accept_rate()?.get()) * PARTS;
        let now = Instant::now();
        let parts = self.starts.refill(now, rate, rate);
        (parts < PARTS).then(|| self.starts.ready_at(PARTS, rate).min(now + MAX_PAUSE))
    }

    /// Takes in one connection: gives it back when it is ready, starts its handshake, or closes it.
    fn admit(&mut self, tcp: TcpStream, remote: SocketAddr) -> Option<ServerIo> {
        self.starts.take(1);
        // First, so that nobody gives way to one that is then refused.
        let place = self.tls.as_ref().map(|_| self.handshake_slots.take(remote.ip(), None));
        let place = match place.transpose() {
            Ok(place) => place,
            Err(full) => {
                self.counters.refused_handshake(full);
                return None;
            }
        };
        let activity = Activity::new(Arc::clone(&self.counters));
        let slot = match self.slots.take(remote.ip(), Some(activity.clone())) {
            Ok(slot) => slot,
            Err(full) => {
                self.counters.refused(full);
                return None;
            }
        };
        // Without it small answers wait for acknowledgements; a socket that refuses it works all the same.
        let _ = tcp.set_nodelay(true);
        let mut tcp = Throttled::new(tcp);
        let limit = self.handshake_timeout;
        let (counters, pressure) = (Arc::clone(&self.counters), Arc::clone(&self.pressure));
        let Some(tls) = &self.tls else {
            self.starts.take(PARTS - 1);
            let info = ConnectInfo { peer: None, remote, transport: Transport::Plaintext };
            tcp.start(pressure, counters);
            self.counters.accepted();
            return Some(ServerIo::new(Wire::Plain(tcp), Accepted { info, activity }, slot));
        };
        self.starts.take(PARTS - 1);
        let acceptor = TlsAcceptor::from(tls.server());
        self.handshakes.spawn(async move {
            let tls = handshake(&acceptor, tcp, remote, limit, &counters).await;
            drop(place);
            let mut tls = tls?;
            tls.get_mut().0.start(pressure, Arc::clone(&counters));
            let peer = peer_of(tls.get_ref().1.peer_certificates());
            let info = ConnectInfo { peer, remote, transport: Transport::Tls };
            counters.accepted();
            let wire = Wire::Tls(Box::new(tls.into()));
            Some(ServerIo::new(wire, Accepted { info, activity }, slot))
        });
        None
    }
}

async fn handshake(
    acceptor: &TlsAcceptor,
    tcp: Throttled<TcpStream>,
    remote: SocketAddr,
    limit: Duration,
    counters: &AcceptCounters,
) -> Option<TlsStream<Throttled<TcpStream>>> {
    match timeout(limit, acceptor.accept(tcp)).await {
        Ok(Ok(tls)) => Some(tls),
        Ok(Err(error)) => {
            let refused = refused_certificate(&error);
            let why = refused.map_or_else(|| chain(&error), |why| chain(&why));
            tracing::debug!(%remote, error = why, "TLS handshake failed");
            counters.handshake_failed(refused);
            None
        }
        Err(_) => {
            tracing::debug!(%remote, ?limit, "TLS handshake took too long");
            counters.handshake_timed_out();
            None
        }
    }
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
            if let Some(until) = this.paused_until() {
                this.counters.delayed_accept();
                this.pause = Some(Box::pin(sleep_until(until)));
                continue;
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
