use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use unring_cycle_detector::RingKind;
use unring_exchange::{Incomplete, OutboundRequest, Position, RequestId, Scope, StampKey, Trace};
use unring_peer::{GrpcUrl, UnixMillis};

use super::support::{
    AFTER_THE_LAST_UPDATE, Node, Server, identity, large_record, peer, record, ring_of_three,
};
use crate::pb::peer_addr_service_client::PeerAddrServiceClient;
use crate::{
    CallError, Client, OutboundOpen, OutboundUpdate, Refusal, ServerConfig, Transport, pb,
};

const LIMIT: Duration = Duration::from_secs(5);

fn url() -> GrpcUrl {
    "https://node-1:5871".parse().unwrap()
}

async fn client(server: &Server) -> Client {
    Client::connect(&server.tls_connector(2), &url(), &identity(2), LIMIT).await.unwrap()
}

fn local() -> OutboundRequest {
    OutboundRequest { scope: Scope::Local, max_peers: 0, trace: None, caller_record: None }
}

#[tokio::test]
async fn a_request_and_its_answer_cross_the_wire_unchanged() {
    let node = Node { records: vec![record(1, 1), record(3, 9)], ..Node::default() };
    let server = Server::start(node, ServerConfig::new());
    let client = client(&server).await;
    assert_eq!(client.peer(), Some(peer(1)));

    let id = RequestId::new([5; 16]);
    let trace = Trace::start(&identity(3), id, UnixMillis::new(1_790_000_000_000), 64);
    let trace = trace.forwarded(&StampKey::new([1; 32]), peer(2)).unwrap();
    let request = OutboundRequest {
        scope: Scope::Recursive,
        max_peers: 2000,
        trace: Some(trace.clone()),
        caller_record: Some(record(2, 4)),
    };
    let answer = client.list_peers(request, LIMIT).await.unwrap();

    let (caller, received, budget) = server.node.calls.lock().unwrap().pop().unwrap();
    assert_eq!((caller.peer, caller.transport), (Some(peer(2)), Transport::Tls));
    assert_eq!((received.scope, received.max_peers), (Scope::Recursive, 1000));
    assert_eq!(received.trace, Some(trace));
    assert_eq!(received.caller_record.unwrap().verify().unwrap(), record(2, 4));
    assert!(budget <= LIMIT && budget > LIMIT - Duration::from_secs(2), "{budget:?}");

    assert_eq!((answer.responder, answer.refused), (peer(1), 0));
    assert_eq!(answer.incomplete, [Incomplete::Loop, Incomplete::Busy].into());
    assert_eq!(answer.retry_after, Some(Duration::from_millis(1500)));
    let records: Vec<_> = answer.records.into_iter().map(|one| one.verify().unwrap()).collect();
    assert_eq!(records, [record(1, 1), record(3, 9)]);
}

