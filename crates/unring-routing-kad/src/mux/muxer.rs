//! Streams over one connection.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};

use futures::future::{Ready, ready as done};
use futures::{AsyncRead, AsyncWrite, FutureExt as _};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use yamux::{Connection, ConnectionError, Mode};

use crate::config::{
    CLOSE_DEADLINE, MAX_INBOUND_STREAMS_PER_CONNECTION, MAX_OUTBOUND_STREAMS_PER_CONNECTION,
    MAX_STREAMS_PER_CONNECTION,
};
use crate::mux::flow::Flow;
use crate::mux::socket::Socket;

/// The upgrade of a connection to yamux.
#[derive(Debug, Clone, Default)]
pub(crate) struct Multiplex {
    /// Streams that others opened beyond [`MAX_INBOUND_STREAMS_PER_CONNECTION`].
    pub(crate) refused: Arc<AtomicU64>,
}

impl Multiplex {
    fn over<C: AsyncRead + AsyncWrite + Unpin>(self, socket: C, mode: Mode) -> Muxer<C> {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(MAX_STREAMS_PER_CONNECTION);
        let flow = Flow::default();
        let connection = Connection::new(Socket::new(socket, flow.clone()), config, mode);
        let places = |count| Arc::new(Semaphore::new(count));
        Muxer {
            connection,
            flow,
            inbound: places(MAX_INBOUND_STREAMS_PER_CONNECTION),
            outbound: places(MAX_OUTBOUND_STREAMS_PER_CONNECTION),
            waiting: VecDeque::new(),
            acceptor: None,
            place: None,
            closing: None,
            refused: self.refused,
        }
    }
}

#[cfg(test)]
impl Multiplex {
    pub(crate) fn watched<C: AsyncRead + AsyncWrite + Unpin>(
        self,
        socket: C,
        mode: Mode,
    ) -> (Muxer<C>, Flow) {
        let muxer = self.over(socket, mode);
        let flow = muxer.flow.clone();
        (muxer, flow)
    }
}

impl UpgradeInfo for Multiplex {
    type Info = &'static str;
    type InfoIter = std::iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once("/yamux/1.0.0")
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> InboundConnectionUpgrade<C> for Multiplex {
    type Output = Muxer<C>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, socket: C, _: Self::Info) -> Self::Future {
        done(Ok(self.over(socket, Mode::Server)))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> OutboundConnectionUpgrade<C> for Multiplex {
    type Output = Muxer<C>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, socket: C, _: Self::Info) -> Self::Future {
        done(Ok(self.over(socket, Mode::Client)))
    }
}

type Place = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>;

/// A connection.
pub(crate) struct Muxer<C> {
    connection: Connection<Socket<C>>,
    flow: Flow,
    inbound: Arc<Semaphore>,
    outbound: Arc<Semaphore>,
    /// Opened by the peer and not asked for yet; bounded by `inbound`.
    waiting: VecDeque<Substream>,
    acceptor: Option<Waker>,
    /// For a stream of our own.
    place: Option<Place>,
    closing: Option<Pin<Box<Sleep>>>,
    refused: Arc<AtomicU64>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Muxer<C> {
    /// The next stream that the peer opened, for which there is room.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Substream, ConnectionError>> {
        loop {
            let next = ready!(self.connection.poll_next_inbound(cx));
            let stream = next.unwrap_or(Err(ConnectionError::Closed))?;
            let stream = Substream::new(stream, self.flow.clone());
            match Arc::clone(&self.inbound).try_acquire_owned() {
                Ok(place) => return Poll::Ready(Ok(stream.at(place))),
                // Dropped, which resets it.
                Err(_) => _ = self.refused.fetch_add(1, Ordering::Relaxed),
            }
        }
    }
}

impl<C> Drop for Muxer<C> {
    fn drop(&mut self) {
        self.flow.close();
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Muxer<C> {
    type Substream = Substream;
    type Error = ConnectionError;

    fn poll_inbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let this = self.get_mut();
        if let Some(stream) = this.waiting.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        if let Poll::Ready(next) = this.poll_next(cx) {
            return Poll::Ready(next);
        }
        this.acceptor = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_outbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let this = self.get_mut();
        // A stream too many would be the end of the connection, so it waits for its place.
        let places = &this.outbound;
        let place = this
            .place
            .get_or_insert_with(|| Arc::clone(places).acquire_owned().map(Result::ok).boxed());
        let permit = ready!(place.poll_unpin(cx));
        this.place = None;
        match this.connection.poll_new_outbound(cx) {
            Poll::Ready(Ok(stream)) => {
                let stream = Substream::new(stream, this.flow.clone());
                this.flow.opened(stream.id);
                Poll::Ready(Ok(match permit {
                    Some(permit) => stream.at(permit),
                    // Never: nobody closes the semaphore.
                    None => stream,
                }))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                this.place = Some(done(permit).boxed());
                Poll::Pending
            }
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let this = self.get_mut();
        this.waiting.clear();
        if let Poll::Ready(closed) = this.connection.poll_close(cx) {
            return Poll::Ready(closed);
        }
        // Whoever does not read does not keep its connection by that.
        let deadline =
            this.closing.get_or_insert_with(|| Box::pin(tokio::time::sleep(CLOSE_DEADLINE)));
        ready!(deadline.poll_unpin(cx));
        Poll::Ready(Ok(()))
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        let this = self.get_mut();
        let stream = ready!(this.poll_next(cx))?;
        this.waiting.push_back(stream);
        if let Some(acceptor) = this.acceptor.take() {
            acceptor.wake();
        }
        // Others have their turn before the next one.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A stream.
#[derive(Debug)]
pub(crate) struct Substream {
    stream: yamux::Stream,
    id: u32,
    flow: Flow,
    _place: Option<OwnedSemaphorePermit>,
}

impl Substream {
    fn new(stream: yamux::Stream, flow: Flow) -> Self {
        let id = stream.id().val();
        Self { stream, id, flow, _place: None }
    }

    fn at(mut self, place: OwnedSemaphorePermit) -> Self {
        self._place = Some(place);
        self
    }
}

impl Drop for Substream {
    fn drop(&mut self) {
        self.flow.dropped(self.id);
    }
}

impl AsyncRead for Substream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let read = ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        this.flow.taken(this.id, read);
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for Substream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.flow.poll_may_write(cx, this.id));
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, bytes))?;
        this.flow.written(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_close(cx)
    }
}
