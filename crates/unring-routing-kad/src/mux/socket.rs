//! What is below yamux: counts the data that comes and goes, and holds it up.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{AsyncRead, AsyncWrite};

use crate::config::MAX_PIECE;
use crate::mux::flow::Flow;
use crate::mux::frames::{Ends, HEADER, Header};

/// A socket that a peer's frames come from in pieces, as far as they are taken.
///
/// Data for streams that nobody has any more is left out: yamux would keep it until it can write.
pub(crate) struct Socket<C> {
    socket: C,
    flow: Flow,
    incoming: Incoming,
    outgoing: Ends,
}

/// Where in the incoming frames it is.
#[derive(Debug)]
struct Incoming {
    /// Of the frame at hand, being read.
    header: [u8; HEADER],
    have: usize,
    /// To be passed on.
    passing: [u8; HEADER],
    passed: usize,
    /// Then so many bytes of data.
    piece: usize,
    /// Of the frame at hand, after that: its header, and bytes that are left of it.
    frame: Header,
    rest: usize,
    first: bool,
    /// Bytes that nobody wants.
    skip: usize,
}

impl<C> Socket<C> {
    pub(crate) fn new(socket: C, flow: Flow) -> Self {
        let incoming = Incoming {
            header: [0; HEADER],
            have: 0,
            passing: [0; HEADER],
            passed: HEADER,
            piece: 0,
            frame: Header::new([0; HEADER]),
            rest: 0,
            first: true,
            skip: 0,
        };
        Self { socket, flow, incoming, outgoing: Ends::default() }
    }

    fn settle<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.flow.set_blocked(result.is_pending());
        result
    }
}

impl Incoming {
    /// A header was read: its frame begins.
    fn begin(&mut self, flow: &Flow) {
        self.have = 0;
        self.frame = Header::new(self.header);
        self.rest = self.frame.body();
        self.first = true;
        if let Some(id) = self.frame.opens() {
            flow.announced(id);
        }
        if self.rest == 0 {
            (self.passing, self.passed) = (self.header, 0);
        }
    }

    /// The next piece of the frame at hand.
    fn cut(&mut self, flow: &Flow) {
        let piece = self.rest.min(MAX_PIECE);
        if flow.arrives(self.frame.stream(), piece) {
            self.rest -= piece;
            self.piece = piece;
        } else {
            self.skip = std::mem::take(&mut self.rest);
            self.piece = 0;
        }
        let part = self.frame.part(self.piece, self.first, self.rest == 0);
        (self.passing, self.passed) = (part.bytes(), 0);
        self.first = false;
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Socket<C> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let incoming = &mut this.incoming;
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            if let Some(left) =
                incoming.passing.get(incoming.passed..).filter(|left| !left.is_empty())
            {
                let now = left.len().min(buffer.len());
                buffer[..now].copy_from_slice(&left[..now]);
                incoming.passed += now;
                return Poll::Ready(Ok(now));
            }
            if incoming.piece > 0 {
                let most = incoming.piece.min(buffer.len());
                let read = ready!(Pin::new(&mut this.socket).poll_read(cx, &mut buffer[..most]))?;
                incoming.piece -= read;
                return Poll::Ready(Ok(read));
            }
            if incoming.skip > 0 {
                let mut unwanted = [0; 1024];
                let most = incoming.skip.min(unwanted.len());
                let socket = Pin::new(&mut this.socket);
                let read = ready!(socket.poll_read(cx, &mut unwanted[..most]))?;
                if read == 0 {
                    return Poll::Ready(Ok(0));
                }
                incoming.skip -= read;
                continue;
            }
            if incoming.rest > 0 {
                ready!(this.flow.poll_may_read(cx));
                incoming.cut(&this.flow);
                continue;
            }
            if incoming.have == 0 {
                ready!(this.flow.poll_may_read(cx));
            }
            let missing = &mut incoming.header[incoming.have..];
            let read = ready!(Pin::new(&mut this.socket).poll_read(cx, missing))?;
            if read == 0 {
                return Poll::Ready(Ok(0));
            }
            incoming.have += read;
            if incoming.have == HEADER {
                incoming.begin(&this.flow);
            }
        }
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Socket<C> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.socket).poll_write(cx, bytes);
        let written = ready!(this.settle(result))?;
        let flow = &this.flow;
        this.outgoing.take(bytes.get(..written).unwrap_or(bytes), |data| flow.sent(data));
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.socket).poll_flush(cx);
        this.settle(result)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_close(cx)
    }
}
