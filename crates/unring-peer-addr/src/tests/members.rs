//! Calls between members of a cluster, and of those who are not.

use std::time::Duration;

use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;
use unring_exchange::{OutboundRequest, RemoteAnswer, Scope};
use unring_peer::{GrpcUrl, JoinToken, Keyring, Membership, NotAMember, PeerLists};

use super::support::{Node, Server, identity, peer};
use crate::pb::peer_addr_service_client::PeerAddrServiceClient;
use crate::{CallError, Client, ConnectError, Guard, GuardCounts, OutboundOpen, ServerConfig, pb};

const LIMIT: Duration = Duration::from_secs(5);
const TOKEN: &str = "the-token-of-this-cluster";
const OTHER: &str = "the-token-of-another-cluster";

fn by(tokens: &[&str], lists: PeerLists) -> Membership {
    let tokens: Vec<_> = tokens.iter().map(|text| JoinToken::parse(text).unwrap()).collect();
    Membership::new((!tokens.is_empty()).then(|| Keyring::new(&tokens)), lists)
}

fn guard(n: u8, tokens: &[&str]) -> Guard {
    Guard::new(peer(n), by(tokens, PeerLists::default()))
}

fn server(guard: &Guard) -> Server {
    let config = ServerConfig { guard: guard.clone(), ..ServerConfig::new() };
    Server::start(Node::default(), config)
}

async fn client(server: &Server, guard: &Guard) -> Client {
    let url: GrpcUrl = "https://node-1:5871".parse().unwrap();
    let connected = Client::connect(&server.tls_connector(2), &url, &identity(2), LIMIT).await;
    connected.unwrap().with_guard(guard.clone()).unwrap()
}

async fn ask(client: &Client) -> Result<RemoteAnswer, CallError> {
    let request =
        OutboundRequest { scope: Scope::Local, max_peers: 0, trace: None, caller_record: None };
    client.list_peers(request, LIMIT).await
}

/// The reason of a refusal.
fn reason(error: CallError) -> String {
    let CallError::Refused { reason: Some(reason), .. } = error else { panic!("{error:?}") };
    reason
}

#[tokio::test]
async fn members_understand_each_other_in_every_call() {
    let server = server(&guard(1, &[TOKEN]));
    let client = client(&server, &guard(2, &[TOKEN])).await;
    ask(&client).await.unwrap();
    client.topology(LIMIT).await.unwrap();
    let nothing = futures::stream::pending();
    drop(client.watch_peers(OutboundOpen::default(), nothing, LIMIT).await.unwrap());
}

#[tokio::test]
async fn who_shows_no_token_or_another_one_is_refused_and_counted() {
    let ours = guard(1, &[TOKEN]);
    let server = server(&ours);
    let none = client(&server, &Guard::default()).await;
    assert_eq!(reason(ask(&none).await.unwrap_err()), "NO_TOKEN");
    assert_eq!(reason(none.topology(LIMIT).await.unwrap_err()), "NO_TOKEN");
    let open = none.watch_peers(OutboundOpen::default(), futures::stream::pending(), LIMIT);
    assert_eq!(reason(open.await.err().unwrap()), "NO_TOKEN");
    let wrong = client(&server, &guard(2, &[OTHER])).await;
    assert_eq!(reason(ask(&wrong).await.unwrap_err()), "OTHER_TOKEN");
    // What another member showed is of no use.
    let stolen = client(&server, &guard(3, &[TOKEN])).await;
    assert_eq!(reason(ask(&stolen).await.unwrap_err()), "OTHER_TOKEN");
    let counts = GuardCounts { nothing_shown: 3, other_token: 2, ..GuardCounts::default() };
    assert_eq!(ours.counts(), counts);
    assert!(server.node.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_of_somebody_else_is_not_taken() {
    // It lets everybody in, and has nothing to show.
    let server = server(&Guard::default());
    let client = client(&server, &guard(2, &[TOKEN])).await;
    let open = client.watch_peers(OutboundOpen::default(), futures::stream::pending(), LIMIT);
    let watched = open.await.err();
    for error in [ask(&client).await.err(), client.topology(LIMIT).await.err(), watched] {
        let Some(CallError::NotAMember { source, .. }) = error else { panic!("{error:?}") };
        assert_eq!(source, NotAMember::NothingShown);
    }
}

#[tokio::test]
async fn whom_the_lists_keep_out_is_not_asked_at_all() {
    let server = server(&Guard::default());
    let lists = PeerLists { deny: [peer(1)].into(), ..PeerLists::default() };
    let url: GrpcUrl = "https://node-1:5871".parse().unwrap();
    let connected = Client::connect(&server.tls_connector(2), &url, &identity(2), LIMIT).await;
    let refused = connected.unwrap().with_guard(Guard::new(peer(2), by(&[], lists))).err();
    let Some(ConnectError::NotAMember { source, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(source, NotAMember::Denied { peer: peer(1) });
}

#[tokio::test]
async fn a_person_shows_the_token_itself_and_a_probe_of_health_nothing() {
    let server = server(&guard(1, &[TOKEN]));
    let channel = server.plain_connector("127.0.0.1:1000").channel();
    for (header, code) in [
        (Some(format!("Bearer {TOKEN}")), Code::Ok),
        (Some(format!("bearer {TOKEN}")), Code::Ok),
        (Some(format!("Bearer {OTHER}")), Code::Unauthenticated),
        (Some(format!("Basic {TOKEN}")), Code::Unauthenticated),
        (Some("Bearer".to_owned()), Code::Unauthenticated),
        (None, Code::Unauthenticated),
    ] {
        let mut request = Request::new(pb::GetTopologyRequest {});
        if let Some(header) = &header {
            request.metadata_mut().insert("authorization", header.parse().unwrap());
        }
        let answer = PeerAddrServiceClient::new(channel.clone()).get_topology(request).await;
        let status = answer.err();
        let got = status.as_ref().map_or(Code::Ok, tonic::Status::code);
        assert_eq!(got, code, "{header:?}");
        let told = status.map(|status| format!("{status:?} {:?}", status.get_error_details()));
        assert!(!told.unwrap_or_default().contains("another-cluster"), "a token comes back");
    }
    HealthClient::new(channel).check(HealthCheckRequest::default()).await.unwrap();
}

#[tokio::test]
async fn rules_change_under_open_connections() {
    let ours = guard(1, &[TOKEN]);
    let (server, theirs) = (server(&ours), guard(2, &[TOKEN]));
    let client = client(&server, &theirs).await;
    ask(&client).await.unwrap();
    ours.set(by(&[OTHER, TOKEN], PeerLists::default()));
    ask(&client).await.unwrap();
    theirs.set(by(&[OTHER], PeerLists::default()));
    ask(&client).await.unwrap();
    ours.set(by(&[OTHER], PeerLists { deny: [peer(2)].into(), ..PeerLists::default() }));
    assert_eq!(reason(ask(&client).await.unwrap_err()), "DENIED");
    ours.set(by(&[OTHER], PeerLists { allow: [peer(3)].into(), ..PeerLists::default() }));
    assert_eq!(reason(ask(&client).await.unwrap_err()), "NOT_ALLOWED");
    ours.set(by(&[OTHER], PeerLists::default()));
    theirs.set(by(&[OTHER], PeerLists { deny: [peer(1)].into(), ..PeerLists::default() }));
    let error = ask(&client).await.unwrap_err();
    assert!(matches!(error, CallError::NotAMember { .. }), "{error:?}");
    assert!(!client.is_closed(), "one connection all the time");
}
