//! Requests that break the protocol: each is refused with the field's name, and the handler never sees it.

use futures::stream::{self, StreamExt as _};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use unring_exchange::{RequestId, Trace};
use unring_peer::UnixMillis;

use super::support::{Node, Server, identity, peer, record};
use crate::pb::peer_addr_service_client::PeerAddrServiceClient;
use crate::{ServerConfig, pb};

fn request() -> pb::ListPeersRequest {
    let id = RequestId::new([5; 16]);
    let trace = Trace::start(&identity(2), id, UnixMillis::new(1_790_000_000_000), 64);
    let trace = pb::Trace {
        origin: trace.origin.to_base58(),
        origin_public_key: trace.origin_key.encode_protobuf(),
        request_id: vec![5; 16],
        issued_at_unix_ms: trace.issued_at.get(),
        origin_signature: trace.signature,
        path: vec![pb::Hop { peer_id: peer(2).to_base58(), stamp: vec![1; 16] }],
        hop_limit: 63,
    };
    pb::ListPeersRequest {
        scope: pb::Scope::Recursive.into(),
        trace: Some(trace),
        caller_record: Some(signed(&record(2, 1))),
        ..Default::default()
    }
}

fn signed(record: &unring_peer::SignedRecord) -> pb::SignedRecord {
    pb::SignedRecord { envelope: record.envelope().clone(), ..Default::default() }
}

fn broken() -> pb::SignedRecord {
    pb::SignedRecord { envelope: b"garbage"[..].into(), ..Default::default() }
}

/// The field that the status blames.
fn blamed(status: &Status) -> String {
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((info.domain.as_str(), info.reason.as_str()), ("unring", "INVALID_MESSAGE"));
    details.bad_request().unwrap().field_violations[0].field.clone()
}

