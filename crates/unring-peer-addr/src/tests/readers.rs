//! Callers that do not read what they are sent. Time is paused: nothing here touches a socket.

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use h2::RecvStream;
use tokio::time::{Instant, timeout};
use unring_peer::GrpcUrl;

use super::support::{Node, RawCall, RawClient, Server, identity, large_record};
use crate::{CallError, Client, DEFAULT_UNREAD_TIMEOUT, OutboundOpen, ServerConfig};

const LIMIT: Duration = Duration::from_secs(5);

/// A message without fields.
const EMPTY: Bytes = Bytes::from_static(&[0; 5]);

/// A server that sends 360 KiB to whoever asks, and has place for one stream.
fn server() -> Server {
    let records = (2..42).map(|n| large_record(n, 1)).collect();
    let config = ServerConfig { max_watch_streams: 1, ..ServerConfig::new() };
    Server::start(Node { records, ..Node::default() }, config)
}

/// A call whose answer has begun.
async fn begin(
    client: &mut RawClient,
    method: &str,
    last: bool,
) -> (h2::SendStream<Bytes>, RecvStream) {
    let RawCall { mut send, response } = client.call(method).await;
    send.send_data(EMPTY, last).unwrap();
    let response = response.await.unwrap();
    (send, response.into_body())
}

async fn second_stream(server: &Server) -> Result<(), CallError> {
    let url: GrpcUrl = "https://node-1:5871".parse().unwrap();
    let client = Client::connect(&server.tls_connector(3), &url, &identity(3), LIMIT).await?;
    client.watch_peers(OutboundOpen::default(), stream::pending(), LIMIT).await.map(drop)
}

fn assert_about(got: Duration, want: Duration) {
    assert!((want..=want + Duration::from_secs(1)).contains(&got), "{got:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_read_holds_its_place_for_a_while_only() {
    for window in [0, 1000, 65_535] {
        let server = server();
        let mut stopped = RawClient::connect(&server, window).await;
        let _stream = begin(&mut stopped, "WatchPeers", false).await;
        let start = Instant::now();
        second_stream(&server).await.unwrap_err();
        let ended = timeout(4 * DEFAULT_UNREAD_TIMEOUT, stopped.connection).await;
        assert!(ended.is_ok(), "window {window}: it stays open");
        assert_about(start.elapsed(), DEFAULT_UNREAD_TIMEOUT);
        second_stream(&server).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_read_is_let_go() {
    let server = server();
    let mut stopped = RawClient::connect(&server, 0).await;
    let _answer = begin(&mut stopped, "ListPeers", true).await;
    // It goes on asking, each time for as little as fits.
    let start = Instant::now();
    while !stopped.connection.is_finished() {
        assert!(start.elapsed() < 2 * DEFAULT_UNREAD_TIMEOUT, "it stays open");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let _more = timeout(LIMIT, begin_if_open(&mut stopped)).await;
    }
    assert_about(start.elapsed(), DEFAULT_UNREAD_TIMEOUT);
}

async fn begin_if_open(client: &mut RawClient) {
    if !client.connection.is_finished() {
        drop(client.call("GetTopology").await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_stays_and_so_does_one_to_whom_nothing_is_sent() {
    let server = server();
    let mut slow = RawClient::connect(&server, 16 * 1024).await;
    let (_send, mut body) = begin(&mut slow, "WatchPeers", false).await;
    let start = Instant::now();
    let mut got = 0;
    // Each 64 KiB take 20 s.
    while got < 350 * 1024 {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let data = timeout(LIMIT, body.data()).await.expect("nothing comes").unwrap().unwrap();
        got += data.len();
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    assert!(start.elapsed() > 3 * DEFAULT_UNREAD_TIMEOUT, "{:?}", start.elapsed());
    let rest = async {
        while let Some(data) = body.data().await {
            body.flow_control().release_capacity(data.unwrap().len()).unwrap();
        }
    };
    assert!(timeout(10 * DEFAULT_UNREAD_TIMEOUT, rest).await.is_err(), "it was closed");
    assert!(!slow.connection.is_finished());
}
