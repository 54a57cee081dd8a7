//! How an answer that is already written is sent.

use std::array;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use hyper::body::{Body, Frame};

use crate::convert::WrittenAnswer;

/// The parts of an answer as they are, and the status of a call that succeeded. The bytes go from the sample that they belong
/// to into the socket: what tonic sends is copied into a buffer of its own for each call.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    parts: array::IntoIter<Bytes, 3>,
    trailers: Option<HeaderMap>,
}

impl From<WrittenAnswer> for AnswerBody {
    fn from(WrittenAnswer(parts): WrittenAnswer) -> Self {
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        Self { parts: parts.into_iter(), trailers: Some(trailers) }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = self.parts.find(|part| !part.is_empty()).map(Frame::data);
        Poll::Ready(part.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.trailers.is_none()
    }
}
