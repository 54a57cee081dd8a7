//! What a listener gives to those who do not behave.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::A;
use super::kit::{Book, Ca};
use crate::listen::connection;
use crate::places::Places;
use crate::{
    Access, CONNECTION_TIMEOUT, Closed, Gate, HEAD_TIMEOUT, K3sServer, Open, ServerTls, limits,
    serve, tls,
};

struct Listening {
    at: std::net::SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(gate: impl Gate + Send + 'static) -> Listening {
    let own = ServerTls::new(&Ca::root("ca").key_pair("k3s", &[]), None).unwrap();
    let server = Arc::new(K3sServer::new(Book::of(&[A]), Access::default(), None));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let task = tokio::spawn(serve(listener, move || own.clone(), server, gate));
    Listening { at, task }
}

impl Listening {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.at).await.unwrap()
    }

    async fn tls(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(tls::trusting_anybody().unwrap());
        let name = ServerName::IpAddress(self.at.ip().into());
        connector.connect(name, self.connect().await).await
    }
}

/// Whether the other end closes well before it would for silence.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let read = timeout(HEAD_TIMEOUT / 2, stream.read(&mut [0; 1])).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn connections_of_an_address_are_bounded_and_come_free_again() {
    let node = listen(Open).await;
    let mut idle = Vec::new();
    for _ in 0..limits::MAX_CONNECTIONS_PER_ADDRESS {
        idle.push(node.connect().await);
    }
    // All places are taken by those who say nothing: one more is closed at once.
    assert!(is_closed(&mut node.connect().await).await);
    drop(idle);
    while node.tls().await.is_err() {
        tokio::task::yield_now().await;
    }
}

/// Counts who was closed for want of a place.
#[derive(Clone, Debug, Default)]
struct Counting(Arc<[AtomicUsize; 2]>);

impl Counting {
    fn counts(&self) -> [usize; 2] {
        [&self.0[0], &self.0[1]].map(|count| count.load(Ordering::Relaxed))
    }
}

impl Gate for Counting {
    fn admit(&self, _: IpAddr) -> bool {
        true
    }

    fn pause(&self) -> Option<Duration> {
        None
    }

