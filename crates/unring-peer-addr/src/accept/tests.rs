//! Accepting under pressure, over real sockets. Where time is paused only the listener's own timers move it.

use std::num::NonZeroU32;

use futures::stream::StreamExt as _;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

use super::*;
use crate::tests::support::identity;

struct Fixture {
    incoming: Incoming,
    address: SocketAddr,
    counters: Arc<AcceptCounters>,
    pressure: Arc<Pressure>,
}

async fn fixture(tls: bool, limits: AcceptLimits) -> Fixture {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let counters = Arc::new(AcceptCounters::default());
    let pressure = Arc::new(Pressure::new());
    let incoming = if tls {
        let identity = TlsIdentity::new(&identity(1)).unwrap();
        Incoming::tls(listener, &identity, limits, Arc::clone(&counters)).unwrap()
    } else {
        Incoming::plain(listener, limits, Arc::clone(&counters))
    };
    let incoming = incoming.with_pressure(Arc::clone(&pressure));
    Fixture { incoming, address, counters, pressure }
}

impl Fixture {
    /// Connections that wait in the kernel's backlog when this returns.
    fn connect(&self, count: usize) -> Vec<std::net::TcpStream> {
        (0..count).map(|_| std::net::TcpStream::connect(self.address).unwrap()).collect()
    }
}

fn rate(per_second: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(per_second)
}

#[tokio::test(start_paused = true)]
async fn connections_are_taken_in_at_the_rate() {
    let mut fixture = fixture(false, AcceptLimits::new()).await;
    fixture.pressure.set_accept_rate(rate(4));
    let _clients = fixture.connect(10);
    let start = Instant::now();
    let mut taken = Vec::new();
    while taken.len() < 10 {
        taken.push(fixture.incoming.next().await.unwrap().unwrap());
    }
    // Four at once, and six at four per second.
    let elapsed = start.elapsed().as_millis();
    assert!((1500..1520).contains(&elapsed), "{elapsed} ms");
    assert_eq!(fixture.counters.counts().delayed_accepts, 6);
}

#[tokio::test(start_paused = true)]
async fn accepting_goes_on_once_the_rate_is_lifted() {
    let mut fixture = fixture(false, AcceptLimits::new()).await;
    fixture.pressure.set_accept_rate(rate(1));
    let _clients = fixture.connect(10);
    let _first = fixture.incoming.next().await.unwrap().unwrap();
    let mut next = fixture.incoming.next();
    assert!(futures::poll!(&mut next).is_pending());
    assert_eq!(fixture.counters.counts().delayed_accepts, 1);
    fixture.pressure.set_accept_rate(None);
    let start = Instant::now();
    let _second = next.await.unwrap().unwrap();
    let rest: Vec<_> = fixture.incoming.by_ref().take(8).collect().await;
    assert!(rest.iter().all(Result::is_ok));
    assert!(start.elapsed() <= MAX_PAUSE + Duration::from_millis(2), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn closing_a_connection_costs_a_part_of_a_handshake() {
    let limits = AcceptLimits { max_connections: 1, ..AcceptLimits::new() };
    let mut fixture = fixture(false, limits).await;
    fixture.pressure.set_accept_rate(rate(1));
    let _clients = fixture.connect(100);
    let _first = fixture.incoming.next().await.unwrap().unwrap();
    timeout(Duration::from_millis(3020), fixture.incoming.next()).await.unwrap_err();
    // The first full token is there after a second; from then on 16 parts of one come each second.
    let refused = fixture.counters.counts().connections_full;
    assert!((32..=34).contains(&refused), "{refused}");
}

#[tokio::test]
async fn handshakes_start_at_the_rate() {
    let mut fixture = fixture(true, AcceptLimits::new()).await;
    fixture.pressure.set_accept_rate(rate(2));
    let clients = fixture.connect(5);
    while fixture.counters.counts().delayed_accepts == 0 {
        assert!(futures::poll!(fixture.incoming.next()).is_pending());
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.incoming.handshakes.len(), 2);
    drop(clients);
}

#[tokio::test]
async fn one_address_cannot_take_every_handshake() {
    let limits = AcceptLimits { max_handshakes_per_ip: 2, ..AcceptLimits::new() };
    let mut fixture = fixture(true, limits).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(TcpStream::connect(fixture.address).await.unwrap());
    }
    let (counters, address) = (Arc::clone(&fixture.counters), fixture.address);
    tokio::spawn(async move { fixture.incoming.next().await });
    // Only the newest is closed.
    assert!(matches!(clients[2].read(&mut [0; 1]).await, Ok(0) | Err(_)));
    assert_eq!(counters.counts().handshakes_ip_full, 1);
    // One that ends gives its place to another, which gets an alert (21) for its garbage like the first.
    for failed in 1..=2 {
        clients[0].write_all(b"garbage, not TLS").await.unwrap();
        assert_eq!(clients[0].read_u8().await.unwrap(), 21);
        while counters.counts().handshake_failed < failed {
            tokio::task::yield_now().await;
        }
        clients[0] = TcpStream::connect(address).await.unwrap();
    }
    assert_eq!(counters.counts().handshakes_ip_full, 1);
}

#[tokio::test]
async fn a_tls_connection_under_pressure_reads_its_burst() {
    const SENT: usize = 48 * 1024;
    let mut fixture = fixture(true, AcceptLimits::new()).await;
    let (send, sending) = oneshot::channel();
    let address = fixture.address;
    tokio::spawn(async move {
        let config = crate::TlsConnector::new(&TlsIdentity::new(&identity(2)).unwrap()).unwrap();
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::IpAddress(address.ip().into());
        let mut tls = TlsConnector::from(config.tls.client()).connect(name, tcp).await.unwrap();
        // The handshake's last read would take some of what follows it at once.
        sending.await.unwrap();
        tls.write_all(&[7; SENT]).await.unwrap();
        tls.flush().await.unwrap();
        std::future::pending::<()>().await;
    });
    // The handshake is not slowed down: it takes more than a byte, and much less than a second.
    fixture.pressure.set_read_rate(rate(1));
    let mut io = fixture.incoming.next().await.unwrap().unwrap();
    assert_eq!(fixture.counters.counts().paused_reads, 0);
    send.send(()).unwrap();

    let mut read = Vec::new();
    while fixture.counters.counts().paused_reads == 0 {
        let reading = timeout(Duration::from_millis(1), io.read_buf(&mut read));
        assert!(!matches!(reading.await, Ok(Ok(0) | Err(_))));
    }
    assert!(read.len() <= 8 * 1024, "{}", read.len());
    fixture.pressure.set_read_rate(None);
    while read.len() < SENT {
        assert_ne!(io.read_buf(&mut read).await.unwrap(), 0);
    }
    assert!(read.iter().all(|byte| *byte == 7));
}
