//! Metrics, health, status and topology, in plain HTTP on a runtime of its own: it answers when P2P work does not.

mod bounded;
mod database;
pub(crate) mod dht;
mod first_peer;
mod k3s;
mod metrics;
mod security;
mod status;
mod topology;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(crate) use self::bounded::Bounded;
use crate::errors::chain;
use crate::log::NODE;
use crate::node::Parts;

/// Connections at once. Further ones wait in the system's queue: monitoring needs one or two.
const MAX_CONNECTIONS: usize = 64;

/// Time that the P2P runtime has to show that it is alive.
const ALIVE: Duration = Duration::from_secs(1);

/// Serves until `stopping`, which it outlives by nothing: a probe that finds the port closed knows enough.
pub(crate) async fn serve(
    listener: std::net::TcpListener,
    parts: Arc<Parts>,
    stopping: CancellationToken,
) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/statusz", get(statusz))
        .route("/topology", get(topology::topology))
        .route("/dht", get(dht::providers))
        .with_state(parts);
    let served = async {
        let listener = Bounded::new(TcpListener::from_std(listener)?, MAX_CONNECTIONS);
        axum::serve(listener, router).with_graceful_shutdown(stopping.cancelled_owned()).await
    };
    if let Err(error) = served.await {
        tracing::error!(target: NODE, error = chain(&error), "metrics and health are not served");
    }
}

async fn metrics(State(parts): State<Arc<Parts>>) -> Response {
    match metrics::text(&parts) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn healthz(State(parts): State<Arc<Parts>>) -> Response {
    let alive = tokio::time::timeout(ALIVE, parts.p2p.spawn(async {})).await;
    match alive {
        Ok(Ok(())) => (StatusCode::OK, "ok\n").into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the P2P runtime does not answer\n").into_response(),
    }
}

async fn readyz(State(parts): State<Arc<Parts>>) -> Response {
    match not_ready(&parts) {
        None => (StatusCode::OK, "ready\n").into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// Why the node is not ready. An upstream that cannot be reached is no reason: the node serves what it knows.
pub(crate) fn not_ready(parts: &Parts) -> Option<String> {
    if parts.draining.load(Ordering::Relaxed) {
        return Some("stopping".to_owned());
    }
    let untried = parts.exchange.read(|engine, now| {
        engine.upstreams(now).into_iter().find(|upstream| upstream.last.is_none())
    });
    if !parts.sources.all_tried() {
        return Some("a source of first peers has not been tried yet".to_owned());
    }
    untried.map(|upstream| format!("{} has not been tried yet", upstream.address))
}

async fn statusz(State(parts): State<Arc<Parts>>) -> Response {
    match serde_json::to_vec(&status::Status::of(&parts)) {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
