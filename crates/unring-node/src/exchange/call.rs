//! One outbound request or look at an address, as a task.

use std::time::Duration;

use unring_exchange::{CallFailure, CallId, OutboundRequest, RemoteAnswer, UpstreamId};
use unring_peer::{GrpcUrl, PeerId};
use unring_peer_addr::CallError;

use super::{Exchange, State};
use crate::errors::chain;

impl Exchange {
    pub(super) fn start_call(
        &self,
        state: &State,
        call: CallId,
        upstream: UpstreamId,
        request: OutboundRequest,
        timeout: Duration,
    ) {
        let url = url(state, upstream);
        let exchange = self.clone();
        self.within(
            timeout,
            async move {
                match url {
                    Ok(url) => exchange.call(&url, request, timeout).await,
                    Err(failure) => (Err(failure), false),
                }
            },
            move |exchange, done| {
                let (result, fresh) = done.unwrap_or_else(|failure| (Err(failure), false));
                if let Err(failure) = &result {
                    tracing::debug!(reason = failure.reason, "a request to an upstream failed");
                }
                exchange.event(|state, now| state.engine.on_call_done(now, call, result, fresh));
            },
        );
    }

    /// Looks who is at an upstream's address, over a connection of its own.
    pub(super) fn start_probe(
        &self,
        state: &State,
        call: CallId,
        upstream: UpstreamId,
        connected: Vec<PeerId>,
        request: OutboundRequest,
        timeout: Duration,
    ) {
        let url = url(state, upstream);
        let exchange = self.clone();
        self.within(
            timeout,
            async move { exchange.probe(&url?, &connected, request, timeout).await },
            move |exchange, done| {
                exchange.event(|state, now| match done.and_then(|found| found) {
                    Ok(Found::Connected(peer)) => state.engine.on_probe_done(now, call, Ok(peer)),
                    Ok(Found::Other(answer)) => {
                        state.engine.on_call_done(now, call, Ok(*answer), true);
                    }
                    Err(failure) => state.engine.on_probe_done(now, call, Err(failure)),
                });
            },
        );
    }

    /// Does `what` as a task of its own, and reports how it ended, unless the node stops first.
    fn within<T: Send + 'static>(
        &self,
        timeout: Duration,
        what: impl Future<Output = T> + Send + 'static,
        report: impl FnOnce(&Self, Result<T, CallFailure>) + Send + 'static,
    ) {
        let exchange = self.clone();
        drop(self.0.tasks.spawn(async move {
            let done = tokio::select! {
                () = exchange.0.stop.cancelled() => return,
                done = tokio::time::timeout(timeout, what) => done,
            };
            let late = |_| CallFailure::new(format!("no answer within {timeout:?}"));
            report(&exchange, done.map_err(late));
        }));
    }

    async fn call(
        &self,
        url: &GrpcUrl,
        request: OutboundRequest,
        timeout: Duration,
    ) -> (Result<RemoteAnswer, CallFailure>, bool) {
        let (client, fresh) = match self.0.clients.get(url).await {
            Ok(connected) => connected,
            Err(why) => return (Err(CallFailure::new(why)), false),
        };
        let result = client.list_peers(request, timeout).await;
        (result.map_err(|error| failure(&error)), fresh)
    }

    /// The certificate says who is there. In plaintext only an answer does.
    async fn probe(
        &self,
        url: &GrpcUrl,
        connected: &[PeerId],
        request: OutboundRequest,
        timeout: Duration,
    ) -> Result<Found, CallFailure> {
        let client = self.0.clients.connect(url).await;
        let client = client.map_err(|error| CallFailure::new(chain(&error)))?;
        if let Some(peer) = client.peer().filter(|peer| connected.contains(peer)) {
            return Ok(Found::Connected(peer));
        }
        let answer = client.list_peers(request, timeout).await;
        answer.map(|answer| Found::Other(Box::new(answer))).map_err(|error| failure(&error))
    }
}

/// Who was at an address.
enum Found {
    /// A node with which there is a stream.
    Connected(PeerId),
    /// Another one, and what it answered.
    Other(Box<RemoteAnswer>),
}

/// Where an upstream is.
pub(super) fn url(state: &State, upstream: UpstreamId) -> Result<GrpcUrl, CallFailure> {
    // Addresses come from a configuration that was read as URLs.
    let url = state.engine.upstream_address(upstream).and_then(|address| address.parse().ok());
    url.ok_or_else(|| CallFailure::new("no such upstream"))
}

/// What the engine is told of a failed call.
pub(super) fn failure(error: &CallError) -> CallFailure {
    // A server of an older version, or something else behind the address, does not know the method; one that has as many
    // streams as it may have still answers requests.
    let unsupported = match error {
        CallError::Refused { reason: Some(reason), .. } => reason == "TOO_MANY_STREAMS",
        CallError::Refused { code, .. } => i32::from(*code) == UNIMPLEMENTED,
        _ => false,
    };
    CallFailure { reason: chain(error), unsupported, retry_after: error.retry_after() }
}

/// gRPC status 12.
const UNIMPLEMENTED: i32 = 12;
