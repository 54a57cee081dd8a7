//! Deadlines, caps and the end of a server. Time is paused: nothing here touches a socket.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use tokio::time::Instant;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;
use unring_exchange::{OutboundRequest, Scope};
use unring_peer::GrpcUrl;

use super::support::{Node, RawClient, Server, identity};
use crate::pb::peer_addr_service_client::PeerAddrServiceClient;
use crate::{CallError, Client, OutboundOpen, ServerConfig, pb};

const LIMIT: Duration = Duration::from_secs(5);

async fn client(server: &Server) -> Client {
    let url: GrpcUrl = "https://node-1:5871".parse().unwrap();
    Client::connect(&server.tls_connector(2), &url, &identity(2), LIMIT).await.unwrap()
}

fn local() -> OutboundRequest {
    OutboundRequest { scope: Scope::Local, max_peers: 0, trace: None, caller_record: None }
}

fn silent() -> Node {
    Node { silent: true, ..Node::default() }
}

async fn until_asked(server: &Server) {
    while server.node.calls.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_waits_no_longer_than_its_limit() {
    let server = Server::start(silent(), ServerConfig::new());
    let client = client(&server).await;
    let start = Instant::now();
    let error = client.list_peers(local(), LIMIT).await.unwrap_err();
    assert!(matches!(error, CallError::Timeout { after: LIMIT, .. }), "{error}");
    assert!(start.elapsed() < LIMIT + Duration::from_millis(20), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn no_call_gets_more_time_than_the_longest() {
    let server = Server::start(Node::default(), ServerConfig::new());
    let client = client(&server).await;
    for (given, budget) in [(LIMIT, LIMIT), (1000 * LIMIT, crate::DEFAULT_MAX_BUDGET)] {
        client.list_peers(local(), given).await.unwrap();
        let (.., got) = server.node.calls.lock().unwrap().pop().unwrap();
        assert_eq!(got, budget);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_answers_is_dropped() {
    let server = Server::start(silent(), ServerConfig::new());
    let mut grpc = PeerAddrServiceClient::new(server.tls_connector(2).channel());
    let start = Instant::now();
    let status = grpc.list_peers(pb::ListPeersRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert!(start.elapsed() < Duration::from_secs(11), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stream_nobody_speaks_on_is_refused() {
    let server = Server::start(Node::default(), ServerConfig::new());
    let mut grpc = PeerAddrServiceClient::new(server.tls_connector(2).channel());
    let status = grpc.watch_peers(stream::pending()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    let status = grpc.watch_peers(stream::empty()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
}

#[tokio::test(start_paused = true)]
async fn a_call_too_many_is_refused_at_once() {
    let config = ServerConfig { max_in_flight: 1, ..ServerConfig::new() };
    let server = Server::start(silent(), config);
    let (first, second) = (client(&server).await, client(&server).await);
    let first = tokio::spawn(async move { first.list_peers(local(), LIMIT).await });
    until_asked(&server).await;
    let start = Instant::now();
    let error = second.list_peers(local(), LIMIT).await.unwrap_err();
    let CallError::Refused { code, reason, retry_after, .. } = error else { panic!("{error}") };
    assert_eq!((code, reason.as_deref()), (Code::ResourceExhausted, Some("BUSY")));
    assert_eq!((retry_after, start.elapsed()), (Some(Duration::from_secs(1)), Duration::ZERO));
    // A flood of health checks meets the same bound.
    let health = || async {
        let mut health = HealthClient::new(server.tls_connector(3).channel());
        health.check(HealthCheckRequest { service: String::new() }).await
    };
    let status = health().await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
    assert_eq!(retry_after, Some(Duration::from_secs(1)));
    // The slot is free again once the first caller has given up.
    assert!(matches!(first.await.unwrap(), Err(CallError::Timeout { .. })));
    health().await.unwrap();
    let error = second.list_peers(local(), LIMIT).await.unwrap_err();
    assert!(matches!(error, CallError::Timeout { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_never_ends_gives_its_slot_back() {
    let config = ServerConfig { max_in_flight: 1, ..ServerConfig::new() };
    let server = Server::start(Node::default(), config);
    let mut slow = RawClient::connect(&server, 65_535).await;
    let mut call = slow.call("ListPeers").await;
    // The prefix of a message of 100 bytes, and 3 of them.
    call.send.send_data(Bytes::from_static(&[0, 0, 0, 0, 100, 1, 2, 3]), false).unwrap();
    let client = client(&server).await;
    let start = Instant::now();
    while client.list_peers(local(), LIMIT).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(11), "the slot is kept");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let response = call.response.await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "4");
}

#[tokio::test(start_paused = true)]
async fn a_stream_too_many_is_refused_and_its_place_given_back() {
    let config = ServerConfig { max_watch_streams: 1, ..ServerConfig::new() };
    let server = Server::start(Node::default(), config);
    let client = client(&server).await;
    let open = || client.watch_peers(OutboundOpen::default(), stream::pending(), LIMIT);
    let mut first = open().await.unwrap();
    first.next().await.unwrap().unwrap();
    let Err(CallError::Refused { reason, retry_after, .. }) = open().await else {
        panic!("a second stream opened")
    };
    assert_eq!((reason.as_deref(), retry_after.is_some()), (Some("TOO_MANY_STREAMS"), true));
    drop(first);
    let reopened = async {
        while open().await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LIMIT, reopened).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_says_so_and_ends() {
    let mut server = Server::start(silent(), ServerConfig::new());
    let (watcher, asker) = (client(&server).await, client(&server).await);
    let open = watcher.watch_peers(OutboundOpen::default(), stream::pending(), LIMIT);
    let mut batches = open.await.unwrap();
    batches.next().await.unwrap().unwrap();
    let asked = tokio::spawn(async move { asker.list_peers(local(), LIMIT * 2).await });
    until_asked(&server).await;

    let start = Instant::now();
    server.signal_stop();
    let error = batches.next().await.unwrap().unwrap_err();
    let CallError::Refused { code, reason, retry_after, .. } = error else { panic!("{error}") };
    assert_eq!((code, reason.as_deref()), (Code::Unavailable, Some("DRAINING")));
    assert_eq!(retry_after, Some(Duration::from_secs(1)));
    assert!(batches.next().await.is_none(), "an error is the last item");
    // The silent call holds the server up to its deadline, not longer.
    server.ended().await;
    assert_eq!(start.elapsed().as_secs(), crate::DEFAULT_DRAIN.as_secs());
    assert!(matches!(asked.await.unwrap(), Err(CallError::Lost { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_caller_said_it_would() {
    let server = Server::start(Node::default(), ServerConfig::new());
    let mut grpc = PeerAddrServiceClient::new(server.tls_connector(2).channel());
    let messages = stream::iter([pb::WatchPeersRequest::default()]).chain(stream::pending());
    let mut request = tonic::Request::new(messages);
    request.metadata_mut().insert("grpc-timeout", "3S".parse().unwrap());
    let mut batches = grpc.watch_peers(request).await.unwrap().into_inner();
    batches.message().await.unwrap().unwrap();
    let start = Instant::now();
    let status = batches.message().await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert!(start.elapsed() <= Duration::from_secs(3), "{:?}", start.elapsed());
}
