//! The generated service over a [`Handler`].

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use std::vec;

use futures::future::poll_immediate;
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tokio::time::error::Elapsed;
use tokio::time::{Sleep, timeout};
use tonic::{Request, Response, Status, Streaming};

use crate::convert::{
    batch_to_wire, decoded_answer, open_from_wire, request_from_wire, topology_to_wire,
    update_from_wire, write_answer,
};
use crate::gate::{CallContext, Shared, is_too_long, too_long};
use crate::limits::MAX_MESSAGE_BYTES;
use crate::pb::peer_addr_service_server::PeerAddrService;
use crate::{Handler, InvalidMessage, Refusal, WatchBatch, WatchUpdate, pb};

/// Beyond its budget a handler has this long to answer; then it is dropped, so that it holds nothing for ever.
pub(crate) const CUT_GRACE: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(crate) struct GrpcService<H> {
    pub(crate) handler: Arc<H>,
    pub(crate) shared: Arc<Shared>,
}

impl<H> GrpcService<H> {
    fn watch_slot(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let config = &self.shared.config;
        let (limit, retry_after) = (config.max_watch_streams, config.retry_after);
        let slot = Arc::clone(&self.shared.watch_slots).try_acquire_owned();
        slot.map_err(|_| Refusal::TooManyStreams { limit, retry_after })
    }
}

#[tonic::async_trait]
impl<H: Handler> PeerAddrService for GrpcService<H> {
    async fn list_peers(
        &self,
        request: Request<pb::ListPeersRequest>,
    ) -> Result<Response<pb::ListPeersResponse>, Status> {
        let context = CallContext::of(&request)?;
        let (request, decode) =
            request_from_wire(request.into_inner()).map_err(Refusal::Message)?;
        let budget = context.budget(&self.shared.config);
        let reply = self.handler.list_peers(context.caller, request, budget);
        let reply = within(budget, reply).await?;
        if decode {
            return Ok(Response::new(decoded_answer(&reply, &self.shared.responder)));
        }
        // The gate sends it in place of the message.
        let mut response = Response::new(pb::ListPeersResponse::default());
        response.extensions_mut().insert(write_answer(&reply, &self.shared.responder));
        Ok(response)
    }

    type WatchPeersStream = BoxStream<'static, Result<pb::WatchPeersResponse, Status>>;

    async fn watch_peers(
        &self,
        request: Request<Streaming<pb::WatchPeersRequest>>,
    ) -> Result<Response<Self::WatchPeersStream>, Status> {
        let context = CallContext::of(&request)?;
        let slot = self.watch_slot()?;
        let budget = context.budget(&self.shared.config);
        let mut inbound = request.into_inner();
        let first = timeout(budget, inbound.message())
            .await
            .map_err(|_| Refusal::DeadlineExceeded { budget })?
            .map_err(unreadable)?
            .ok_or(Refusal::Message(InvalidMessage::Missing { field: "WatchPeersRequest" }))?;
        let (open, update) = open_from_wire(first).map_err(Refusal::Message)?;
        let decode = open.decode;
        let (broken_tx, broken) = oneshot::channel();
        let updates = stream::iter(update).chain(updates(inbound, broken_tx)).boxed();
        let budget = context.budget(&self.shared.config);
        let batches = self.handler.watch_peers(context.caller, open, updates);
        let batches = within(budget, batches).await?;
        let deadline = context
            .stream_deadline()
            .map(|(at, budget)| (Box::pin(tokio::time::sleep_until(at)), budget));
        let outbound = Outbound {
            batches,
            ready: Vec::new().into_iter(),
            decode,
            broken: Some(broken),
            deadline,
            draining: self.shared.draining.clone(),
            retry_after: self.shared.config.retry_after,
            _slot: slot,
        };
        Ok(Response::new(outbound.into_stream()))
    }

    async fn get_topology(
        &self,
        request: Request<pb::GetTopologyRequest>,
    ) -> Result<Response<pb::GetTopologyResponse>, Status> {
        let context = CallContext::of(&request)?;
        let budget = context.budget(&self.shared.config);
        let topology = within(budget, self.handler.topology(context.caller)).await?;
        Ok(Response::new(topology_to_wire(&topology)))
    }
}

