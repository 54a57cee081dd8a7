//! What every call passes before its message is read: who calls, how long, and whether there is room.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::Service;
use unring_peer::UnixMillis;

use crate::activity::Activity;
use crate::answer::answer_of;
use crate::body::AnswerBody;
use crate::caller::{CALLER_METADATA, check_proof, wall_clock};
use crate::convert::{Responder, WrittenAnswer};
use crate::limits::MAX_REQUEST_BYTES;
use crate::pb::peer_addr_service_server::PeerAddrServiceServer;
use crate::service::{CUT_GRACE, GrpcService, at_most};
use crate::{
    Caller, ConnectInfo, Handler, InvalidMessage, Refusal, ServerConfig, Transport, Unauthenticated,
};

const LIST_PEERS: &str = "/unring.peeraddr.v1.PeerAddrService/ListPeers";
const GET_TOPOLOGY: &str = "/unring.peeraddr.v1.PeerAddrService/GetTopology";

/// Calls of this service keep a connection open. Health and reflection have streams without an end, on which nothing may
/// ever happen.
const SERVICE: &str = "/unring.peeraddr.v1.PeerAddrService/";

/// The one call whose answer is no larger than its question, and which probes make from anywhere.
const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";

/// Bytes before a gRPC message: compression flag and length.
const GRPC_PREFIX_BYTES: usize = 5;

/// What all connections of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: ServerConfig,
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) watch_slots: Arc<Semaphore>,
    pub(crate) draining: watch::Receiver<bool>,
    pub(crate) responder: Responder,
}

/// What is known of a call before its message is read; the service finds it among the request's extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallContext {
    pub(crate) caller: Caller,
    /// When its headers arrived, which is when its time begins to run.
    arrived: Instant,
    timeout: Option<Duration>,
}

impl CallContext {
    pub(crate) fn of<T>(request: &tonic::Request<T>) -> Result<Self, Refusal> {
        let context = request.extensions().get::<Self>().copied();
        context.ok_or(Refusal::Unauthenticated(Unauthenticated::Unknown))
    }

    /// What is left of the caller's time, within the server's bounds.
    pub(crate) fn budget(&self, config: &ServerConfig) -> Duration {
        let given = self.timeout.unwrap_or(config.default_budget).min(config.max_budget);
        given.saturating_sub(self.arrived.elapsed())
    }

    /// When the caller wants its stream to end; a stream without `grpc-timeout` has no end.
    pub(crate) fn stream_deadline(&self) -> Option<(Instant, Duration)> {
        let timeout = self.timeout?;
        // A timeout too long to be a time is none.
        Some((self.arrived.checked_add(timeout)?, timeout))
    }
}

/// The service of one connection.
#[derive(Debug)]
pub(crate) struct Gate<H> {
    /// The one that is called all the time; asked without a search among the others.
    pub(crate) service: PeerAddrServiceServer<GrpcService<H>>,
    /// Health and reflection.
    pub(crate) routes: Routes,
    pub(crate) info: ConnectInfo,
    pub(crate) activity: Activity,
    pub(crate) shared: Arc<Shared>,
}

impl<H: Handler> Gate<H> {
    fn admit(&self, request: &Request<Incoming>) -> Result<CallContext, Refusal> {
        let authority = request.uri().authority().map_or("", |authority| authority.as_str());
        let health = request.uri().path() == HEALTH_CHECK;
        let guard = &self.shared.config.guard;
        let caller = authenticate(&self.info, authority, request.headers(), wall_clock(), health)
            .inspect_err(|_| guard.count_unauthenticated())?;
        // Before anything of the message is read. Probes that ask for health have no token.
        if !health {
            guard.check_call(caller.peer.as_ref(), request.headers())?;
        }
        let timeout = request.headers().get("grpc-timeout").and_then(|value| value.to_str().ok());
        let timeout = timeout.and_then(parse_timeout);
        if *self.shared.draining.borrow() {
            return Err(Refusal::Draining { retry_after: self.shared.config.retry_after });
        }
        Ok(CallContext { caller, arrived: Instant::now(), timeout })
    }
}

