//! A stream to an upstream, as a task.

use std::task::Poll;

use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::DropGuard;
use unring_exchange::{CallFailure, StreamId, UpstreamId};
use unring_peer::GrpcUrl;
use unring_peer_addr::{OutboundOpen, OutboundUpdate, RemoteBatch};

use super::call::{failure, url};
use super::{Exchange, State};

/// Our end of a stream to an upstream. Dropped, the stream closes.
pub(super) struct WatchingEnd {
    /// Room for the one push that is on its way.
    pub(super) updates: mpsc::Sender<OutboundUpdate>,
    /// Where it leads.
    pub(super) url: Option<GrpcUrl>,
    _open: DropGuard,
}

impl Exchange {
    pub(super) fn start_watching(
        &self,
        state: &mut State,
        stream: StreamId,
        upstream: UpstreamId,
        open: OutboundOpen,
    ) {
        let url = url(state, upstream);
        let (updates, queued) = mpsc::channel(1);
        let closed = self.0.stop.child_token();
        let _open = closed.clone().drop_guard();
        state.watching.insert(stream, WatchingEnd { updates, url: url.clone().ok(), _open });
        let exchange = self.clone();
        let task = async move {
            let watched = exchange.watch(stream, url, open, queued);
            let failure = tokio::select! {
                () = closed.cancelled() => CallFailure::new("closed here"),
                failure = watched => failure,
            };
            tracing::debug!(reason = failure.reason, "a stream to an upstream ended");
            if !exchange.0.stop.is_cancelled() {
                exchange.event(|state, now| {
                    state.watching.remove(&stream);
                    state.engine.on_stream_closed(now, stream, &failure);
                });
            }
        };
        drop(self.0.tasks.spawn(task));
    }

    /// Keeps a stream until it fails; why it did.
    async fn watch(
        &self,
        stream: StreamId,
        url: Result<GrpcUrl, CallFailure>,
        open: OutboundOpen,
        mut queued: mpsc::Receiver<OutboundUpdate>,
    ) -> CallFailure {
        let url = match url {
            Ok(url) => url,
            Err(failure) => return failure,
        };
        let (client, fresh) = match self.0.clients.get(&url).await {
            Ok(connected) => connected,
            Err(why) => return CallFailure::new(why),
        };
        let (exchange, mut handed_over) = (self.clone(), false);
        let updates = futures::stream::poll_fn(move |cx| {
            if std::mem::take(&mut handed_over) {
                exchange.stream_taken(stream);
            }
            let update = queued.poll_recv(cx);
            handed_over = matches!(update, Poll::Ready(Some(_)));
            update
        });
        let mut batches = match client.watch_peers(open, updates, self.0.request_timeout).await {
            Ok(batches) => batches,
            Err(error) => return failure(&error),
        };
        // In plaintext only the first batch says who is there.
        if let Some(peer) = client.peer() {
            self.opened(stream, &url, peer, fresh);
        }
        let mut opened = client.peer().is_some();
        while let Some(batch) = batches.next().await {
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) => return failure(&error),
            };
            if !opened {
                opened = true;
                self.opened(stream, &url, batch.responder, fresh);
            }
            let RemoteBatch { batch, refused, .. } = batch;
            self.stream_records(stream, batch, refused);
        }
        CallFailure::new("the upstream closed the stream")
    }

    fn opened(&self, stream: StreamId, url: &GrpcUrl, peer: unring_peer::PeerId, fresh: bool) {
        if peer == self.0.me {
            // Behind a shared address the next connection may lead to another node.
            self.0.clients.forget(url);
        }
        self.event(|state, now| state.engine.on_stream_opened(now, stream, peer, fresh));
    }
}