async fn within<T>(
    budget: Duration,
    answer: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    let answer = at_most(budget.saturating_add(CUT_GRACE), answer).await;
    answer.unwrap_or(Err(Refusal::DeadlineExceeded { budget }))
}

/// What `future` comes to within `limit`; what is there at once, as all that comes from the book, needs no timer.
pub(crate) async fn at_most<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    match poll_immediate(future.as_mut()).await {
        Some(output) => Ok(output),
        None => timeout(limit, future).await,
    }
}

/// The status of a message on a stream that could not be read.
fn unreadable(status: Status) -> Status {
    if is_too_long(status.code(), status.details().is_empty()) {
        too_long("WatchPeersRequest", MAX_MESSAGE_BYTES)
    } else {
        status
    }
}

/// The caller's messages as updates. It ends with the first that cannot be read, and says so through `broken`.
fn updates(
    inbound: Streaming<pb::WatchPeersRequest>,
    broken: oneshot::Sender<Status>,
) -> impl futures::Stream<Item = WatchUpdate> + Send + 'static {
    stream::unfold((inbound, broken), |(mut inbound, broken)| async {
        let failure = match inbound.message().await {
            // The caller has no more to send; it goes on to listen.
            Ok(None) => return None,
            Ok(Some(message)) => match update_from_wire(message) {
                Ok(update) => return Some((update, (inbound, broken))),
                Err(error) => Status::from(Refusal::Message(error)),
            },
            Err(status) => unreadable(status),
        };
        // Nobody listens any more when the stream of batches is gone.
        let _ = broken.send(failure);
        None
    })
}

/// The stream of batches towards one caller.
struct Outbound {
    batches: BoxStream<'static, Result<WatchBatch, Refusal>>,
    /// Messages of the batch that is being sent.
    ready: vec::IntoIter<pb::WatchPeersResponse>,
    decode: bool,
    /// Why the caller's own stream broke; none once it has ended in peace.
    broken: Option<oneshot::Receiver<Status>>,
    deadline: Option<(Pin<Box<Sleep>>, Duration)>,
    draining: watch::Receiver<bool>,
    retry_after: Duration,
    _slot: OwnedSemaphorePermit,
}

impl Outbound {
    fn into_stream(self) -> BoxStream<'static, Result<pb::WatchPeersResponse, Status>> {
        let stream = stream::unfold(Some(self), |outbound| async {
            let mut outbound = outbound?;
            match outbound.next().await? {
                Ok(message) => Some((Ok(message), Some(outbound))),
                // A status ends a gRPC stream.
                Err(status) => Some((Err(status), None)),
            }
        });
        stream.boxed()
    }

    async fn next(&mut self) -> Option<Result<pb::WatchPeersResponse, Status>> {
        loop {
            let stop = async {
                tokio::select! {
                    status = broken(&mut self.broken) => status,
                    refusal = over(&mut self.deadline) => refusal.into(),
                    refusal = drained(&mut self.draining, self.retry_after) => refusal.into(),
                }
            };
            if let Some(message) = self.ready.next() {
                return Some(Ok(message));
            }
            tokio::select! {
                biased;
                status = stop => return Some(Err(status)),
                batch = self.batches.next() => match batch? {
                    Ok(batch) => self.ready = batch_to_wire(&batch, self.decode).into_iter(),
                    Err(refusal) => return Some(Err(refusal.into())),
                },
            }
        }
    }
}

async fn broken(broken: &mut Option<oneshot::Receiver<Status>>) -> Status {
    if let Some(receiver) = broken {
        if let Ok(status) = receiver.await {
            return status;
        }
        *broken = None;
    }
    std::future::pending().await
}

async fn over(deadline: &mut Option<(Pin<Box<Sleep>>, Duration)>) -> Refusal {
    match deadline {
        Some((sleep, budget)) => {
            sleep.as_mut().await;
            Refusal::DeadlineExceeded { budget: *budget }
        }
        None => std::future::pending().await,
    }
}

async fn drained(draining: &mut watch::Receiver<bool>, retry_after: Duration) -> Refusal {
    // The sender lives as long as the server; without it nothing is left to wait for.
    let _ = draining.wait_for(|draining| *draining).await;
    Refusal::Draining { retry_after }
}
