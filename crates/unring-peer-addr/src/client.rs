//! Calling another node.

mod error;
mod http2;

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Status, Streaming};
use unring_exchange::{OutboundRequest, RemoteAnswer};
use unring_peer::{GrpcUrl, Identity, PeerId};

pub use self::error::CallError;
use self::http2::{Driver, Http2};
use crate::Guard;
use crate::caller::{CALLER_METADATA, prove, wall_clock};
use crate::connect::{ConnectError, Connector};
use crate::convert::{
    RemoteTopology, answer_from_wire, batch_from_wire, open_to_wire, request_to_wire,
    topology_from_wire, update_to_wire,
};
use crate::limits::MAX_MESSAGE_BYTES;
use crate::pb;
use crate::pb::peer_addr_service_client::PeerAddrServiceClient;
use crate::remote::{OutboundOpen, OutboundUpdate, RemoteBatch};

/// One connection to another node. It is never replaced behind the caller's back, so that [`Client::peer`] stays true;
/// once [`Client::is_closed`] a new one has to be made. Clones share the connection, which closes with the last of them
/// and of their streams.
///
/// Calls do not wait for each other, except beyond the number of streams that the server advertised (64): hold fewer.
#[derive(Clone, Debug)]
pub struct Client {
    grpc: PeerAddrServiceClient<Http2>,
    http2: Http2,
    /// Ends the connection with the last clone.
    _driver: Arc<Driver>,
    url: GrpcUrl,
    peer: Option<PeerId>,
    identity: Identity,
    guard: Guard,
}

impl Client {
    /// Connects to `url` within `timeout`. In plaintext each call is signed with `identity`; over TLS the connector's
    /// certificate says who calls.
    ///
    /// # Errors
    /// When no connection was made in time.
    pub async fn connect<C: Connector>(
        connector: &C,
        url: &GrpcUrl,
        identity: &Identity,
        timeout: Duration,
    ) -> Result<Self, ConnectError> {
        let late = || ConnectError::Timeout { url: url.clone(), after: timeout };
        tokio::time::timeout(timeout, Self::connect_unbounded(connector, url, identity))
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    async fn connect_unbounded<C: Connector>(
        connector: &C,
        url: &GrpcUrl,
        identity: &Identity,
    ) -> Result<Self, ConnectError> {
        let connection = connector.connect(url).await?;
        let fail = |source| ConnectError::Http2 { url: url.clone(), source };
        let origin = url.as_str().parse().map_err(|error: http::uri::InvalidUri| {
            fail(Box::new(error) as Box<dyn std::error::Error + Send + Sync>)
        })?;
        let (http2, driver) = http2::start(TokioIo::new(connection.io), url)
            .await
            .map_err(|error| fail(Box::new(error)))?;
        let grpc = PeerAddrServiceClient::with_origin(http2.clone(), origin)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let (url, peer, identity) = (url.clone(), connection.peer, identity.clone());
        let guard = Guard::default();
        Ok(Self { grpc, http2, _driver: Arc::new(driver), url, peer, identity, guard })
    }

    /// Shows with each call that we are a member of the cluster, and takes answers of members alone, as `guard` has it.
    ///
    /// # Errors
    /// When the lists of `guard` keep out who was reached; nothing was asked then.
    pub fn with_guard(mut self, guard: Guard) -> Result<Self, ConnectError> {
        let refused = self.peer.and_then(|peer| guard.membership().check_peer(&peer).err());
        if let Some(source) = refused {
            return Err(ConnectError::NotAMember { url: self.url, source });
        }
        self.guard = guard;
        Ok(self)
    }

    /// Whom the connection leads to, as the transport authenticated it. In plaintext nobody knows; answers then say it
    /// themselves, and whoever can change the bytes on the way can change that too.
    #[must_use]
    pub fn peer(&self) -> Option<PeerId> {
        self.peer
    }

    /// Where the connection leads.
    #[must_use]
    pub fn url(&self) -> &GrpcUrl {
        &self.url
    }

    /// Whether the connection is over, so that every call would fail.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.http2.is_closed()
    }

