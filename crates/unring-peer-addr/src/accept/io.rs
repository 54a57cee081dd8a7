//! An accepted connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tonic::transport::server::Connected;

use super::slots::Slot;
use super::throttle::Throttled;
use crate::ConnectInfo;
use crate::wire::Wire;

/// Bytes with which every HTTP/2 connection begins (RFC 9113 section 3.4).
const PREFACE_BYTES: usize = 24;

pub(super) type ServerWire = Wire<Throttled<TcpStream>>;

/// An accepted connection, whose place is given back when it is dropped.
///
/// The client must send the beginning of HTTP/2 within the handshake timeout: keep-alive starts only after it, and a
/// silent connection would hold its place for ever.
#[derive(Debug)]
pub struct ServerIo {
    wire: ServerWire,
    info: ConnectInfo,
    preface: Option<Preface>,
    _slot: Slot,
}

#[derive(Debug)]
struct Preface {
    missing: usize,
    deadline: Pin<Box<Sleep>>,
}

impl ServerIo {
    pub(super) fn new(wire: ServerWire, info: ConnectInfo, slot: Slot, limit: Duration) -> Self {
        let deadline = Box::pin(sleep(limit));
        let preface = Some(Preface { missing: PREFACE_BYTES, deadline });
        Self { wire, info, preface, _slot: slot }
    }
}

impl Connected for ServerIo {
    type ConnectInfo = ConnectInfo;

    fn connect_info(&self) -> ConnectInfo {
        self.info
    }
}

impl AsyncRead for ServerIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let read = Pin::new(&mut this.wire).poll_read(cx, buf);
        if let Some(preface) = &mut this.preface {
            preface.missing = preface.missing.saturating_sub(buf.filled().len() - before);
            if preface.missing == 0 {
                this.preface = None;
            } else if preface.deadline.as_mut().poll(cx).is_ready() {
                let reason = "the client sent no HTTP/2 preface in time";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, reason)));
            }
        }
        read
    }
}

impl AsyncWrite for ServerIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}
