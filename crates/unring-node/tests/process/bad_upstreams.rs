//! Upstreams that misbehave: the node says what each of them did, stays ready and goes on serving.

use std::future::pending;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::server::{self, SendResponse};
use http::Response;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use unring_peer::Identity;
use unring_peer_addr::pb;

use super::raw_grpc::Caller;
use super::support::{Node, Setup, wait_for};

/// What an upstream does with each connection.
#[derive(Clone, Copy, Debug)]
enum Misbehaviour {
    /// Speaks something else.
    Garbage,
    /// Accepts and says nothing.
    Silent,
    /// Hangs up at once.
    HangsUp,
    /// Takes each call and never answers it.
    NeverAnswers,
    /// Answers each call with bytes that are no message.
    GarbageMessage,
    /// Announces a message of 100 bytes, sends ten and hangs up.
    ClosesMidAnswer,
    /// Announces a message of 4 GiB.
    HugeMessage,
}

use Misbehaviour::{
    ClosesMidAnswer, Garbage, GarbageMessage, HangsUp, HugeMessage, NeverAnswers, Silent,
};

async fn misbehave(mut tcp: TcpStream, how: Misbehaviour) {
    match how {
        Garbage => {
            let _ = tcp.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\0\xff\0\xff").await;
            let _ = tcp.read(&mut [0; 1024]).await;
        }
        Silent => pending().await,
        HangsUp => {}
        NeverAnswers | GarbageMessage | ClosesMidAnswer | HugeMessage => {
            let Ok(mut calls) = server::handshake(tcp).await else { return };
            let mut open = Vec::new();
            while let Some(Ok((request, mut respond))) = calls.accept().await {
                match how {
                    NeverAnswers => {}
                    GarbageMessage => {
                        answer(&mut respond, &[0, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff], true)
                    }
                    HugeMessage => {
                        answer(&mut respond, &[0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3], false)
                    }
                    _ => {
                        answer(
                            &mut respond,
                            &[0, 0, 0, 0, 100, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
                            false,
                        );
                        // Let the bytes out before the connection ends.
                        let flushed = async { drop(calls.accept().await) };
                        let soon = std::time::Duration::from_millis(50);
                        let _ = tokio::time::timeout(soon, flushed).await;
                        return;
                    }
                }
                open.push((request, respond));
            }
        }
    }
}

fn answer(respond: &mut SendResponse<Bytes>, bytes: &'static [u8], end: bool) {
    let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    if let Ok(mut body) = respond.send_response(head, false) {
        let _ = body.send_data(Bytes::from_static(bytes), end);
        // Dropping it before its end would reset the stream, which is a misbehaviour of its own.
        std::mem::forget(body);
    }
}

/// Listens on a port of its own until the runtime ends.
fn upstream(runtime: &Runtime, how: Misbehaviour) -> SocketAddr {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(misbehave(tcp, how));
        }
    });
    address
}

/// What the status page says of the upstream at `address`, once it was tried.
fn last_error(node: &Node, address: &str) -> String {
    wait_for(address, || {
        let status = node.status();
        let upstreams = status["upstreams"].as_array().unwrap();
        let upstream = upstreams.iter().find(|one| one["address"] == address).unwrap();
        assert_ne!(upstream["last_result"], "ok", "{upstream}");
        upstream["last_error"].as_str().map(str::to_owned)
    })
}

#[test]
fn each_is_named_with_what_it_did_and_none_stops_the_node() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cases = [
        ("http", Garbage, &["not an answer"][..]),
        ("http", Silent, &["within"]),
        ("http", HangsUp, &["lost", "closed"]),
        ("http", NeverAnswers, &["no answer within 300ms"]),
        ("http", GarbageMessage, &["not an answer"]),
        ("http", ClosesMidAnswer, &["lost", "not an answer"]),
        ("http", HugeMessage, &["not an answer"]),
        ("https", Garbage, &["TLS"]),
        ("https", Silent, &["within"]),
        ("https", HangsUp, &["TLS"]),
        ("https", NeverAnswers, &["TLS"]),
    ];
    let mut upstreams: Vec<_> = cases
        .into_iter()
        .map(|(scheme, how, says)| (format!("{scheme}://{}", upstream(&runtime, how)), how, says))
        .collect();
    upstreams.push((format!("https://{nobody}"), HangsUp, &["refused"]));
    let addresses: Vec<_> = upstreams.iter().map(|(address, ..)| format!("{address:?}")).collect();
    let configured = format!("upstreams = [{}]", addresses.join(","));
    let node = Setup::new().start(&configured, "[timing]\nrequest_timeout = \"300ms\"");
    node.wait_until_ready();
    for (address, how, says) in &upstreams {
        let error = last_error(&node, address);
        assert!(says.iter().any(|text| error.contains(text)), "{address} {how:?}: {error}");
    }

    // It answers with what it has, says which upstreams failed, and its success does not hang on them.
    let mut caller = Caller::connect(&node, &Identity::generate());
    caller.budget = "1S";
    let recursive =
        pb::ListPeersRequest { scope: pb::Scope::Recursive.into(), ..Default::default() };
    for _ in 0..3 {
        let answer = caller.list_peers(&recursive).expect("an answer");
        assert!(!answer.complete);
        assert!(answer.incomplete().any(|why| why == pb::Incomplete::UpstreamFailed));
        assert_eq!(answer.records.len(), 1, "its own record");
        assert_eq!(answer.upstreams.len(), upstreams.len());
        assert!(answer.upstreams.iter().all(|one| !one.ok && !one.error.is_empty()), "{answer:?}");
    }
    let topology: pb::GetTopologyResponse =
        caller.call("GetTopology", &pb::GetTopologyRequest {}).expect("a topology");
    assert_eq!(topology.responder, node.peer_id);
    node.is_well();
    node.stop();
}
