//! A node that only has records to give: whoever joins it has its book filled at once.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::broadcast;
use tokio::time::interval;
use unring_exchange::{Answer, Batch, Position, Request};
use unring_peer::{GrpcUrl, Identity, Join, NodeRecord, PeerId, SignedRecord, UnixMillis};
use unring_peer_addr::{
    AcceptCounters, AcceptLimits, Caller, Handler, Incoming, Refusal, Reply, ServerConfig,
    WatchBatch, WatchOpen, WatchUpdate, serve,
};

/// Records in one message, as a node sends them.
const BATCH: usize = 500;

/// Records that wait for a reader.
const QUEUE: usize = 64;

/// How often it says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long the records are valid: longer than any bench runs.
const TTL: Duration = Duration::from_secs(3600);

/// Serves records on loopback until it is dropped.
#[derive(Debug)]
pub(crate) struct Seed {
    pub(crate) url: GrpcUrl,
    news: broadcast::Sender<SignedRecord>,
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct Records {
    me: PeerId,
    records: Vec<SignedRecord>,
    news: broadcast::Sender<SignedRecord>,
}

impl Seed {
    pub(crate) fn start(records: Vec<SignedRecord>) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = runtime.block_on(TcpListener::bind(loopback)).context("bind the seed")?;
        let url = format!("http://{}", listener.local_addr()?).parse()?;
        let _guard = runtime.enter();
        let counters = Arc::new(AcceptCounters::default());
        let incoming = Incoming::plain(listener, AcceptLimits::new(), counters);
        let (news, _) = broadcast::channel(QUEUE);
        let me = Identity::generate().peer_id();
        let handler = Arc::new(Records { me, records, news: news.clone() });
        let forever = std::future::pending();
        runtime.spawn(serve(incoming, handler, ServerConfig::new(), forever));
        drop(_guard);
        Ok(Self { url, news, runtime: Some(runtime) })
    }

    /// Sends a record to whoever is listening.
    pub(crate) fn publish(&self, record: SignedRecord) -> Result<()> {
        self.news.send(record).map(drop).context("nobody listens")
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Handler for Records {
    async fn list_peers(&self, _: Caller, _: Request, _: Duration) -> Result<Reply, Refusal> {
        let answer = Answer {
            responder: self.me,
            records: Vec::new().into(),
            incomplete: std::collections::BTreeSet::new(),
            upstreams: Vec::new(),
            request_id: None,
            retry_after: None,
        };
        Ok(Reply { answer, rings: Vec::new(), names: std::collections::BTreeMap::new() })
    }

    async fn watch_peers(
        &self,
        _: Caller,
        _: WatchOpen,
        updates: BoxStream<'static, WatchUpdate>,
    ) -> Result<BoxStream<'static, Result<WatchBatch, Refusal>>, Refusal> {
        let me = self.me;
        let batch = move |records: Vec<SignedRecord>, snapshot_complete| {
            let position = Position { epoch: 1, version: 1 };
            let batch = Batch { records, snapshot_complete, position, ..Batch::default() };
            Ok(WatchBatch { batch, responder: me })
        };
        let snapshot: Vec<_> =
            self.records.chunks(BATCH).map(|records| batch(records.to_vec(), false)).collect();
        let end = stream::iter([batch(Vec::new(), true)]);
        let news = stream::unfold(self.news.subscribe(), |mut news| async {
            Some((news.recv().await.ok()?, news))
        });
        let news = news.map(move |record| batch(vec![record], true));
        // What the other end sends is read and forgotten; it ends with the connection.
        let heard = updates.filter_map(|_| async { None });
        // Who says nothing is taken for dead.
        let alive = stream::unfold(interval(HEARTBEAT), move |mut ticks| async move {
            ticks.tick().await;
            Some((batch(Vec::new(), true), ticks))
        });
        let batches = stream::iter(snapshot).chain(end).chain(stream::select(news, alive));
        Ok(stream::select(batches, heard).boxed())
    }

    async fn topology(
        &self,
        _: Caller,
    ) -> Result<unring_cycle_detector::Topology<PeerId>, Refusal> {
        Err(Refusal::Draining { retry_after: Duration::from_secs(1) })
    }
}

/// The members of a cluster: three servers, and agents that each join one of them. Nobody has a libp2p address, so that
/// nobody is dialled; the zone makes up for its bytes.
pub(crate) fn cluster(nodes: usize) -> Result<Vec<SignedRecord>> {
    let identities: Vec<_> = (0..nodes).map(|_| Identity::generate()).collect();
    let servers: Vec<_> = identities.iter().take(3).map(Identity::peer_id).collect();
    let records = identities.iter().enumerate().map(|(index, identity)| {
        let server = (index >= 3).then(|| servers.get(index % 3).copied()).flatten();
        sign(identity, index, server, 1)
    });
    records.collect()
}

/// A record of the size that a real node's has.
pub(crate) fn sign(
    identity: &Identity,
    index: usize,
    server: Option<PeerId>,
    seq: u64,
) -> Result<SignedRecord> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let mut record = NodeRecord::new(identity.peer_id(), format!("agent-{index:05}"));
    record.seq = seq;
    record.issued_at = UnixMillis::new(u64::try_from(now.as_millis())?);
    record.ttl = TTL;
    "zone-of-a-rack-in-a-room-of-a-building".clone_into(&mut record.zone);
    "0.1.0".clone_into(&mut record.version);
    record.grpc_url = Some("https://192.0.2.1:5871".parse()?);
    let joins = server.map(|server| Join {
        address: "https://192.0.2.1:5871".to_owned(),
        targets: [server].into(),
        since: record.issued_at,
    });
    record.joins.extend(joins);
    SignedRecord::sign(identity, record).context("sign a record")
}