    fn closed(&self, closed: Closed) {
        let count = match closed {
            Closed::Newcomer => &self.0[0],
            Closed::Quietest => &self.0[1],
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn who_asks_nothing_gives_way_to_who_comes() {
    let closed = Counting::default();
    let node = listen(closed.clone()).await;
    let mut idle = Vec::new();
    for turn in 0..limits::MAX_CONNECTIONS_PER_ADDRESS {
        // One has its handshake behind it and says nothing any more. More would take longer than all may to have just come.
        idle.push(match turn {
            0 => Silent::Tls(Box::new(node.tls().await.unwrap())),
            _ => Silent::Tcp(node.connect().await),
        });
    }
    assert!(is_closed(&mut node.connect().await).await, "all have just come");
    assert_eq!(closed.counts(), [1, 0]);
    // Until one has been quiet for 2 s, and before it is closed for that.
    let mut newcomer = loop {
        match node.tls().await {
            Ok(stream) => break stream,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    assert_eq!(closed.counts()[1], 1);
    newcomer.write_all(b"GET /v1-k3s/p2p HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    newcomer.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&answer));
    drop(idle);
}

/// A connection that is held.
#[expect(dead_code, reason = "held, and never used")]
enum Silent {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

#[tokio::test]
async fn a_connection_is_for_one_request() {
    let node = listen(Open).await;
    let mut stream = node.tls().await.unwrap();
    let request = "GET /v1-k3s/p2p HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(request.repeat(3).as_bytes()).await.unwrap();
    let mut answers = Vec::new();
    // It may be cut off with what came after the first request unread.
    let _ = stream.read_to_end(&mut answers).await;
    let answers = String::from_utf8(answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 401").count(), 1, "{answers}");
    assert!(answers.contains("connection: close"), "{answers}");
}

#[tokio::test]
async fn a_handshake_that_never_begins_is_cut_off() {
    let node = listen(Open).await;
    let mut silent = node.connect().await;
    tokio::time::pause();
    let began = Instant::now();
    let read = silent.read(&mut [0; 1]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    assert_eq!(began.elapsed().as_secs(), HEAD_TIMEOUT.as_secs());
}

/// A server's end of a connection in memory, which takes so many bytes before its client reads; and the client's end.
async fn in_memory(book: Book, room: usize) -> (JoinHandle<()>, TlsStream<DuplexStream>) {
    let own = ServerTls::new(&Ca::root("ca").key_pair("k3s", &[]), None).unwrap();
    let token = "K10::node:secret".parse().unwrap();
    let server = K3sServer::new(book, Access::new([&token]).unwrap(), None);
    let (near, far) = duplex(room);
    let serving = tokio::spawn(async move {
        let client = [10, 0, 0, 9].into();
        let (now, tls) = (Instant::now(), TlsAcceptor::from(own.0));
        let (place, _) = Places::default().take(client, now).unwrap();
        connection(&server, far, client, tls, now, place).await;
    });
    let connector = TlsConnector::from(tls::trusting_anybody().unwrap());
    let name = ServerName::try_from("localhost").unwrap();
    (serving, connector.connect(name, near).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_read_is_not_waited_for() {
    let list = vec![A; limits::MAX_SERVED_ADDRESSES];
    let (serving, mut client) = in_memory(Book::of(&list), 8 * 1024).await;
    let began = Instant::now();
    let request = "GET /v1-k3s/p2p HTTP/1.1\r\nhost: a\r\naccept: application/json\r\n\
        authorization: Basic bm9kZTpzZWNyZXQ=\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    timeout(2 * CONNECTION_TIMEOUT, serving).await.expect("it is waited for").unwrap();
    assert_eq!(began.elapsed().as_secs(), CONNECTION_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_head_is_bounded() {
    for (bytes, status) in [(limits::MAX_HEAD_BYTES / 2, "401"), (limits::MAX_HEAD_BYTES, "431")] {
        let (_serving, mut client) = in_memory(Book::of(&[A]), 4 * limits::MAX_HEAD_BYTES).await;
        let request = format!("GET /v1-k3s/p2p HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(bytes));
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, format!("HTTP/1.1 {status}").into_bytes(), "{bytes} bytes");
    }
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let node = listen(Open).await;
    let mut stream = node.tls().await.unwrap();
    tokio::time::pause();
    let began = Instant::now();
    let mut cut_off = false;
    for byte in b"GET / HTTP/1.1\r\na: bcdefghijklmnop" {
        // A byte a second: slow, and never silent.
        let read = timeout(Duration::from_secs(1), stream.read(&mut [0; 64])).await;
        cut_off = read.is_ok() || stream.write_all(&[*byte]).await.is_err();
        if cut_off {
            break;
        }
    }
    assert!(cut_off && began.elapsed() <= HEAD_TIMEOUT + Duration::from_secs(2));
}

struct Shut(Arc<AtomicBool>);

impl Gate for Shut {
    fn admit(&self, client: IpAddr) -> bool {
        assert!(client.is_loopback());
        !self.0.load(Ordering::Relaxed)
    }

    fn pause(&self) -> Option<Duration> {
        Some(Duration::from_millis(1))
    }
}

/// Closed, and waits before each connection.
struct Slow;

impl Gate for Slow {
    fn admit(&self, _: IpAddr) -> bool {
        false
    }

    fn pause(&self) -> Option<Duration> {
        Some(Duration::from_secs(20))
    }
}

#[tokio::test]
async fn connections_are_taken_as_slowly_as_the_gate_says() {
    let node = listen(Slow).await;
    tokio::time::pause();
    let began = Instant::now();
    for taken in 1..=2 {
        let read = node.connect().await.read(&mut [0; 1]).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
        assert_eq!(began.elapsed().as_secs(), 20 * taken);
    }
}

#[tokio::test]
async fn who_is_not_let_through_gets_no_handshake() {
    let shut = Arc::new(AtomicBool::new(true));
    let node = listen(Shut(Arc::clone(&shut))).await;
    assert!(is_closed(&mut node.connect().await).await);
    shut.store(false, Ordering::Relaxed);
    node.tls().await.unwrap();
}
