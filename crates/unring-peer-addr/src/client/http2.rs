//! One HTTP/2 connection, without pool, buffer or reconnect.

use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::task::JoinHandle;
use tonic::body::Body;
use unring_peer::GrpcUrl;

/// Silence after which the other end is asked whether it is still there, open calls or not.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// Time it has to answer that.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of one answer that may have been sent unread.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// Bytes of all answers together that may have been sent unread.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Bytes of an answer's headers, a status with its details included.
const MAX_HEADER_LIST_BYTES: u32 = 32 * 1024;

/// Where calls are sent.
#[derive(Clone, Debug)]
pub(super) struct Http2(SendRequest<Body>);

/// The task that moves the connection's bytes; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) async fn start<IO>(io: IO, url: &GrpcUrl) -> Result<(Http2, Driver), hyper::Error>
where
    IO: Read + Write + Unpin + Send + 'static,
{
    let (send, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .handshake(io)
        .await?;
    let url = url.clone();
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%url, %error, "connection ended");
        }
    });
    Ok((Http2(send), Driver(driver)))
}

impl Http2 {
    pub(super) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

impl tower::Service<Request<Body>> for Http2 {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Response<Incoming>, hyper::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