#[tokio::test]
async fn each_broken_field_is_named() {
    let server = Server::start(Node::default(), ServerConfig::new());
    let mut grpc = PeerAddrServiceClient::new(server.tls_connector(2).channel());
    grpc.list_peers(request()).await.unwrap();
    server.node.calls.lock().unwrap().clear();

    type Change = fn(&mut pb::ListPeersRequest, &mut pb::Trace);
    let cases: [(&str, &str, Change); 14] = [
        ("scope", "9", |request, _| request.scope = 9),
        ("caller_record", "not a signed envelope", |request, _| {
            request.caller_record = Some(broken());
        }),
        ("trace.origin", "\"server1\"", |_, trace| trace.origin = "server1".into()),
        ("trace.origin", "20000 bytes", |_, trace| trace.origin = "1".repeat(20_000)),
        ("trace.origin_public_key", "not a libp2p public key", |_, trace| {
            trace.origin_public_key = vec![1, 2, 3];
        }),
        ("trace.origin_public_key", "at most 1024", |_, trace| {
            trace.origin_public_key = vec![0; 1025];
        }),
        ("trace.origin_signature", "at most 512", |_, trace| {
            trace.origin_signature = vec![0; 513];
        }),
        ("trace.request_id", "15 bytes, must be 16", |_, trace| trace.request_id = vec![0; 15]),
        ("trace.request_id", "0 bytes", |_, trace| trace.request_id.clear()),
        ("trace.path", "256 entries, at most 255", |_, trace| {
            trace.path = vec![trace.path[0].clone(); 256];
        }),
        ("trace.path.peer_id", "\"\"", |_, trace| trace.path[0].peer_id.clear()),
        ("trace.path.stamp", "17 bytes, must be 16", |_, trace| {
            trace.path[0].stamp = vec![0; 17];
        }),
        ("trace.hop_limit", "256, at most 255", |_, trace| trace.hop_limit = 256),
        ("trace.hop_limit", "4000000000", |_, trace| trace.hop_limit = 4_000_000_000),
    ];
    for (field, says, change) in cases {
        let mut request = request();
        let mut trace = request.trace.take().unwrap();
        change(&mut request, &mut trace);
        request.trace = Some(trace);
        let status = grpc.list_peers(request).await.unwrap_err();
        assert_eq!(blamed(&status), field);
        assert!(status.message().contains(says), "{field}: {status}");
        assert!(status.message().contains(field), "{field}: {status}");
    }
    assert!(server.node.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_message_that_is_too_large_is_not_read() {
    let server = Server::start(Node::default(), ServerConfig::new());
    let mut grpc = PeerAddrServiceClient::new(server.tls_connector(2).channel());
    let with_signature_of = |bytes| {
        let mut request = request();
        request.trace.as_mut().unwrap().origin_signature = vec![0; bytes];
        request
    };
    let status = grpc.list_peers(with_signature_of(100_000)).await.unwrap_err();
    assert_eq!(blamed(&status), "ListPeersRequest");
    assert!(status.message().contains("more than the 65536 bytes"), "{status}");

    let five_mebibytes = 5 * 1024 * 1024;
    let status = grpc.list_peers(with_signature_of(five_mebibytes)).await.unwrap_err();
    assert_eq!(blamed(&status), "ListPeersRequest");
    assert!(status.message().contains("more than the 65536 bytes"), "{status}");
    let record = pb::SignedRecord { envelope: vec![0; five_mebibytes].into(), ..broken() };
    let large = pb::WatchPeersRequest { caller_record: Some(record), ..Default::default() };
    let status = grpc.watch_peers(stream::iter([large.clone()])).await.unwrap_err();
    assert_eq!(blamed(&status), "WatchPeersRequest");
    assert!(status.message().contains("4194304"), "{status}");
    let messages = stream::iter([pb::WatchPeersRequest::default(), large]).chain(stream::pending());
    let mut batches = grpc.watch_peers(messages).await.unwrap().into_inner();
    let status = loop {
        match batches.message().await {
            Ok(batch) => assert!(batch.is_some(), "the stream ended without a status"),
            Err(status) => break status,
        }
    };
    assert_eq!(blamed(&status), "WatchPeersRequest");

    assert!(server.node.calls.lock().unwrap().is_empty());
    // The connection is still good.
    grpc.list_peers(request()).await.unwrap();
}

#[tokio::test]
async fn a_broken_record_does_not_cost_the_others() {
    let server = Server::start(Node::default(), ServerConfig::new());
    let mut grpc = PeerAddrServiceClient::new(server.tls_connector(2).channel());
    let message = pb::WatchPeersRequest {
        records: vec![broken(), signed(&record(3, 1)), broken()],
        ..Default::default()
    };
    // In the first message and in a later one.
    let messages = stream::iter([message.clone(), message]);
    let batches = grpc.watch_peers(messages).await.unwrap().into_inner();
    assert_eq!(batches.take(4).filter(|batch| std::future::ready(batch.is_ok())).count().await, 4);
    let updates = server.node.updates.lock().unwrap();
    assert_eq!(updates.len(), 2);
    for update in updates.iter() {
        assert_eq!((update.refused, update.records[0].peer_id()), (2, peer(3)));
    }
}

#[tokio::test]
async fn a_broken_message_ends_its_stream() {
    let server = Server::start(Node::default(), ServerConfig::new());
    let mut grpc = PeerAddrServiceClient::new(server.tls_connector(2).channel());
    let first = pb::WatchPeersRequest::default();
    let too_many = pb::WatchPeersRequest { records: vec![broken(); 5001], ..Default::default() };
    let bad_caller = pb::WatchPeersRequest { caller_record: Some(broken()), ..Default::default() };
    for (bad, field) in [(too_many, "records"), (bad_caller, "caller_record")] {
        let messages = stream::iter([first.clone(), bad.clone()]).chain(stream::pending());
        let mut batches = grpc.watch_peers(messages).await.unwrap().into_inner();
        let status = loop {
            match batches.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without a status"),
                Err(status) => break status,
            }
        };
        assert_eq!(blamed(&status), field);
        let status = grpc.watch_peers(stream::iter([bad])).await.unwrap_err();
        assert_eq!(blamed(&status), field);
    }
    assert!(server.node.updates.lock().unwrap().is_empty());
}
