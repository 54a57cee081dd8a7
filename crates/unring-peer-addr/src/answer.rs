//! The body of an answer, which belongs to its call until its last byte is on the wire.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

use crate::activity::Call;

/// Bytes that are handed over at once. A reader shows that it is there by taking one such piece.
const PIECE_BYTES: usize = 64 * 1024;

/// `body`, as long as which, or a part of it, lives the call lasts.
pub(crate) fn answer_of(call: Call, body: Body) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::new(Answer { body, rest: Bytes::new(), call: Arc::new(call) })
}

struct Answer {
    body: Body,
    /// What is not yet handed over of the last frame of `body`.
    rest: Bytes,
    call: Arc<Call>,
}

/// Bytes that were handed over. HTTP/2 drops them once they are written, or their stream is reset.
struct Piece {
    bytes: Bytes,
    call: Arc<Call>,
}

impl Answer {
    fn next_piece(&mut self) -> Frame<Bytes> {
        let bytes = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
        self.call.handed_over();
        Frame::data(Bytes::from_owner(Piece { bytes, call: Arc::clone(&self.call) }))
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.call.taken();
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)?) {
                None => return Poll::Ready(None),
                Some(frame) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
            }
        }
        Poll::Ready(Some(Ok(self.next_piece())))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // Unknown while a part of a frame is still here; gRPC does not use it.
        if self.rest.is_empty() { self.body.size_hint() } else { SizeHint::default() }
    }
}
