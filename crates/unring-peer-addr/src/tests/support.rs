//! A node in memory, and ways to reach it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream, Stream, StreamExt as _};
use hyper_util::rt::TokioIo;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use unring_cycle_detector::{Join, Topology, TopologyNode, find_rings};
use unring_exchange::{Answer, Batch, Incomplete, Position, Request, UpstreamOutcome};
use unring_peer::{Identity, NodeRecord, PeerId, SignedRecord, UnixMillis};

use crate::{
    Caller, ConnectError, ConnectInfo, Connection, Connector, Handler, Refusal, Reply, ServeError,
    ServerConfig, Transport, WatchBatch, WatchOpen, WatchUpdate, WithInfo, serve,
};

/// The identity of node `n`, the same in every run.
pub(crate) fn identity(n: u8) -> Identity {
    Identity::from_keypair(libp2p_identity::Keypair::ed25519_from_bytes([n; 32]).unwrap())
}

pub(crate) fn peer(n: u8) -> PeerId {
    identity(n).peer_id()
}

/// A record of node `n`.
pub(crate) fn record(n: u8, seq: u64) -> SignedRecord {
    record_with(n, seq, |_| {})
}

/// A record of node `n` of about 9 KiB.
pub(crate) fn large_record(n: u8, seq: u64) -> SignedRecord {
    record_with(n, seq, |record| {
        record.joins = (0..32)
            .map(|index| unring_peer::Join {
                address: format!("https://{index:03}{}:5871", "x".repeat(230)),
                targets: [peer(1)].into(),
                since: UnixMillis::new(1),
            })
            .collect();
    })
}

fn record_with(n: u8, seq: u64, change: impl FnOnce(&mut NodeRecord)) -> SignedRecord {
    let mut record = NodeRecord::new(peer(n), format!("node-{n}"));
    record.seq = seq;
    record.issued_at = UnixMillis::new(1_790_000_000_000);
    record.ttl = Duration::from_secs(1800);
    record.addresses = vec![format!("/ip4/10.0.0.{n}/tcp/5872").parse().unwrap()];
    change(&mut record);
    SignedRecord::sign(&identity(n), record).unwrap()
}

/// Nodes 1, 2 and 3 joined in a ring.
pub(crate) fn ring_of_three() -> Topology<PeerId> {
    let joins = [(1, 2), (2, 3), (3, 1)].map(|(from, to)| {
        let address = format!("https://node-{to}:5871");
        (peer(from), vec![Join { address, targets: [peer(to)].into(), since_unix_ms: from.into() }])
    });
    let rings = find_rings(&joins.clone().into());
    let nodes = joins.into_iter().enumerate().map(|(index, (id, joins))| TopologyNode {
        id,
        name: format!("node-{}", index + 1),
        joins,
        unverified: false,
    });
    Topology { local: peer(1), nodes: nodes.collect(), rings }
}

/// Node 1: answers with `records` and keeps what it was asked.
#[derive(Default)]
pub(crate) struct Node {
    pub(crate) records: Vec<SignedRecord>,
    pub(crate) refuse: Option<fn() -> Refusal>,
    /// Never answers `ListPeers`.
    pub(crate) silent: bool,
    pub(crate) calls: Mutex<Vec<(Caller, Request, Duration)>>,
    pub(crate) opens: Mutex<Vec<(Caller, WatchOpen)>>,
    pub(crate) updates: Arc<Mutex<Vec<WatchUpdate>>>,
}

/// The version of the batch that [`Node`] sends once its caller has half-closed.
pub(crate) const AFTER_THE_LAST_UPDATE: u64 = 1000;

impl Node {
    fn batch(&self, version: u64) -> WatchBatch {
        let records = self.records.clone();
        let position = Position { epoch: 7, version };
        let batch = Batch { records, snapshot_complete: true, position, ..Batch::default() };
        WatchBatch { batch, responder: peer(1) }
    }
}

impl Handler for Node {
    async fn list_peers(
        &self,
        caller: Caller,
        request: Request,
        budget: Duration,
    ) -> Result<Reply, Refusal> {
        let request_id = request.trace.as_ref().map(|trace| trace.request_id);
        self.calls.lock().unwrap().push((caller, request, budget));
        if self.silent {
            std::future::pending::<()>().await;
        }
        if let Some(refusal) = self.refuse {
            return Err(refusal());
        }
        let topology = ring_of_three();
        let answer = Answer {
            responder: peer(1),
            records: self.records.clone().into(),
            incomplete: [Incomplete::Loop, Incomplete::Busy].into(),
            upstreams: vec![UpstreamOutcome {
                address: "https://node-2:5871".into(),
                peer: Some(peer(2)),
                records: 3,
                error: None,
            }],
            request_id,
            retry_after: Some(Duration::from_millis(1500)),
        };
        let names = topology.nodes.iter().map(|node| (node.id, node.name.clone())).collect();
        Ok(Reply { answer, rings: topology.rings, names })
    }

