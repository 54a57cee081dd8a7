//! Running a node until it is told to stop, and draining it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use unring_peer_addr::{AcceptLimits, Incoming, ServerConfig, serve};

use super::build::Bound;
use super::{Node, Parts, control, dht, libp2p};
use crate::errors::chain;
use crate::exchange::NodeHandler;
use crate::k3s;
use crate::log::NODE;
use crate::{admin, sources, watched};

/// Time for tasks to end once they were told to, beyond the drain deadline: libp2p gives its connections a second.
const SHUTDOWN: Duration = Duration::from_secs(3);

/// Time for open requests of the admin port at the end.
const ADMIN_SHUTDOWN: Duration = Duration::from_millis(500);

/// Time to write down what the network did last.
const LAST_EVENTS: Duration = Duration::from_millis(200);

/// Time for libp2p connections to close.
const CLOSING: Duration = Duration::from_millis(1500);

impl Node {
    /// Runs until `stop` resolves, then drains: open requests get until the deadline, streams and connections are closed.
    /// Call it on a runtime of your own; P2P work stays on the node's.
    ///
    /// # Errors
    /// When a part of the node ended by itself; the rest is drained then, too.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), PartEnded> {
        let Self { parts, bound, runtime } = self;
        let Bound { grpc, admin, k3s, id, network, network_events, writer } = bound;
        announce(&parts);
        dht::provide(&parts, &parts.config.dht);
        if let Err(error) = parts.exchange.start_keeper(writer, &parts.p2p) {
            tracing::error!(target: NODE, error = chain(&error), "the system gives no thread for the disk");
            return Err(PartEnded("disk thread"));
        }
        let stopping = CancellationToken::new();
        let admin_server = tokio::spawn(admin::serve(admin, Arc::clone(&parts), stopping.clone()));

        drop(tokio::spawn(watched::watch(Arc::clone(&parts), stopping.clone())));
        let (drained, mut drain) = oneshot::channel();
        let p2p = parts.p2p.spawn(run_p2p(
            Arc::clone(&parts),
            P2p { grpc, k3s, id, network, network_events },
            stopping.clone(),
            drained,
        ));
        let ended = tokio::select! {
            () = stop => None,
            ended = &mut drain => Some(ended.unwrap_or(Some("P2P runtime"))),
        };
        tracing::info!(target: NODE, event = "stopping", deadline = ?parts.config.timing.drain_deadline, "stopping");
        parts.draining.store(true, Ordering::Relaxed);
        stopping.cancel();
        let deadline = parts.config.timing.drain_deadline + SHUTDOWN;
        let late = ended.is_none() && tokio::time::timeout(deadline, drain).await.is_err();
        if late {
            tracing::warn!(target: NODE, "not everything was done at the drain deadline");
        }
        p2p.abort();
        drop(runtime);
        // A client of the admin port that goes on talking must not keep the process.
        let abort = admin_server.abort_handle();
        if tokio::time::timeout(ADMIN_SHUTDOWN, admin_server).await.is_err() {
            abort.abort();
        }
        tracing::info!(target: NODE, event = "stopped", "stopped");
        match ended.flatten() {
            Some(part) => Err(PartEnded(part)),
            None => Ok(()),
        }
    }
}

