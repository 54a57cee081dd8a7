//! One outbound request, as a task.

use std::time::Duration;

use unring_exchange::{CallFailure, CallId, OutboundRequest, RemoteAnswer, UpstreamId};
use unring_peer::GrpcUrl;
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
        fresh_connection: bool,
    ) {
        // Addresses come from a configuration that was read as URLs.
        let url = state
            .engine
            .upstream_address(upstream)
            .and_then(|address| address.parse::<GrpcUrl>().ok());
        let exchange = self.clone();
        let task = async move {
            let done = async {
                let Some(url) = url else {
                    return (Err(CallFailure::new("no such upstream")), false);
                };
                exchange.call(&url, request, timeout, fresh_connection).await
            };
            let (result, fresh) = tokio::select! {
                () = exchange.0.stop.cancelled() => return,
                done = tokio::time::timeout(timeout, done) => done.unwrap_or_else(|_| {
                    (Err(CallFailure::new(format!("no answer within {timeout:?}"))), false)
                }),
            };
            if let Err(failure) = &result {
                tracing::debug!(reason = failure.reason, "a request to an upstream failed");
            }
            exchange.event(|state, now| state.engine.on_call_done(now, call, result, fresh));
        };
        drop(self.0.tasks.spawn(task));
    }

    async fn call(
        &self,
        url: &GrpcUrl,
        request: OutboundRequest,
        timeout: Duration,
        fresh_connection: bool,
    ) -> (Result<RemoteAnswer, CallFailure>, bool) {
        let clients = &self.0.clients;
        let connected = if fresh_connection {
            clients.connect(url).await.map(|client| (client, true)).map_err(|error| chain(&error))
        } else {
            clients.get(url).await
        };
        let (client, fresh) = match connected {
            Ok(connected) => connected,
            Err(why) => return (Err(CallFailure::new(why)), false),
        };
        let result = client.list_peers(request, timeout).await;
        (result.map_err(|error| failure(&error)), fresh)
    }
}

/// What the engine is told of a failed call.
pub(super) fn failure(error: &CallError) -> CallFailure {
    // A server of an older version, or something else behind the address, does not know the method.
    let unsupported =
        matches!(error, CallError::Refused { code, .. } if i32::from(*code) == UNIMPLEMENTED);
    CallFailure { reason: chain(error), unsupported, retry_after: error.retry_after() }
}

/// gRPC status 12.
const UNIMPLEMENTED: i32 = 12;
