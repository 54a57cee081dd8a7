use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::stream;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::client::ResolvesClientCert;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use unring_exchange::{OutboundRequest, Scope};
use unring_peer::GrpcUrl;

use super::certificate::{Certificate, InvalidCertificate};
use super::verifier::PeerVerifier;
use super::{EXTENSION_OID, TlsIdentity, TlsSwitch, signed_key};
use crate::tests::support::{Node, identity, peer};
use crate::{
    AcceptCounters, AcceptCounts, AcceptLimits, CallError, Client, ConnectError, Incoming,
    OutboundOpen, ServerConfig, TlsConnector, Transport, probe, serve,
};

const LIMIT: Duration = Duration::from_secs(5);

/// What a client shows that is not ours.
fn tls_with(client: ClientConfig) -> TlsSwitch {
    TlsSwitch::new(&TlsIdentity::new(&identity(2)).unwrap()).unwrap().with_client(client)
}

fn check(certificate: &CertificateDer<'_>) -> Result<String, InvalidCertificate> {
    let algorithms = ring::default_provider().signature_verification_algorithms;
    let certificate = Certificate::parse(certificate)?;
    certificate
        .check(&algorithms, UnixTime::since_unix_epoch(Duration::from_secs(1_790_000_000)))?;
    Ok(certificate.peer_id().to_base58())
}

fn forged(change: impl FnOnce(&mut CertificateParams)) -> TlsIdentity {
    TlsIdentity::with(&identity(2), None, change).unwrap()
}

fn refused(change: impl FnOnce(&mut CertificateParams)) -> InvalidCertificate {
    check(&forged(change).certificate).unwrap_err()
}

fn hex(text: &str) -> CertificateDer<'static> {
    let byte = |index| u8::from_str_radix(&text[index..index + 2], 16).unwrap();
    (0..text.trim().len()).step_by(2).map(byte).collect::<Vec<_>>().into()
}

