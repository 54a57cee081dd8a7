//! Other ends that do not do what a node does. Real sockets, so real time, in limits of a fraction of a second.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use unring_exchange::{OutboundRequest, RemoteAnswer, Scope};
use unring_peer::GrpcUrl;

use super::support::identity;
use crate::{
    CallError, Client, ConnectError, OutboundOpen, PlainConnector, TlsConnector, TlsIdentity, probe,
};

/// Time for a call that is expected to fail by itself.
const LONG: Duration = Duration::from_secs(5);

/// Time for one that is expected to run into it.
const SHORT: Duration = Duration::from_millis(200);

/// Serves one connection with `behave` and gives its URL.
async fn upstream<F>(scheme: &str, behave: impl FnOnce(TcpStream) -> F + Send + 'static) -> GrpcUrl
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        behave(tcp).await;
    });
    format!("{scheme}://{address}").parse().unwrap()
}

async fn ask(url: &GrpcUrl, limit: Duration) -> Result<RemoteAnswer, CallError> {
    let client = Client::connect(&PlainConnector::new(false), url, &identity(2), LONG).await?;
    let request =
        OutboundRequest { scope: Scope::Local, max_peers: 0, trace: None, caller_record: None };
    client.list_peers(request, limit).await
}

/// An HTTP/2 server that answers one call with `body` and then either ends it properly or hangs up.
async fn answer(tcp: TcpStream, body: &[u8], hang_up: bool) {
    let mut connection = h2::server::handshake(tcp).await.unwrap();
    let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
    let response = http::Response::builder().header("content-type", "application/grpc");
    let mut send = respond.send_response(response.body(()).unwrap(), false).unwrap();
    send.send_data(Bytes::copy_from_slice(body), false).unwrap();
    if !hang_up {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        send.send_trailers(trailers).unwrap();
    }
    // Lets what was sent go out; the connection ends here or when the client is done.
    let _ = tokio::time::timeout(SHORT, connection.accept()).await;
}

fn grpc_frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat()
}

#[tokio::test]
async fn garbage_is_a_protocol_error() {
    let url = upstream("http", |mut tcp| async move {
        tcp.write_all(b"SSH-2.0-OpenSSH_9.2 and some more bytes of no HTTP/2\r\n").await.unwrap();
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let error = ask(&url, LONG).await.unwrap_err();
    assert!(matches!(error, CallError::Protocol { .. }), "{error:?}");
    assert!(error.to_string().starts_with(url.as_str()), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_no_message_is_a_protocol_error() {
    // Field 7, which is the responder, with bytes that are no text.
    let body = grpc_frame(&[0x3a, 1, 0xff]);
    let url = upstream("http", |tcp| async move { answer(tcp, &body, false).await }).await;
    let error = ask(&url, LONG).await.unwrap_err();
    assert!(matches!(error, CallError::Protocol { .. }), "{error:?}");
}

#[tokio::test]
async fn an_answer_from_nobody_is_a_protocol_error() {
    let url =
        upstream("http", |tcp| async move { answer(tcp, &grpc_frame(&[]), false).await }).await;
    let error = ask(&url, LONG).await.unwrap_err();
    assert!(matches!(error, CallError::Protocol { .. }), "{error:?}");
    assert!(error.to_string().contains("responder"), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_read() {
    // Only the length is sent: the client must not wait for the rest.
    let body = [0, 0, 0x50, 0, 0, 1, 2, 3];
    let url = upstream("http", move |tcp| async move { answer(tcp, &body, false).await }).await;
    let error = ask(&url, LONG).await.unwrap_err();
    assert!(matches!(error, CallError::Protocol { .. }), "{error:?}");
    assert!(error.to_string().contains("4194304"), "{error}");
}

#[tokio::test]
async fn an_upstream_that_hangs_up_is_lost() {
    let url = upstream("http", |tcp| async move { drop(tcp) }).await;
    let error = ask(&url, LONG).await.unwrap_err();
    assert!(
        matches!(error, CallError::Lost { .. } | CallError::Connect(ConnectError::Http2 { .. })),
        "{error:?}"
    );

    let body = &grpc_frame(&[0; 100])[..50];
    let body = body.to_vec();
    let url = upstream("http", |tcp| async move { answer(tcp, &body, true).await }).await;
    let start = Instant::now();
    let error = ask(&url, LONG).await.unwrap_err();
    assert!(matches!(error, CallError::Lost { .. }), "{error:?}");
    assert!(start.elapsed() < LONG);
}

#[tokio::test]
async fn an_upstream_that_never_answers_is_timed_out() {
    let url = upstream("http", |mut tcp| async move {
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let start = Instant::now();
    let error = ask(&url, SHORT).await.unwrap_err();
    assert!(matches!(error, CallError::Timeout { after: SHORT, .. }), "{error:?}");
    assert!(start.elapsed() < LONG);

    let url = upstream("http", |mut tcp| async move {
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let client = Client::connect(&PlainConnector::new(false), &url, &identity(2), LONG).await;
    let opened =
        client.unwrap().watch_peers(OutboundOpen::default(), stream::pending(), SHORT).await;
    assert!(matches!(opened.err(), Some(CallError::Timeout { .. })));
}

#[tokio::test]
async fn tls_to_something_else_fails_by_name() {
    let connector = TlsConnector::new(&TlsIdentity::new(&identity(2)).unwrap()).unwrap();
    let url = upstream("https", |mut tcp| async move {
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let error = probe(&connector, &url).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");

    let url = upstream("https", |mut tcp| async move {
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let connected = Client::connect(&connector, &url, &identity(2), SHORT).await;
    assert!(matches!(connected.err(), Some(ConnectError::Timeout { after: SHORT, .. })));
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url: GrpcUrl = format!("http://{address}").parse().unwrap();
    let error = ask(&url, LONG).await.unwrap_err();
    assert!(matches!(error, CallError::Connect(ConnectError::Tcp { .. })), "{error:?}");
    assert_eq!(error.to_string(), format!("{url}: no TCP connection to {address}"));
}

#[tokio::test]
async fn plaintext_stays_on_this_machine() {
    let url: GrpcUrl = "http://10.255.255.1:5871".parse().unwrap();
    let error = ask(&url, LONG).await.unwrap_err();
    assert!(matches!(error, CallError::Connect(ConnectError::NotLoopback { .. })), "{error:?}");
    assert!(error.to_string().contains("insecure"), "{error}");
    let url: GrpcUrl = "https://127.0.0.1:5871".parse().unwrap();
    let error = ask(&url, LONG).await.unwrap_err();
    assert!(matches!(error, CallError::Connect(ConnectError::Scheme { .. })), "{error:?}");
    let error = probe(&PlainConnector::new(true), &url).await.unwrap_err();
    assert!(matches!(error, ConnectError::Scheme { .. }), "{error:?}");
}
