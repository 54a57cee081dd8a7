//! The streaming method that the node's is measured against: the same bytes to everybody who listens.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::broadcast;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, http};
use tonic::server::{Grpc, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use unring_peer_addr::pb::WatchPeersRequest;

use super::WATCH_PEERS;
use crate::bare::{AsBytes, Bare, Method};

/// Messages that wait for a reader.
const QUEUE: usize = 64;

#[derive(Debug)]
pub(super) struct BareStreams {
    pub(super) address: SocketAddr,
    message: Bytes,
    news: broadcast::Sender<Bytes>,
    _server: Bare,
}

impl BareStreams {
    /// Sends `message` once to everybody who comes.
    pub(super) fn start(message: Bytes) -> Result<Self> {
        let (news, _) = broadcast::channel(QUEUE);
        let method = Broadcast { first: message.clone(), news: news.clone() };
        let server = Bare::start(WATCH_PEERS, method)?;
        Ok(Self { address: server.address, message, news, _server: server })
    }

    pub(super) fn publish(&self) -> Result<()> {
        self.news.send(self.message.clone()).map(drop).context("nobody listens")
    }
}

#[derive(Clone, Debug)]
struct Broadcast {
    first: Bytes,
    news: broadcast::Sender<Bytes>,
}

impl StreamingService<WatchPeersRequest> for Broadcast {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Streaming<WatchPeersRequest>>) -> Self::Future {
        let (first, news) = (self.first.clone(), self.news.subscribe());
        Box::pin(async move {
            let news = stream::unfold(news, |mut news| async {
                Some((Ok(news.recv().await.ok()?), news))
            });
            let heard = request.into_inner().filter_map(|_| async { None });
            let messages = stream::once(async { Ok(first) }).chain(news);
            Ok(Response::new(stream::select(messages, heard).boxed()))
        })
    }
}

impl Method for Broadcast {
    type Request = WatchPeersRequest;

    async fn answer(
        self,
        mut grpc: Grpc<AsBytes<WatchPeersRequest>>,
        request: http::Request<Body>,
    ) -> http::Response<Body> {
        grpc.streaming(self, request).await
    }
}