#[tokio::test]
async fn a_plain_client_gets_rings_and_decoded_records() {
    let node = Node { records: vec![record(1, 1)], ..Node::default() };
    let server = Server::start(node, ServerConfig::new());
    let mut grpc = PeerAddrServiceClient::new(server.tls_connector(2).channel());
    let request = pb::ListPeersRequest { decode: true, ..Default::default() };
    let answer = grpc.list_peers(request).await.unwrap().into_inner();
    assert_eq!(answer.decoded, [record(1, 1).record().to_wire()]);
    assert!(!answer.complete, "a busy answer is not complete");
    let [ring] = &answer.rings[..] else { panic!("{:?}", answer.rings) };
    let mut names: Vec<_> = ring.witness.iter().map(|member| member.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!((names, ring.cuts.len()), (vec!["node-1", "node-2", "node-3"], 1));
    let (_, _, budget) = server.node.calls.lock().unwrap().pop().unwrap();
    assert!(budget > Duration::from_secs(8) && budget <= Duration::from_secs(10), "{budget:?}");
}

#[tokio::test]
async fn a_topology_crosses_the_wire() {
    let server = Server::start(Node::default(), ServerConfig::new());
    let topology = client(&server).await.topology(LIMIT).await.unwrap();
    let expected = ring_of_three();
    assert_eq!((topology.responder, &topology.nodes), (expected.local, &expected.nodes));
    let ([ring], [expected]) = (&topology.rings[..], &expected.rings[..]) else {
        panic!("{topology:?}")
    };
    assert_eq!((&ring.id, ring.kind), (&expected.id.to_string(), RingKind::Plain));
    assert_eq!((&ring.members, &ring.witness), (&expected.members, &expected.witness));
    assert_eq!(ring.cuts[0].address, expected.cuts[0].address);
    assert_eq!(topology.names[&peer(2)], "node-2");
}

#[tokio::test]
async fn records_flow_both_ways_and_go_on_after_half_close() {
    let node = Node { records: vec![record(1, 1)], ..Node::default() };
    let server = Server::start(node, ServerConfig::new());
    let resume = Some(Position { epoch: 6, version: 3 });
    let open = OutboundOpen { caller_record: Some(record(2, 4)), resume };
    let update = OutboundUpdate { caller_record: None, records: vec![record(3, 9)], version: 12 };
    let updates = stream::iter([update.clone(), update]);
    let batches = client(&server).await.watch_peers(open, updates, LIMIT).await.unwrap();
    let batches: Vec<_> = batches.take(4).map(Result::unwrap).collect().await;

    let versions: Vec<_> = batches.iter().map(|one| one.batch.position.version).collect();
    assert_eq!(versions, [1, 2, 3, AFTER_THE_LAST_UPDATE]);
    assert!(batches.iter().all(|one| one.batch.position.epoch == 7 && one.responder == peer(1)));
    let first = &batches[0].batch;
    assert!(first.snapshot_complete && first.records[0].peer_id() == peer(1));
    let (caller, open) = server.node.opens.lock().unwrap().pop().unwrap();
    assert_eq!((caller.peer, open.resume), (Some(peer(2)), resume));
    assert_eq!(open.caller_record.unwrap().seq(), 4);
    let updates = server.node.updates.lock().unwrap();
    assert_eq!(updates.len(), 2);
    assert!(
        updates
            .iter()
            .all(|one| one.records[0].seq() == 9 && one.refused == 0 && one.version == 12)
    );
}

#[tokio::test]
async fn a_batch_larger_than_a_message_comes_in_several() {
    let records: Vec<_> = (0..250).map(|seq| large_record(1, seq)).collect();
    let bytes: usize = records.iter().map(|record| record.wire_bytes()).sum();
    assert!(bytes > 2 * crate::limits::BATCH_BYTES, "{bytes} bytes");
    let server = Server::start(Node { records, ..Node::default() }, ServerConfig::new());
    let open = OutboundOpen::default();
    let batches = client(&server).await.watch_peers(open, stream::empty(), LIMIT).await.unwrap();
    let batches: Vec<_> = batches.take(3).map(Result::unwrap).collect().await;
    let received = batches.iter().flat_map(|one| &one.batch.records);
    assert!(received.map(|record| record.seq()).eq(0..250));
    let ends = batches.iter().map(|one| &one.batch);
    let ends: Vec<_> = ends.map(|one| (one.snapshot_complete, one.position.version)).collect();
    assert_eq!(ends, [(false, 0), (false, 0), (true, 1)]);
}

#[tokio::test]
async fn a_refusal_says_when_to_come_back() {
    let refuse = || Refusal::RateLimited {
        limit: "per caller",
        retry_after: Duration::from_millis(2750),
        rate_per_second: 12.5,
    };
    let server =
        Server::start(Node { refuse: Some(refuse), ..Node::default() }, ServerConfig::new());
    let error = client(&server).await.list_peers(local(), LIMIT).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_millis(2750)));
    let text = error.to_string();
    assert!(text.starts_with("https://node-1:5871: refused with ResourceExhausted"), "{text}");
    assert!(text.contains("per caller") && text.contains("12.5"), "{text}");
    let CallError::Refused { code, reason, .. } = error else { panic!("{error:?}") };
    assert_eq!((code, reason.as_deref()), (Code::ResourceExhausted, Some("RATE_LIMITED")));

    let opened = client(&server).await;
    let Err(error) = opened.watch_peers(OutboundOpen::default(), stream::empty(), LIMIT).await
    else {
        panic!("the stream opened")
    };
    assert_eq!(error.retry_after(), Some(Duration::from_millis(2750)));
}

#[tokio::test]
async fn health_and_reflection_answer() {
    let server = Server::start(Node::default(), ServerConfig::new());
    let channel = server.tls_connector(2).channel();
    for service in ["", "unring.peeraddr.v1.PeerAddrService"] {
        let request = HealthCheckRequest { service: service.into() };
        let health = HealthClient::new(channel.clone()).check(request).await.unwrap();
        assert_eq!(health.into_inner().status(), ServingStatus::Serving);
    }
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let request = Request::new(stream::iter([request]));
    let answers = ServerReflectionClient::new(channel).server_reflection_info(request).await;
    let answer = answers.unwrap().into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}")
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    assert!(names.contains(&"unring.peeraddr.v1.PeerAddrService".to_owned()), "{names:?}");
}
