//! Running a node until it is told to stop, and draining it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use unring_peer_addr::{AcceptLimits, Incoming, ServerConfig, TlsIdentity, serve};

use super::build::Bound;
use super::{Node, Parts, control, libp2p};
use crate::admin;
use crate::errors::chain;
use crate::exchange::NodeHandler;
use crate::log::NODE;

/// Time for tasks to end once they were told to, beyond the drain deadline.
const SHUTDOWN: Duration = Duration::from_secs(1);

impl Node {
    /// Runs until `stop` resolves, then drains: open requests get until the deadline, streams and connections are closed.
    /// Call it on a runtime of your own; P2P work stays on the node's.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { parts, bound, runtime } = self;
        let Bound { tls, grpc, admin, network, network_events } = bound;
        announce(&parts);
        let stopping = CancellationToken::new();
        let admin_server = tokio::spawn(admin::serve(admin, Arc::clone(&parts), stopping.clone()));

        let (drained, drain) = oneshot::channel();
        let p2p = runtime.spawn(run_p2p(
            Arc::clone(&parts),
            P2p { tls, grpc, network, network_events },
            stopping.clone(),
            drained,
        ));
        stop.await;
        tracing::info!(target: NODE, event = "stopping", deadline = ?parts.config.timing.drain_deadline, "stopping");
        parts.draining.store(true, Ordering::Relaxed);
        stopping.cancel();
        let deadline = parts.config.timing.drain_deadline + SHUTDOWN;
        if tokio::time::timeout(deadline, drain).await.is_err() {
            tracing::warn!(target: NODE, "not everything was done at the drain deadline");
        }
        p2p.abort();
        // Whatever is left is blocked outside our reach; the process ends in a moment.
        runtime.shutdown_background();
        let _ = admin_server.await;
        tracing::info!(target: NODE, event = "stopped", "stopped");
    }
}

struct P2p {
    tls: TlsIdentity,
    grpc: std::net::TcpListener,
    network: unring_routing_kad::Network,
    network_events: unring_routing_kad::EventReceiver,
}

/// Everything on the P2P runtime.
async fn run_p2p(
    parts: Arc<Parts>,
    p2p: P2p,
    stopping: CancellationToken,
    drained: oneshot::Sender<()>,
) {
    let P2p { tls, grpc, network, network_events } = p2p;
    let network = tokio::spawn(network.run());
    let background = {
        let parts = Arc::clone(&parts);
        tokio::spawn(async move {
            tokio::join!(
                parts.exchange.clone().run_timer(),
                control::run(&parts),
                libp2p::follow_book(&parts),
                libp2p::follow_connections(&parts),
                libp2p::log_events(network_events),
            );
        })
    };
    if let Err(error) = serve_grpc(&parts, &tls, grpc, stopping.clone()).await {
        tracing::error!(target: NODE, error, "the gRPC service ended");
        stopping.cancelled().await;
    }
    parts.exchange.stop().await;
    parts.network.shutdown();
    // It closes its connections within a second of its own.
    let _ = network.await;
    background.abort();
    let _ = drained.send(());
}

async fn serve_grpc(
    parts: &Arc<Parts>,
    tls: &TlsIdentity,
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
        Incoming::tls(listener, tls, limits, counters).map_err(|error| chain(&error))?
    };
    let handler = Arc::new(NodeHandler {
        exchange: parts.exchange.clone(),
        governor: Arc::clone(&parts.governor),
        throttled: Arc::clone(&parts.throttled),
    });
    let config = ServerConfig { drain: parts.config.timing.drain_deadline, ..ServerConfig::new() };
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