/// A part of the node that runs until it is told to stop ended by itself.
#[derive(Debug, Error)]
#[error("the {0} ended by itself; its last log lines say why")]
pub struct PartEnded(&'static str);

struct P2p {
    grpc: std::net::TcpListener,
    k3s: Option<std::net::TcpListener>,
    id: Option<std::net::TcpListener>,
    network: unring_routing_kad::Network,
    network_events: unring_routing_kad::EventReceiver,
}

/// Everything on the P2P runtime. Tells at the end which part ended first, if it was not told to.
async fn run_p2p(
    parts: Arc<Parts>,
    p2p: P2p,
    stopping: CancellationToken,
    drained: oneshot::Sender<Option<&'static str>>,
) {
    let P2p { grpc, k3s, id, network, network_events } = p2p;
    let mut background = Background::start(&parts, network, network_events);
    if let Some(listener) = k3s {
        background.tasks.spawn(serve_k3s(Arc::clone(&parts), listener));
    }
    if let Some(listener) = id {
        let parts = Arc::clone(&parts);
        background.tasks.spawn(async move {
            sources::serve(parts, listener).await;
            "listener of /id"
        });
    }
    let mut served = std::pin::pin!(serve_grpc(&parts, grpc, stopping.clone()));
    let (ended, told_to) = tokio::select! {
        result = &mut served => {
            if let Err(error) = result {
                tracing::error!(target: NODE, error, "the gRPC service ended");
            }
            ("gRPC service", stopping.is_cancelled())
        }
        part = background.ended() => {
            let told_to = stopping.is_cancelled();
            stopping.cancel();
            let _ = served.await;
            (part, told_to)
        }
    };
    background.finish(&parts).await;
    // Nobody listens any more when the drain deadline is over.
    let _ = drained.send((!told_to).then_some(ended));
}

/// The tasks that run beside the gRPC service.
struct Background {
    tasks: JoinSet<&'static str>,
    /// Logs what the network did. Ends after it, and is not watched for it.
    event_log: JoinHandle<()>,
}

impl Background {
    fn start(
        parts: &Arc<Parts>,
        network: unring_routing_kad::Network,
        events: unring_routing_kad::EventReceiver,
    ) -> Self {
        let mut tasks = JoinSet::new();
        let [timer, control, book, connections, sources] = [(); 5].map(|()| Arc::clone(parts));
        tasks.spawn(async move {
            timer.exchange.clone().run_timer().await;
            "timer"
        });
        tasks.spawn(async move {
            control::run(&control).await;
            "CPU control"
        });
        tasks.spawn(async move {
            libp2p::follow_book(&book).await;
            "list of wanted peers"
        });
        tasks.spawn(async move {
            libp2p::follow_connections(&connections).await;
            "list of connected peers"
        });
        tasks.spawn(async move {
            sources::run(&sources).await;
            // The network has ended, which is told by the network.
            std::future::pending().await
        });
        tasks.spawn(async move {
            network.run().await;
            NETWORK
        });
        Self { tasks, event_log: tokio::spawn(libp2p::log_events(events)) }
    }

    /// Which part ended; a panic has written its own line.
    async fn ended(&mut self) -> &'static str {
        match self.tasks.join_next().await {
            Some(Ok(part)) => part,
            _ => "background work",
        }
    }

    /// Ends them all.
    async fn finish(mut self, parts: &Parts) {
        parts.exchange.stop().await;
        parts.network.shutdown();
        let closing = async {
            while let Some(ended) = self.tasks.join_next().await {
                if ended.is_ok_and(|part| part == NETWORK) {
                    break;
                }
            }
        };
        // What has not closed by then is cut off.
        let _ = tokio::time::timeout(CLOSING, closing).await;
        self.tasks.shutdown().await;
        // The network is gone and its last events are queued: they belong before the line that says that the node stopped.
        let abort = self.event_log.abort_handle();
        if tokio::time::timeout(LAST_EVENTS, self.event_log).await.is_err() {
            abort.abort();
        }
    }
}

/// The part that has connections to close.
const NETWORK: &str = "libp2p network";

async fn serve_k3s(parts: Arc<Parts>, listener: std::net::TcpListener) -> &'static str {
    k3s::serve(parts, listener).await;
    "K3s listener"
}

async fn serve_grpc(
    parts: &Arc<Parts>,
    listener: std::net::TcpListener,
    stopping: CancellationToken,
) -> Result<(), String> {
    let listener = TcpListener::from_std(listener).map_err(|error| chain(&error))?;
    let limits = AcceptLimits {
        max_connections: parts.config.limits.max_grpc_connections,
        ..AcceptLimits::new()
    };
    let counters = Arc::clone(&parts.accepted);
    let incoming = if parts.config.listen.grpc_plaintext {
        Incoming::plain(listener, limits, counters)
    } else {
        Incoming::switched(listener, parts.security.tls().clone(), limits, counters)
    };
    let incoming = incoming.with_pressure(Arc::clone(&parts.pressure));
    let handler = Arc::new(NodeHandler {
        exchange: parts.exchange.clone(),
        governor: Arc::clone(&parts.governor),
        throttled: Arc::clone(&parts.throttled),
    });
    let config = ServerConfig {
        drain: parts.config.timing.drain_deadline,
        guard: parts.security.guard().clone(),
        ..ServerConfig::new()
    };
    let exchange = parts.exchange.clone();
    let shutdown = async move {
        stopping.cancelled().await;
        // Streams have no end of their own, so that a drain would wait for them in vain.
        exchange.close_streams();
    };
    serve(incoming, handler, config, shutdown).await.map_err(|error| chain(&error))
}

fn announce(parts: &Parts) {
    let libp2p: Vec<_> = parts.advertised.libp2p.iter().map(ToString::to_string).collect();
    tracing::info!(
        target: NODE,
        event = "started",
        name = parts.config.name,
        peer_id = %parts.me,
        version = crate::version::VERSION,
        grpc = %parts.grpc,
        admin = %parts.admin,
        k3s = parts.k3s.listen.map(tracing::field::display),
        advertised_grpc = parts.advertised.grpc.as_ref().map(tracing::field::display),
        advertised_libp2p = libp2p.join(", "),
        upstreams = parts.config.upstreams.len(),
        "started"
    );
    if parts.advertised.grpc.is_none() || libp2p.is_empty() {
        tracing::warn!(
            target: NODE,
            "no address of this host is known to others, so that nobody can connect to it: set advertise.grpc and advertise.libp2p"
        );
    }
    if parts.config.insecure {
        tracing::warn!(
            target: NODE,
            "insecure = true: gRPC without TLS is allowed beyond loopback, where anybody on the way can read and change it"
        );
    }
}
