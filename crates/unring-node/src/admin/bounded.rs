//! A listener with a bound on what is open at once, and on how long it may be silent.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Silence after which a connection is closed: others may be waiting for its place. A scraper connects again.
pub(super) const MAX_SILENCE: Duration = Duration::from_secs(10);

/// Age at which a connection is closed, whatever it does: one that sends a byte now and then is never silent.
pub(super) const MAX_AGE: Duration = Duration::from_secs(60);

/// Accepts no further connection while as many as allowed are open.
#[derive(Debug)]
pub(crate) struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

/// A connection, and its place.
#[derive(Debug)]
pub(crate) struct Placed {
    tcp: TcpStream,
    silent: Pin<Box<Sleep>>,
    old: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Placed {
    /// Passes on what an operation on the connection came to, unless it has been silent for too long.
    fn unless_silent<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.old.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if outcome.is_ready() {
            self.silent.as_mut().reset(Instant::now() + MAX_SILENCE);
            return outcome;
        }
        self.silent.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Bounded {
    pub(crate) fn new(listener: TcpListener, connections: usize) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(connections)) }
    }
}

impl Listener for Bounded {
    type Io = Placed;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Placed, SocketAddr) {
        // The semaphore is never closed.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        // Axum's own listener knows which errors to wait out.
        let (tcp, address) = Listener::accept(&mut self.listener).await;
        (
            Placed {
                tcp,
                silent: Box::pin(sleep(MAX_SILENCE)),
                old: Box::pin(sleep(MAX_AGE)),
                _place: place,
            },
            address,
        )
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl AsyncRead for Placed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.tcp).poll_read(cx, buf);
        self.unless_silent(cx, outcome)
    }
}

impl AsyncWrite for Placed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.unless_silent(cx, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn a_place_is_free_again_when_its_connection_closes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut bounded = Bounded::new(listener, 1);
        let _clients = [
            TcpStream::connect(address).await.unwrap(),
            TcpStream::connect(address).await.unwrap(),
        ];
        let (first, _) = bounded.accept().await;
        let second = tokio::time::timeout(Duration::from_millis(50), bounded.accept()).await;
        assert!(second.is_err(), "a second one was accepted");
        drop(first);
        bounded.accept().await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_loses_the_place() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut bounded = Bounded::new(listener, 1);
        let _silent = TcpStream::connect(address).await.unwrap();
        let (mut first, _) = bounded.accept().await;
        let began = Instant::now();
        let error = first.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), MAX_SILENCE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_a_byte_now_and_then_loses_it_too() {
        use tokio::io::AsyncWriteExt as _;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut bounded = Bounded::new(listener, 1);
        let mut slow = TcpStream::connect(address).await.unwrap();
        let (mut first, _) = bounded.accept().await;
        let began = Instant::now();
        let error = loop {
            slow.write_all(b"G").await.unwrap();
            // On a clock that stands still until all wait, the byte may come only after the silence has been noticed.
            while first.tcp.readable().await.is_err() {}
            match first.read(&mut [0; 1]).await {
                Ok(_) => tokio::time::advance(MAX_SILENCE / 2).await,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= MAX_AGE && began.elapsed() < MAX_AGE + MAX_SILENCE);
    }
}