    /// A batch with all records; then an empty one for each update, numbered; and one after the last.
    async fn watch_peers(
        &self,
        caller: Caller,
        open: WatchOpen,
        updates: BoxStream<'static, WatchUpdate>,
    ) -> Result<BoxStream<'static, Result<WatchBatch, Refusal>>, Refusal> {
        self.opens.lock().unwrap().push((caller, open));
        if let Some(refusal) = self.refuse {
            return Err(refusal());
        }
        let first = self.batch(1);
        let empty = |version| {
            let position = Position { epoch: 7, version };
            let batch = Batch { snapshot_complete: true, position, ..Batch::default() };
            WatchBatch { batch, responder: peer(1) }
        };
        let seen = Arc::clone(&self.updates);
        let echoes = updates.enumerate().map(move |(index, update)| {
            seen.lock().unwrap().push(update);
            empty(index as u64 + 2)
        });
        let last = empty(AFTER_THE_LAST_UPDATE);
        let batches = stream::iter([first]).chain(echoes).chain(stream::iter([last])).map(Ok);
        Ok(batches.chain(stream::pending()).boxed())
    }

    async fn topology(&self, _caller: Caller) -> Result<Topology<PeerId>, Refusal> {
        match self.refuse {
            Some(refusal) => Err(refusal()),
            None => Ok(ring_of_three()),
        }
    }
}

/// A server whose connections are made in memory.
pub(crate) struct Server {
    connections: mpsc::Sender<io::Result<WithInfo<DuplexStream>>>,
    pub(crate) node: Arc<Node>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Server {
    pub(crate) fn start(node: Node, config: ServerConfig) -> Self {
        let (connections, incoming) = mpsc::channel(16);
        let (stop, stopped) = oneshot::channel::<()>();
        let node = Arc::new(node);
        let handler = Arc::clone(&node);
        let task = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            serve(received(incoming), handler, config, shutdown).await
        });
        Self { connections, node, stop: Some(stop), task }
    }

    /// Node `n` over a transport that authenticates it, as TLS does.
    pub(crate) fn tls_connector(&self, n: u8) -> MemoryConnector {
        let remote = "10.0.0.9:1000".parse().unwrap();
        let info = ConnectInfo { peer: Some(peer(n)), remote, transport: Transport::Tls };
        MemoryConnector { connections: self.connections.clone(), info, server: Some(peer(1)) }
    }

    /// Somebody in plaintext.
    pub(crate) fn plain_connector(&self, remote: &str) -> MemoryConnector {
        let remote: SocketAddr = remote.parse().unwrap();
        let info = ConnectInfo { peer: None, remote, transport: Transport::Plaintext };
        MemoryConnector { connections: self.connections.clone(), info, server: None }
    }

    pub(crate) fn signal_stop(&mut self) {
        drop(self.stop.take());
    }

    pub(crate) async fn ended(self) {
        self.task.await.unwrap().unwrap();
    }
}

fn received<T>(receiver: mpsc::Receiver<T>) -> impl Stream<Item = T> {
    stream::unfold(receiver, |mut receiver| async {
        let item = receiver.recv().await?;
        Some((item, receiver))
    })
}

#[derive(Clone)]
pub(crate) struct MemoryConnector {
    connections: mpsc::Sender<io::Result<WithInfo<DuplexStream>>>,
    info: ConnectInfo,
    server: Option<PeerId>,
}

impl MemoryConnector {
    async fn dial(&self) -> DuplexStream {
        let (near, far) = duplex(64 * 1024);
        self.connections.send(Ok(WithInfo::new(far, self.info))).await.unwrap();
        near
    }

    /// tonic's own channel: a client that is not ours.
    pub(crate) fn channel(&self) -> Channel {
        let connector = self.clone();
        Endpoint::from_static("http://node-1:5871").connect_with_connector_lazy(tower::service_fn(
            move |_| {
                let connector = connector.clone();
                async move { Ok::<_, io::Error>(TokioIo::new(connector.dial().await)) }
            },
        ))
    }
}

impl Connector for MemoryConnector {
    type Io = DuplexStream;

    async fn connect(
        &self,
        _url: &unring_peer::GrpcUrl,
    ) -> Result<Connection<DuplexStream>, ConnectError> {
        Ok(Connection { io: self.dial().await, peer: self.server })
    }
}

/// A client that only does what it is told to. It answers pings.
pub(crate) struct RawClient {
    send: h2::client::SendRequest<Bytes>,
    pub(crate) connection: JoinHandle<Result<(), h2::Error>>,
}

/// One call of it. Dropped, it is reset.
pub(crate) struct RawCall {
    pub(crate) send: h2::SendStream<Bytes>,
    pub(crate) response: h2::client::ResponseFuture,
}

impl RawClient {
    /// Node 2; each of its calls may be sent `window` bytes before it reads.
    pub(crate) async fn connect(server: &Server, window: u32) -> Self {
        let io = server.tls_connector(2).dial().await;
        let mut http2 = h2::client::Builder::new();
        http2.initial_window_size(window);
        let (send, connection) = http2.handshake(io).await.unwrap();
        Self { send, connection: tokio::spawn(connection) }
    }

    /// Starts a call of our service, without a message.
    pub(crate) async fn call(&mut self, method: &str) -> RawCall {
        let uri = format!("http://node-1:5871/unring.peeraddr.v1.PeerAddrService/{method}");
        let request = http::Request::post(uri).header("content-type", "application/grpc");
        let request = request.header("te", "trailers").body(()).unwrap();
        futures::future::poll_fn(|cx| self.send.poll_ready(cx)).await.unwrap();
        let (response, send) = self.send.send_request(request, false).unwrap();
        RawCall { send, response }
    }
}