#[test]
fn a_certificate_says_whose_it_is() {
    let tls = TlsIdentity::new(&identity(2)).unwrap();
    assert_eq!(check(&tls.certificate), Ok(peer(2).to_base58()));
    assert!(tls.client_pem().starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(tls.key_pem().starts_with("-----BEGIN PRIVATE KEY-----"));
    let shown = format!("{tls:?}");
    assert!(shown.contains(&peer(2).to_base58()) && !shown.contains("key"), "{shown}");
}

/// The certificates of the libp2p TLS specification's section "Test vectors".
#[test]
fn certificates_of_other_implementations_are_read() {
    let ed25519 = hex(include_str!("tests/spec_ed25519.hex"));
    assert_eq!(check(&ed25519).unwrap(), "12D3KooWJRSrypvnpHgc6ZAgyCni4KcSmbV7uGRaMw5LgMKT18fq");
    let invalid = hex(include_str!("tests/spec_invalid.hex"));
    assert!(matches!(check(&invalid), Err(InvalidCertificate::Binding { .. })));
}

#[test]
fn a_certificate_with_anothers_key_is_refused() {
    // It carries node 2's public key, but what signs the certificate's key is node 3's.
    let refused = refused(|params| {
        let stolen = signed_key(&identity(2), &KeyPair::generate().unwrap());
        params.custom_extensions = vec![CustomExtension::from_oid_content(&EXTENSION_OID, stolen)];
    });
    assert_eq!(refused, InvalidCertificate::Binding { peer: peer(2) });
}

#[test]
fn certificates_are_refused_for_what_is_wrong_with_them() {
    let validity = refused(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    assert!(matches!(validity, InvalidCertificate::Validity { .. }), "{validity}");
    let validity = refused(|params| params.not_before = rcgen::date_time_ymd(3000, 1, 1));
    assert!(matches!(validity, InvalidCertificate::Validity { .. }), "{validity}");

    let none = refused(|params| params.custom_extensions.clear());
    assert_eq!(none, InvalidCertificate::NoExtension);
    let twice = refused(|params| {
        params.custom_extensions = vec![params.custom_extensions[0].clone(); 2];
    });
    assert_eq!(twice, InvalidCertificate::ExtensionTwice);
    let unknown = refused(|params| {
        let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        extension.set_criticality(true);
        params.custom_extensions.push(extension);
    });
    assert_eq!(unknown, InvalidCertificate::UnknownCriticalExtension);
    let garbage = refused(|params| {
        params.custom_extensions =
            vec![CustomExtension::from_oid_content(&EXTENSION_OID, vec![0x30, 2, 4, 0])];
    });
    assert_eq!(garbage, InvalidCertificate::Extension);

    let mut longer = TlsIdentity::new(&identity(2)).unwrap().certificate.to_vec();
    longer.push(0);
    assert_eq!(check(&longer.into()), Err(InvalidCertificate::Malformed));
    let large = CertificateDer::from(vec![0x30; 9000]);
    assert_eq!(check(&large), Err(InvalidCertificate::TooLarge { got: 9000 }));
    assert_eq!(check(&CertificateDer::from(vec![1, 2])), Err(InvalidCertificate::Malformed));
}

#[test]
fn every_changed_byte_is_noticed() {
    let certificate = TlsIdentity::new(&identity(2)).unwrap().certificate;
    // The name of the algorithm beside the signature is repeated inside what is signed (RFC 5280 section 4.1.1.2); the
    // parser reads it whatever the tag of its identifier is.
    let algorithm = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let outer = certificate.windows(algorithm.len()).rposition(|window| window == algorithm);
    let lenient = outer.unwrap() + 2;
    for index in (0..certificate.len()).filter(|index| *index != lenient) {
        let mut bytes = certificate.to_vec();
        bytes[index] ^= 1;
        assert!(check(&bytes.into()).is_err(), "byte {index} may be changed");
    }
}

/// Node 1 on a real port.
struct Server {
    url: GrpcUrl,
    address: SocketAddr,
    counters: Arc<AcceptCounters>,
    node: Arc<Node>,
    _stop: oneshot::Sender<()>,
}

async fn server(tls: Option<TlsIdentity>, limits: AcceptLimits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let counters = Arc::new(AcceptCounters::default());
    let scheme = if tls.is_some() { "https" } else { "http" };
    let incoming = match tls {
        Some(tls) => Incoming::tls(listener, &tls, limits, Arc::clone(&counters)).unwrap(),
        None => Incoming::plain(listener, limits, Arc::clone(&counters)),
    };
    let node = Arc::new(Node::default());
    let (stop, stopped) = oneshot::channel::<()>();
    let handler = Arc::clone(&node);
    tokio::spawn(async move {
        let shutdown = async { drop(stopped.await) };
        serve(incoming, handler, ServerConfig::new(), shutdown).await
    });
    let url = format!("{scheme}://{address}").parse().unwrap();
    Server { url, address, counters, node, _stop: stop }
}

impl Server {
    /// Waits until the counts are as `expected`; they lag behind what a client sees.
    async fn until(&self, expected: AcceptCounts) {
        let reached = async {
            while self.counters.counts() != expected {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        if tokio::time::timeout(LIMIT, reached).await.is_err() {
            panic!("{:?} instead of {expected:?}", self.counters.counts());
        }
    }
}

async fn ask(server: &Server, connector: &TlsConnector) -> Result<(), CallError> {
    let client = Client::connect(connector, &server.url, &identity(9), LIMIT).await?;
    assert_eq!(client.peer(), Some(peer(1)));
    let request =
        OutboundRequest { scope: Scope::Local, max_peers: 0, trace: None, caller_record: None };
    client.list_peers(request, LIMIT).await.map(drop)
}

fn node_1() -> Option<TlsIdentity> {
    Some(TlsIdentity::new(&identity(1)).unwrap())
}

#[tokio::test]
async fn both_ends_know_each_other() {
    let server = server(node_1(), AcceptLimits::new()).await;
    let connector = TlsConnector::new(&TlsIdentity::new(&identity(2)).unwrap()).unwrap();
    assert_eq!(probe(&connector, &server.url).await.unwrap(), peer(1));
    ask(&server, &connector).await.unwrap();
    let (caller, ..) = server.node.calls.lock().unwrap().pop().unwrap();
    assert_eq!((caller.peer, caller.transport), (Some(peer(2)), Transport::Tls));
    server.until(AcceptCounts { accepted: 2, ..AcceptCounts::default() }).await;
}

/// Shows what it is told to, whosever key signs for it.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl Shows {
    fn new(certificates: &[&TlsIdentity], key: &TlsIdentity) -> Arc<Self> {
        let certificates = certificates.iter().map(|shown| shown.certificate.clone()).collect();
        let key = ring::sign::any_supported_type(&key.private_key()).unwrap();
        Arc::new(Self(Arc::new(CertifiedKey::new(certificates, key))))
    }
}

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[tokio::test]
async fn who_shows_a_certificate_without_its_key_or_a_chain_is_refused() {
    let server = server(node_1(), AcceptLimits::new()).await;
    let [two, three] = [2, 3].map(|n| TlsIdentity::new(&identity(n)).unwrap());
    let config = |shows: Arc<Shows>| {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(PeerVerifier::new(&provider, None));
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(shows);
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsConnector { tls: tls_with(config) }
    };
    ask(&server, &config(Shows::new(&[&two], &two))).await.unwrap();
    for shows in [Shows::new(&[&two], &three), Shows::new(&[&two, &three], &two)] {
        ask(&server, &config(shows)).await.unwrap_err();
    }
    assert_eq!(server.node.calls.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_server_that_shows_a_certificate_without_its_key_is_not_believed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: GrpcUrl = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
    let [one, two, three] = [1, 2, 3].map(|n| TlsIdentity::new(&identity(n)).unwrap());
    let shows =
        [Shows::new(&[&one], &one), Shows::new(&[&one], &three), Shows::new(&[&one, &three], &one)];
    tokio::spawn(async move {
        for shows in shows {
            let provider = Arc::new(ring::default_provider());
            let mut config = rustls::ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .with_no_client_auth()
                .with_cert_resolver(shows);
            config.alpn_protocols = vec![b"h2".to_vec()];
            let (tcp, _) = listener.accept().await.unwrap();
            let _ = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(tcp).await;
        }
    });
    let connector = TlsConnector::new(&two).unwrap();
    assert_eq!(probe(&connector, &url).await.unwrap(), peer(1));
    probe(&connector, &url).await.unwrap_err();
    let error = probe(&connector, &url).await.unwrap_err();
    let ConnectError::Certificate { source, .. } = error else { panic!("{error:?}") };
    assert_eq!(source, InvalidCertificate::Count { got: 2 });
}

#[test]
fn no_session_is_resumed_for_it_would_skip_the_proof_of_the_key() {
    let server = TlsIdentity::new(&identity(2)).unwrap().server_config().unwrap();
    assert_eq!(server.send_tls13_tickets, 0);
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let server = server(node_1(), AcceptLimits::new()).await;
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(PeerVerifier::new(&provider, None));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let error = ask(&server, &TlsConnector { tls: tls_with(config) }).await.unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    server.until(AcceptCounts { handshake_failed: 1, ..AcceptCounts::default() }).await;
}

#[tokio::test]
async fn a_client_with_a_forged_or_expired_certificate_is_refused() {
    let server = server(node_1(), AcceptLimits::new()).await;
    let forged = [
        forged(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1)),
        forged(|params| {
            let stolen = signed_key(&identity(2), &KeyPair::generate().unwrap());
            params.custom_extensions =
                vec![CustomExtension::from_oid_content(&EXTENSION_OID, stolen)];
        }),
    ];
    for identity in &forged {
        ask(&server, &TlsConnector::new(identity).unwrap()).await.unwrap_err();
    }
    assert!(server.node.calls.lock().unwrap().is_empty());
    let counts = AcceptCounts {
        handshake_failed: 2,
        certificate_expired: 1,
        certificate_invalid: 1,
        ..AcceptCounts::default()
    };
    server.until(counts).await;
}

#[tokio::test]
async fn a_server_with_an_expired_certificate_is_refused_by_name() {
    let expired = forged(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let server = server(Some(expired), AcceptLimits::new()).await;
    let connector = TlsConnector::new(&TlsIdentity::new(&identity(2)).unwrap()).unwrap();
    let error = probe(&connector, &server.url).await.unwrap_err();
    assert!(matches!(error, ConnectError::Certificate { .. }), "{error:?}");
    let why = crate::status::chain(&error);
    assert!(why.contains("certificate of") && why.contains("valid from"), "{why}");
}

#[tokio::test]
async fn connections_are_bounded_and_given_back() {
    let limits = AcceptLimits { max_connections_per_ip: 1, ..AcceptLimits::new() };
    let server = server(node_1(), limits).await;
    let connector = TlsConnector::new(&TlsIdentity::new(&identity(2)).unwrap()).unwrap();
    let first = Client::connect(&connector, &server.url, &identity(2), LIMIT).await.unwrap();
    // While it has a call it does not give way.
    let open = first.watch_peers(OutboundOpen::default(), stream::pending(), LIMIT);
    let batches = open.await.unwrap();
    probe(&connector, &server.url).await.unwrap_err();
    server.until(AcceptCounts { accepted: 1, ip_full: 1, ..AcceptCounts::default() }).await;
    drop((first, batches));
    let again = async { while ask(&server, &connector).await.is_err() {} };
    tokio::time::timeout(LIMIT, again).await.unwrap();
}

#[tokio::test]
async fn who_does_nothing_gives_way_to_a_neighbour() {
    let limits = AcceptLimits { max_connections_per_ip: 2, ..AcceptLimits::new() };
    let server = server(node_1(), limits).await;
    let connector = TlsConnector::new(&TlsIdentity::new(&identity(2)).unwrap()).unwrap();
    let me = identity(2);
    let connect = || Client::connect(&connector, &server.url, &me, LIMIT);
    let (idle, watching) = (connect().await.unwrap(), connect().await.unwrap());
    idle.topology(LIMIT).await.unwrap();
    let open = watching.watch_peers(OutboundOpen::default(), stream::pending(), LIMIT);
    let _batches = open.await.unwrap();
    let neighbour = async { while ask(&server, &connector).await.is_err() {} };
    tokio::time::timeout(2 * LIMIT, neighbour).await.unwrap();
    assert_eq!(server.counters.counts().gave_way, 1);
    assert!(!watching.is_closed());
}

#[tokio::test]
async fn the_newest_connection_gives_way_when_too_many_shake_hands() {
    let limits = AcceptLimits { max_handshakes: 1, ..AcceptLimits::new() };
    let server = server(node_1(), limits).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut newest = TcpStream::connect(server.address).await.unwrap();
    server.until(AcceptCounts { handshakes_full: 1, ..AcceptCounts::default() }).await;
    assert!(matches!(newest.read(&mut [0; 1]).await, Ok(0) | Err(_)));
    // The first one is still being listened to: it gets an alert for its garbage.
    silent.write_all(b"garbage, not TLS").await.unwrap();
    server
        .until(AcceptCounts { handshakes_full: 1, handshake_failed: 1, ..AcceptCounts::default() })
        .await;
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let limits =
        AcceptLimits { handshake_timeout: Duration::from_millis(50), ..AcceptLimits::new() };
    let tls = server(node_1(), limits).await;
    let mut silent = TcpStream::connect(tls.address).await.unwrap();
    assert!(matches!(silent.read(&mut [0; 1]).await, Ok(0) | Err(_)));
    tls.until(AcceptCounts { handshake_timed_out: 1, ..AcceptCounts::default() }).await;
}
