//! Serving a stream of connections.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{Stream, StreamExt as _};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::service::Routes;
use tonic::transport::server::Connected;
use tonic_reflection::server::Builder as Reflection;

use crate::activity::{Lapse, Patience};
use crate::config::{
    CLOSE_GRACE, CONNECTION_WINDOW_BYTES, MAX_HEADER_LIST_BYTES, SEND_BUFFER_BYTES,
    STREAM_WINDOW_BYTES,
};
use crate::convert::Responder;
use crate::gate::{Gate, Shared};
use crate::limits::MAX_MESSAGE_BYTES;
use crate::pb::peer_addr_service_server::PeerAddrServiceServer;
use crate::service::GrpcService;
use crate::{Accepted, Caller, ConnectInfo, Handler, ServerConfig, pb};

/// Pause after an error of the incoming stream, so that one that fails for ever takes no CPU.
const INCOMING_ERROR_PAUSE: Duration = Duration::from_millis(50);

/// Why a server cannot start.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The descriptors for reflection, which are built in, cannot be read.
    #[error("the built-in description of the service cannot be read")]
    Reflection(#[source] tonic_reflection::server::Error),
}

/// Serves every connection of `incoming` until `shutdown`, with health and reflection beside the service, so that
/// `grpcurl` needs no files.
///
/// After `shutdown` no connection is accepted, clients are told (GOAWAY), streams of records end with a retry delay, and
/// what is still open after [`ServerConfig::drain`] is closed. Dropping the future closes everything at once. How many
/// connections may be open is `incoming`'s to bound, as [`Incoming`](crate::Incoming) does.
///
/// # Errors
/// Before anything is accepted; an error of `incoming` ends nothing.
pub async fn serve<I, IO, H>(
    incoming: I,
    handler: Arc<H>,
    config: ServerConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError>
where
    I: Stream<Item = io::Result<IO>>,
    IO: AsyncRead + AsyncWrite + Connected<ConnectInfo: Into<Accepted>> + Unpin + Send + 'static,
    H: Handler,
{
    let (drain, draining) = watch::channel(false);
    let http = http2_builder(&config);
    let shared = Arc::new(Shared {
        in_flight: Arc::new(Semaphore::new(config.max_in_flight)),
        watch_slots: Arc::new(Semaphore::new(config.max_watch_streams)),
        draining: draining.clone(),
        responder: Responder::default(),
        config,
    });
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<PeerAddrServiceServer<GrpcService<H>>>().await;
    let visited = Arc::clone(&handler);
    let service = GrpcService { handler, shared: Arc::clone(&shared) };
    let service = PeerAddrServiceServer::new(service)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let routes = Routes::new(health_service)
        .add_service(reflection().build_v1().map_err(ServeError::Reflection)?)
        .add_service(reflection().build_v1alpha().map_err(ServeError::Reflection)?)
        .prepare();

    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    {
        // The incoming stream is dropped before connections are waited for: its port is free and refuses at once.
        let mut incoming = pin!(incoming);
        let mut open = true;
        while open || !connections.is_empty() {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => {}
                next = incoming.next(), if open => match next {
                    Some(Ok(io)) => {
                        let Accepted { info, activity } = io.connect_info().into();
                        let guard = &shared.config.guard;
                        if let ConnectInfo { remote, transport, peer: Some(peer), .. } = info
                            && guard.membership().check_peer(&peer).is_ok()
                        {
                            visited.connected(Caller { peer: Some(peer), remote, transport });
                        }
                        let shared = Arc::clone(&shared);
                        let (service, routes) = (service.clone(), routes.clone());
                        let gate = Gate { service, routes, info, activity, shared };
                        connections.spawn(connection(io, gate, http.clone(), draining.clone()));
                    }
                    Some(Err(error)) => {
                        tracing::debug!(%error, "a connection could not be accepted");
                        tokio::time::sleep(INCOMING_ERROR_PAUSE).await;
                    }
                    None => open = false,
                },
            }
        }
    }
    health.set_not_serving::<PeerAddrServiceServer<GrpcService<H>>>().await;
    // Only fails when nobody is left to be told.
    let _ = drain.send(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(shared.config.drain, ended).await.is_err() {
        tracing::debug!(
            connections = connections.len(),
            "connections closed at the drain deadline"
        );
    }
    connections.shutdown().await;
    Ok(())
}

fn reflection() -> Reflection<'static> {
    Reflection::configure()
        .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

fn http2_builder(config: &ServerConfig) -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(config.max_streams_per_connection)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .keep_alive_interval(config.keepalive_interval)
        .keep_alive_timeout(config.keepalive_timeout);
    http
}

async fn connection<IO, H: Handler>(
    io: IO,
    gate: Gate<H>,
    http: http2::Builder<TokioExecutor>,
    mut draining: watch::Receiver<bool>,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (remote, activity) = (gate.info.remote, gate.activity.clone());
    let patience = Patience::from(&gate.shared.config);
    activity.start();
    let mut connection = pin!(http.serve_connection(TokioIo::new(io), gate));
    // What the watch gives back is a lock, which must not be held while waiting.
    let drained = async { drop(draining.wait_for(|draining| *draining).await) };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drained => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        lapse = activity.lapsed(patience) => {
            tracing::debug!(%remote, ?lapse, "closing a connection");
            activity.count(lapse);
            // Who does not read would not read that either.
            if matches!(lapse, Lapse::GaveWay | Lapse::Unread) {
                return;
            }
            let grace = Patience { first: CLOSE_GRACE, idle: CLOSE_GRACE, ..patience };
            connection.as_mut().graceful_shutdown();
            // The grace begins now, not when it became quiet.
            activity.start();
            tokio::select! {
                ended = connection => ended,
                _ = activity.lapsed(grace) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%remote, %error, "connection ended");
    }
}
