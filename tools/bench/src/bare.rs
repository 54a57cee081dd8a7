//! What a node's methods are measured against: bare tonic, the same request, and bytes that were made before.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, SocketAddr};
use std::task::{Context as TaskContext, Poll};

use anyhow::{Context as _, Result, anyhow};
use bytes::{Buf as _, BufMut as _, Bytes};
use prost::Message;
use tokio::runtime::{Builder, Runtime};
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService};
use tonic::transport::server::TcpIncoming;

/// The name of the thread on which it runs.
pub(crate) const THREAD: &str = "bare";

/// A method that is called.
pub(crate) trait Method: Clone + Send + Sync + 'static {
    /// What it reads.
    type Request: Message + Default + 'static;

    /// Answers a call.
    fn answer(
        self,
        grpc: Grpc<AsBytes<Self::Request>>,
        request: http::Request<Body>,
    ) -> impl Future<Output = http::Response<Body>> + Send;
}

/// A server of one method, on one thread as the node's. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Bare {
    runtime: Option<Runtime>,
    pub(crate) address: SocketAddr,
}

impl Bare {
    pub(crate) fn start(path: &'static str, method: impl Method) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(THREAD)
            .enable_all()
            .build()
            .context("start a runtime")?;
        let guard = runtime.enter();
        let incoming = TcpIncoming::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .map_err(|error| anyhow!("bind the bare server: {error}"))?
            .with_nodelay(Some(true));
        let address = incoming.local_addr().context("ask for the port")?;
        let server = tonic::transport::Server::builder().add_service(Bound { path, method });
        runtime.spawn(server.serve_with_incoming(incoming));
        drop(guard);
        Ok(Self { runtime: Some(runtime), address })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[derive(Clone, Debug)]
struct Bound<M> {
    path: &'static str,
    method: M,
}

impl<M> NamedService for Bound<M> {
    const NAME: &'static str = "unring.peeraddr.v1.PeerAddrService";
}

impl<M: Method> Service<http::Request<Body>> for Bound<M> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Self { path, method } = self.clone();
        Box::pin(async move {
            if request.uri().path() != path {
                return Ok(Status::unimplemented("no such method").into_http());
            }
            Ok(method.answer(Grpc::new(AsBytes(PhantomData)), request).await)
        })
    }
}

/// Reads the request as prost does, and writes the answer as it is.
#[derive(Debug)]
pub(crate) struct AsBytes<R>(PhantomData<fn() -> R>);

impl<R: Message + Default + 'static> Codec for AsBytes<R> {
    type Encode = Bytes;
    type Decode = R;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(PhantomData)
    }

    fn decoder(&mut self) -> Self {
        Self(PhantomData)
    }
}

impl<R> Encoder for AsBytes<R> {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, answer: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(answer.remaining());
        out.put(answer);
        Ok(())
    }
}

impl<R: Message + Default> Decoder for AsBytes<R> {
    type Item = R;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<R>, Status> {
        R::decode(message).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
