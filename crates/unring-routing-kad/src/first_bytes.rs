//! The first bytes that a peer sends, by which a peer of another network shows at once.
//!
//! With another network key they are noise, of which the negotiation would wait for more until its time is over.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{AsyncRead, AsyncWrite};
use thiserror::Error;

/// What every libp2p peer says first, on both ends
/// (<https://github.com/multiformats/multistream-select>), with its length in front.
const GREETING: &[u8] = b"\x13/multistream/1.0.0\n";

/// What the other end did instead of greeting.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum NoGreeting {
    /// It said something else: it has another network key, or none, or does not speak libp2p.
    #[error("it is of another network: another network key, or no libp2p")]
    OtherNetwork,
    /// It hung up, as one of another network does when it sees our greeting, and one that has no room.
    #[error("it hung up without a word: it is of another network, or has no room")]
    HungUp,
}

/// Passes everything on until a byte of the greeting is wrong.
pub(crate) struct Greeted<S> {
    stream: S,
    /// Bytes of the greeting seen.
    seen: usize,
}

impl<S> Greeted<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, seen: 0 }
    }

    fn check(&mut self, read: &[u8]) -> io::Result<()> {
        let wanted = GREETING.get(self.seen..).unwrap_or_default();
        let compared = wanted.len().min(read.len());
        if wanted.get(..compared) != read.get(..compared) {
            return Err(io::Error::other(NoGreeting::OtherNetwork));
        }
        self.seen += compared;
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Greeted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = futures::ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        let ended = match &read {
            Ok(read) => *read == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        };
        if ended && self.seen == 0 && !buf.is_empty() {
            return Poll::Ready(Err(io::Error::other(NoGreeting::HungUp)));
        }
        let read = read?;
        if self.seen < GREETING.len() {
            self.check(buf.get(..read).unwrap_or_default())?;
        }
        Poll::Ready(Ok(read))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Greeted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// Whether that is why, somewhere below `error`.
pub(crate) fn no_greeting(error: &(dyn std::error::Error + 'static)) -> Option<NoGreeting> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(*found);
        }
        // What an I/O error holds is not its source but in its place.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use futures::AsyncReadExt as _;
    use futures::executor::block_on;
    use futures::io::Cursor;

    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut read = Vec::new();
        let mut stream = Greeted::new(Cursor::new(bytes.to_vec()));
        block_on(stream.read_to_end(&mut read)).map(|_| read)
    }

    #[test]
    fn what_begins_otherwise_is_another_network() {
        let mut greeted = GREETING.to_vec();
        greeted.extend(b"anything");
        assert_eq!(read(&greeted).unwrap(), greeted);
        for wrong in [&b"\x13/multistream/2.0.0\n"[..], b"GET / HTTP/1.1"] {
            let error = read(wrong).unwrap_err();
            assert_eq!(no_greeting(&error), Some(NoGreeting::OtherNetwork), "{wrong:?}");
        }
        assert_eq!(no_greeting(&read(b"").unwrap_err()), Some(NoGreeting::HungUp));
        let reset: io::Error = io::ErrorKind::ConnectionReset.into();
        assert_eq!(no_greeting(&reset), None);
    }
}