impl<H: Handler> hyper::service::Service<Request<Incoming>> for Gate<H> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let refuse = |refusal: Refusal| -> Self::Future {
            let response = Status::from(refusal).into_http();
            Box::pin(async move { Ok(response) })
        };
        let context = match self.admit(&request) {
            Ok(context) => context,
            Err(refusal) => return refuse(refusal),
        };
        let call = self.activity.call();
        // Health and reflection as well: they cost as much, and a flood of them must find the same bound.
        let Ok(permit) = Arc::clone(&self.shared.in_flight).try_acquire_owned() else {
            let config = &self.shared.config;
            let (limit, retry_after) = (config.max_in_flight, config.retry_after);
            return refuse(Refusal::Busy { limit, retry_after });
        };
        request.extensions_mut().insert(context);
        let lasting = request.uri().path().starts_with(SERVICE);
        let message = match request.uri().path() {
            LIST_PEERS => Some("ListPeersRequest"),
            GET_TOPOLOGY => Some("GetTopologyRequest"),
            _ => None,
        };
        let request = request.map(|body| bounded(body, message));
        let response: Self::Future = if lasting {
            self.service.clone().call(request)
        } else {
            Box::pin(self.routes.clone().call(request))
        };
        // The handler keeps to the budget; whoever sends its message byte by byte does not.
        let budget = context.budget(&self.shared.config);
        let guard = self.shared.config.guard.clone();
        let response = at_most(budget.saturating_add(2 * CUT_GRACE), response);
        Box::pin(async move {
            let mut response = match response.await {
                Ok(response) => response?,
                Err(_) => Status::from(Refusal::DeadlineExceeded { budget }).into_http(),
            };
            drop(permit);
            if let Some(answer) = response.extensions_mut().remove::<WrittenAnswer>() {
                *response.body_mut() = Body::new(AnswerBody::from(answer));
            }
            let mut response = match message {
                Some(field) if says_too_long(response.headers()) => {
                    too_long(field, MAX_REQUEST_BYTES).into_http()
                }
                _ => response,
            };
            if lasting {
                guard.show_answer(response.headers_mut());
            }
            Ok(if lasting { response.map(|body| answer_of(call, body)) } else { response })
        })
    }
}

/// Who calls: the certificate's peer, or who signed the proof, or nobody, where that is allowed.
fn authenticate(
    info: &ConnectInfo,
    authority: &str,
    headers: &HeaderMap,
    now: UnixMillis,
    anonymous_is_fine: bool,
) -> Result<Caller, Unauthenticated> {
    let ConnectInfo { remote, transport, .. } = *info;
    let peer = match transport {
        Transport::Tls => Some(info.peer.ok_or(Unauthenticated::Unknown)?),
        Transport::Plaintext => match headers.get(CALLER_METADATA) {
            Some(value) => {
                let mut single = HeaderMap::new();
                single.insert(CALLER_METADATA, value.clone());
                let metadata = MetadataMap::from_headers(single);
                let proof = metadata.get_bin(CALLER_METADATA).and_then(|bin| bin.to_bytes().ok());
                let proof = proof.ok_or(Unauthenticated::Malformed)?;
                Some(check_proof(&proof, authority, now)?)
            }
            None if anonymous_is_fine || remote.ip().to_canonical().is_loopback() => None,
            None => return Err(Unauthenticated::Anonymous { remote }),
        },
    };
    Ok(Caller { peer, remote, transport })
}

/// A `grpc-timeout`: at most 8 digits and a unit. Anything else is ignored, as gRPC implementations do.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

pub(crate) fn too_long(field: &'static str, max: usize) -> Status {
    Refusal::Message(InvalidMessage::MessageTooLong { field, max }).into()
}

/// Whether this is the refusal of a message for the length that it says it has: it is made below us, where nobody knows of
/// our reasons, so that it comes without details.
pub(crate) fn is_too_long(code: Code, without_details: bool) -> bool {
    code == Code::OutOfRange && without_details
}

fn says_too_long(headers: &HeaderMap) -> bool {
    let code = headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
    code.is_some_and(|code| is_too_long(code, !headers.contains_key("grpc-status-details-bin")))
}

/// The body of a call that is no stream, which is not read beyond [`MAX_REQUEST_BYTES`].
fn bounded(body: Incoming, message: Option<&'static str>) -> Body {
    let Some(field) = message else { return Body::new(body) };
    let body = Limited::new(body, MAX_REQUEST_BYTES + GRPC_PREFIX_BYTES);
    Body::new(body.map_err(move |error| {
        if error.is::<LengthLimitError>() {
            too_long(field, MAX_REQUEST_BYTES).into()
        } else {
            error
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        for (text, expected) in [
            ("5S", Some(Duration::from_secs(5))),
            ("250m", Some(Duration::from_millis(250))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("1u", Some(Duration::from_micros(1))),
            ("100000000S", None),
            ("5", None),
            ("S", None),
            ("", None),
            ("-1S", None),
            ("5ß", None),
        ] {
            assert_eq!(parse_timeout(text), expected, "{text}");
        }
    }
}