    /// Asks for peers. The other end is told `limit` and answers within it with what it has.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn list_peers(
        &self,
        request: OutboundRequest,
        limit: Duration,
    ) -> Result<RemoteAnswer, CallError> {
        let mut request = self.request(request_to_wire(&request));
        request.set_timeout(limit);
        let mut grpc = self.grpc.clone();
        let answer = self.within(limit, grpc.list_peers(request)).await?;
        self.check(answer.metadata())?;
        answer_from_wire(answer.into_inner(), self.peer).map_err(|error| self.protocol(&error))
    }

    /// Opens a stream of records within `limit`; it then has no end of its own. When `updates` ends, the other end is
    /// told that no more will come, and goes on sending.
    ///
    /// # Errors
    /// See [`CallError`]; an error on the stream is its last item.
    pub async fn watch_peers(
        &self,
        open: OutboundOpen,
        updates: impl Stream<Item = OutboundUpdate> + Send + 'static,
        limit: Duration,
    ) -> Result<BoxStream<'static, Result<RemoteBatch, CallError>>, CallError> {
        let updates = updates.flat_map(|update| stream::iter(update_to_wire(&update)));
        let messages = stream::once(async move { open_to_wire(&open) }).chain(updates);
        // A stream that nobody reads must end, but HTTP/2 only resets it once its sending half is gone too.
        let (reader, reader_gone) = oneshot::channel();
        let messages = messages.take_until(reader_gone);
        let mut grpc = self.grpc.clone();
        let response = self.within(limit, grpc.watch_peers(self.request(messages))).await?;
        self.check(response.metadata())?;
        Ok(self.clone().batches(response.into_inner(), reader).boxed())
    }

    /// Asks for the joins and rings that the other end knows.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn topology(&self, limit: Duration) -> Result<RemoteTopology, CallError> {
        let mut request = self.request(pb::GetTopologyRequest {});
        request.set_timeout(limit);
        let mut grpc = self.grpc.clone();
        let topology = self.within(limit, grpc.get_topology(request)).await?;
        self.check(topology.metadata())?;
        topology_from_wire(topology.into_inner(), self.peer).map_err(|error| self.protocol(&error))
    }

    /// The client is kept with the stream, which needs its connection, and `reader` is dropped with it.
    fn batches(
        self,
        inbound: Streaming<pb::WatchPeersResponse>,
        reader: oneshot::Sender<()>,
    ) -> impl Stream<Item = Result<RemoteBatch, CallError>> + Send + 'static {
        stream::unfold(Some((self, inbound, reader)), |state| async {
            let (client, mut inbound, reader) = state?;
            let batch = match inbound.message().await {
                Ok(None) => return None,
                Ok(Some(message)) => {
                    batch_from_wire(message, client.peer).map_err(|error| client.protocol(&error))
                }
                Err(status) => Err(CallError::of(&client.url, &status)),
            };
            let state = batch.is_ok().then_some((client, inbound, reader));
            Some((batch, state))
        })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if self.peer.is_none() {
            let proof = prove(&self.identity, self.url.authority(), wall_clock());
            let proof = MetadataValue::from_bytes(&proof);
            request.metadata_mut().insert_bin(CALLER_METADATA, proof);
        }
        self.guard.show_call(request.metadata_mut());
        request
    }

    /// Whether who answers belongs to the cluster.
    fn check(&self, metadata: &MetadataMap) -> Result<(), CallError> {
        let outside = |source| CallError::NotAMember { url: self.url.clone(), source };
        self.guard.check_answer(self.peer.as_ref(), metadata).map_err(outside)
    }

    async fn within<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, CallError> {
        match timeout(limit, call).await {
            Ok(answer) => answer.map_err(|status| CallError::of(&self.url, &status)),
            Err(_) => Err(CallError::Timeout { url: self.url.clone(), after: limit }),
        }
    }

    fn protocol(&self, error: &crate::InvalidMessage) -> CallError {
        CallError::Protocol { url: self.url.clone(), what: crate::status::chain(error) }
    }
}
