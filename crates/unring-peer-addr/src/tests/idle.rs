//! Connections that hold a place without using it. Time is paused: nothing here touches a socket.

use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::{Instant, timeout};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use unring_exchange::{OutboundRequest, Scope};
use unring_peer::GrpcUrl;

use super::support::{Node, Server, identity};
use crate::config::CLOSE_GRACE;
use crate::{Client, Connector as _, OutboundOpen, ServerConfig};

const FIRST: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(5);

fn server() -> Server {
    let config =
        ServerConfig { first_call_timeout: FIRST, idle_timeout: IDLE, ..ServerConfig::new() };
    Server::start(Node::default(), config)
}

fn url() -> GrpcUrl {
    "https://node-1:5871".parse().unwrap()
}

async fn raw(server: &Server) -> DuplexStream {
    server.tls_connector(2).connect(&url()).await.unwrap().io
}

async fn client(server: &Server) -> Client {
    Client::connect(&server.tls_connector(2), &url(), &identity(2), LIMIT).await.unwrap()
}

async fn ask(client: &Client) {
    let request =
        OutboundRequest { scope: Scope::Local, max_peers: 0, trace: None, caller_record: None };
    client.list_peers(request, LIMIT).await.unwrap();
}

/// How long the connection of `client` stays open if nothing is done on it.
async fn until_closed(client: &Client) -> Duration {
    let start = Instant::now();
    while !client.is_closed() {
        assert!(start.elapsed() < 20 * IDLE, "never closed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    start.elapsed()
}

fn assert_about(got: Duration, want: Duration) {
    assert!((want..=want + CLOSE_GRACE + Duration::from_millis(200)).contains(&got), "{got:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_answers_pings_and_makes_no_call_is_closed() {
    let server = server();
    let (_send, connection) = h2::client::handshake(raw(&server).await).await.unwrap();
    let start = Instant::now();
    // In peace or with a reset.
    let _ended = timeout(10 * IDLE, connection).await.expect("it stays open");
    assert_about(start.elapsed(), FIRST);
}

#[tokio::test(start_paused = true)]
async fn who_is_told_that_it_is_over_has_time_for_a_call_that_crosses_the_word() {
    const HEAD: usize = 9;
    const GOAWAY: u8 = 7;
    let server = server();
    let mut io = raw(&server).await;
    let start = Instant::now();
    io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    io.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    let mut told = None;
    let mut head = [0; HEAD];
    while io.read_exact(&mut head).await.is_ok() {
        if head[3] == GOAWAY {
            told.get_or_insert(start.elapsed());
        }
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        io.read_exact(&mut vec![0; length]).await.unwrap();
    }
    let (told, closed) = (told.expect("it was closed without a word"), start.elapsed());
    assert!((FIRST..FIRST + CLOSE_GRACE / 2).contains(&told), "{told:?}");
    assert!(closed >= told + CLOSE_GRACE / 2, "told after {told:?}, closed after {closed:?}");
}

#[tokio::test(start_paused = true)]
async fn half_a_preface_and_half_a_list_of_headers_are_not_waited_for() {
    // The preface, an empty SETTINGS frame, and the head of a HEADERS frame whose 64 bytes never come.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let headers = [0, 0, 64, 1, 4, 0, 0, 0, 1, 0x82];
    let whole = [&preface[..], &settings, &headers].concat();
    for sent in [0, 10, preface.len(), whole.len()] {
        let server = server();
        let mut io = raw(&server).await;
        io.write_all(&whole[..sent]).await.unwrap();
        let start = Instant::now();
        let closed = timeout(10 * IDLE, io.read_to_end(&mut Vec::new())).await;
        closed.unwrap_or_else(|_| panic!("open after {sent} bytes")).unwrap();
        assert_about(start.elapsed(), FIRST);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_calls_is_closed_and_one_with_a_stream_stays() {
    let server = server();
    let (asked, watching) = (client(&server).await, client(&server).await);
    ask(&asked).await;
    let open = watching.watch_peers(OutboundOpen::default(), stream::pending(), LIMIT);
    let mut batches = open.await.unwrap();
    batches.next().await.unwrap().unwrap();
    // Each call counts from its end.
    tokio::time::sleep(IDLE / 2).await;
    ask(&asked).await;
    assert_about(until_closed(&asked).await, IDLE);
    assert!(timeout(10 * IDLE, batches.next()).await.is_err(), "the stream ended");
    drop(batches);
    assert_about(until_closed(&watching).await, IDLE);
}

#[tokio::test(start_paused = true)]
async fn a_health_stream_on_which_nothing_happens_keeps_no_place() {
    let server = server();
    let channel = server.tls_connector(2).channel();
    let request = HealthCheckRequest { service: String::new() };
    let mut health = HealthClient::new(channel).watch(request).await.unwrap().into_inner();
    health.message().await.unwrap().unwrap();
    let start = Instant::now();
    let end = timeout(10 * IDLE, health.message()).await.expect("it stays open");
    assert!(!matches!(end, Ok(Some(_))), "{end:?}");
    assert_about(start.elapsed(), IDLE);
}
