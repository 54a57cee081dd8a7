//! Who calls where no certificate says so.

use std::time::Duration;

use tonic::metadata::MetadataValue;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use unring_exchange::{OutboundRequest, Scope};
use unring_peer::{GrpcUrl, UnixMillis};

use super::support::{Node, Server, identity, peer};
use crate::caller::{CALLER_METADATA, check_proof, prove, wall_clock};
use crate::pb::peer_addr_service_client::PeerAddrServiceClient;
use crate::{Client, MAX_PROOF_AGE, ServerConfig, Transport, Unauthenticated, pb};

const AWAY: &str = "10.0.0.9:1000";
const NOW: UnixMillis = UnixMillis::new(1_790_000_000_000);
const AUTHORITY: &str = "node-1:5871";

#[tokio::test]
async fn a_proof_says_who_calls() {
    let server = Server::start(Node::default(), ServerConfig::new());
    let url: GrpcUrl = "http://node-1:5871".parse().unwrap();
    let limit = Duration::from_secs(5);
    let connector = server.plain_connector(AWAY);
    let client = Client::connect(&connector, &url, &identity(2), limit).await.unwrap();
    let request =
        OutboundRequest { scope: Scope::Local, max_peers: 0, trace: None, caller_record: None };
    let answer = client.list_peers(request, limit).await.unwrap();
    // Nobody vouches for the answer's own word.
    assert_eq!((client.peer(), answer.responder), (None, peer(1)));
    let (caller, ..) = server.node.calls.lock().unwrap().pop().unwrap();
    assert_eq!((caller.peer, caller.transport), (Some(peer(2)), Transport::Plaintext));
}

#[tokio::test]
async fn nobody_is_anonymous_but_on_loopback() {
    let server = Server::start(Node::default(), ServerConfig::new());
    for (remote, code) in [
        ("127.0.0.1:1000", Code::Ok),
        ("[::1]:1000", Code::Ok),
        ("[::ffff:127.0.0.1]:1000", Code::Ok),
        (AWAY, Code::Unauthenticated),
        ("[fd00::1]:1000", Code::Unauthenticated),
    ] {
        let mut grpc = PeerAddrServiceClient::new(server.plain_connector(remote).channel());
        let answer = grpc.list_peers(pb::ListPeersRequest::default()).await;
        assert_eq!(answer.map_or_else(|status| status.code(), |_| Code::Ok), code, "{remote}");
    }
    let calls = server.node.calls.lock().unwrap();
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().all(|(caller, ..)| caller.peer.is_none()));
}

#[tokio::test]
async fn only_an_answer_no_larger_than_its_question_is_for_everybody() {
    let server = Server::start(Node::default(), ServerConfig::new());
    let channel = server.plain_connector(AWAY).channel();
    let request = HealthCheckRequest { service: String::new() };
    HealthClient::new(channel.clone()).check(request.clone()).await.unwrap();
    let status = HealthClient::new(channel.clone()).watch(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let mut reflection = ServerReflectionClient::new(channel);
    let status = reflection.server_reflection_info(futures::stream::empty()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_wrong_proof_is_refused_even_on_loopback() {
    let server = Server::start(Node::default(), ServerConfig::new());
    let mut grpc = PeerAddrServiceClient::new(server.plain_connector("127.0.0.1:1").channel());
    let now = wall_clock();
    let old = UnixMillis::new(now.get() - 301_000);
    let good = prove(&identity(2), AUTHORITY, now);
    for (proof, code, says) in [
        (good, Code::Ok, ""),
        (prove(&identity(2), AUTHORITY, old), Code::Unauthenticated, "check both clocks"),
        (prove(&identity(2), "node-2:5871", now), Code::Unauthenticated, "does not verify"),
        (b"garbage".to_vec(), Code::Unauthenticated, "not a Caller message"),
    ] {
        let mut request = Request::new(pb::ListPeersRequest::default());
        request.metadata_mut().insert_bin(CALLER_METADATA, MetadataValue::from_bytes(&proof));
        match grpc.list_peers(request).await {
            Ok(_) => assert_eq!(code, Code::Ok),
            Err(status) => {
                assert_eq!(status.code(), code, "{status}");
                assert!(status.message().contains(says), "{status}");
            }
        }
    }
    assert_eq!(server.node.calls.lock().unwrap().len(), 1);
}

#[test]
fn a_proof_is_bound_to_key_authority_and_time() {
    let proof = prove(&identity(2), AUTHORITY, NOW);
    assert_eq!(check_proof(&proof, AUTHORITY, NOW).unwrap(), peer(2));
    let edge = NOW.saturating_add(MAX_PROOF_AGE);
    assert_eq!(check_proof(&proof, AUTHORITY, edge).unwrap(), peer(2));
    let late = check_proof(&proof, AUTHORITY, UnixMillis::new(edge.get() + 1)).unwrap_err();
    assert!(matches!(late, Unauthenticated::Stale { age_ms: 300_001 }), "{late}");
    let early = UnixMillis::new(NOW.get() - 300_001);
    let early = check_proof(&proof, AUTHORITY, early).unwrap_err();
    assert!(matches!(early, Unauthenticated::Stale { .. }), "{early}");
    let elsewhere = check_proof(&proof, "node-3:5871", NOW).unwrap_err();
    assert!(matches!(elsewhere, Unauthenticated::Signature { .. }), "{elsewhere}");
    for index in 0..proof.len() {
        let mut bent = proof.clone();
        bent[index] ^= 1;
        assert!(check_proof(&bent, AUTHORITY, NOW).is_err(), "byte {index} may be changed");
    }
}
