use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::limits::{MAX_DETAIL_BYTES, MAX_ID_BYTES};
use crate::test_util::{DnsServer, Record};
use crate::{Dns, HttpError, HttpSource, HttpUrl, IdForm, Tls, TlsError};

const PATIENCE: Duration = Duration::from_secs(30);

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, response: &[u8]) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => break,
        }
    }
    // Whoever refuses the answer hangs up before its end.
    let _ = stream.write_all(response).await;
    let _ = stream.shutdown().await;
    String::from_utf8_lossy(&request).into_owned()
}

/// Answers one request so; its text.
async fn serve(response: Vec<u8>) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        answer(tcp, &response).await
    });
    (address, served)
}

fn source(url: &str, tls: Option<Tls>) -> HttpSource {
    HttpSource { url: url.parse().unwrap(), tls, dns: Dns::new(None), port: 5872 }
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

async fn ask(response: Vec<u8>) -> Result<crate::IdAnswer, HttpError> {
    let (address, _served) = serve(response).await;
    timeout(PATIENCE, source(&format!("http://{address}/id"), None).ask()).await.unwrap()
}

#[tokio::test]
async fn the_url_is_asked_as_it_is() {
    let (address, served) = serve(ok("/ip4/10.0.0.1/tcp/5001")).await;
    let url = format!("http://localhost:{}/some/id?x=1", address.port());
    let answer = timeout(PATIENCE, source(&url, None).ask()).await.unwrap().unwrap();
    assert_eq!((answer.form, answer.candidates.len()), (IdForm::Text, 1));
    let request = served.await.unwrap();
    assert!(request.starts_with("GET /some/id?x=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: localhost:{}\r\n", address.port())), "{request}");
    assert!(request.contains("\r\nconnection: close\r\n"), "{request}");
}

#[tokio::test]
async fn of_several_addresses_the_first_that_listens_is_asked() {
    // Addresses are tried in order, and nobody listens at the first one.
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        answer(tcp, &ok("/ip4/10.0.0.1/tcp/5001")).await
    });
    let names = DnsServer::start().unwrap();
    names.set("peers.test", [1, 2].map(|last| Record::A([127, 0, 0, last].into())).into());
    let url = format!("http://peers.test:{port}/id").parse().unwrap();
    let dns = Dns::new(Some(names.address()));
    let asked = HttpSource { url, tls: None, dns, port: 1 };
    let answer = timeout(PATIENCE, asked.ask()).await.unwrap().unwrap();
    assert_eq!(answer.candidates.len(), 1);
}

#[tokio::test]
async fn what_goes_wrong_is_typed() {
    let error = ask(b"HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 3\r\n\r\nno\n".into());
    let error = error.await.unwrap_err();
    assert_eq!(error.to_string(), "302 Found: \"no\"");
    let page = format!("\u{1b}[2J{}", "x".repeat(2 * MAX_DETAIL_BYTES));
    let head = format!("HTTP/1.1 500 a\r\ncontent-length: {}\r\n\r\n", page.len());
    let error = ask([head, page].concat().into()).await.unwrap_err();
    let HttpError::Status { detail, .. } = error else { panic!("{error:?}") };
    assert_eq!(detail, format!(" [2J{}", "x".repeat(MAX_DETAIL_BYTES - 4)));
    assert!(matches!(ask(ok("<html>")).await, Err(HttpError::Answer(_))));
    assert!(matches!(ask(b"garbage\r\n\r\n".into()).await, Err(HttpError::Http(_))));
    assert!(matches!(ask(Vec::new()).await, Err(HttpError::Http(_))));
    let long = ok(&" ".repeat(MAX_ID_BYTES + 1));
    assert!(matches!(ask(long).await, Err(HttpError::Body(_))));
    let endless = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b' '; 4 * MAX_ID_BYTES]].concat();
    assert!(matches!(ask(endless).await, Err(HttpError::Body(_))));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = source(&format!("http://{free}/id"), None).ask().await;
    assert!(matches!(error, Err(HttpError::Connect(_))), "{error:?}");
    let error = source(&format!("https://{free}/id"), None).ask().await;
    assert!(matches!(error, Err(HttpError::Connect(_))), "{error:?}");
}

#[test]
fn only_whole_urls_without_credentials_are_read() {
    let good = |text: &str| {
        let url: HttpUrl = text.parse().unwrap();
        assert_eq!(url.to_string(), text);
        (url.is_tls(), format!("{url:?}"))
    };
    assert!(!good("http://server1/id").0);
    assert!(good("https://10.0.0.1:5000/id").0);
    assert!(good("http://[fd00::1]:80/").1.contains("\"fd00::1\""));
    for text in [
        "",
        "server1:5000/id",
        "/id",
        "ftp://a/id",
        "http://",
        "http:///id",
        "http://:80/id",
        "http://user:secret@a/id",
        "http://user:secret@a:80/id",
        "http://a:/id",
        "http://a:99999/id",
        "http://a:x/id",
    ] {
        assert!(text.parse::<HttpUrl>().is_err(), "{text}");
    }
}

struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Certificate and key.
    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A server that wants a client certificate of `clients`; how many times it answered.
async fn serve_tls(own: &Ca, clients: &Ca) -> SocketAddr {
    let (certificate, key) = own.issue();
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(clients.pem.as_bytes()).unwrap()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    let (acceptor, listener) =
        (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            if let Ok(tls) = acceptor.accept(tcp).await {
                answer(tls, &ok("/ip4/10.0.0.1/tcp/5001")).await;
            }
        }
    });
    address
}

#[tokio::test]
async fn mutual_tls_needs_both_cas() {
    let (ours, theirs) = (Ca::new(), Ca::new());
    let address = serve_tls(&theirs, &ours).await;
    let url = format!("https://{address}/id");
    let ask = async |ca: &Ca, client: Option<(String, String)>| {
        let client = client.as_ref().map(|(own, key)| (own.as_bytes(), key.as_bytes()));
        let tls = Tls::from_pem(ca.pem.as_bytes(), client).unwrap();
        timeout(PATIENCE, source(&url, Some(tls)).ask()).await.unwrap()
    };
    let answer = ask(&theirs, Some(ours.issue())).await.unwrap();
    assert_eq!(answer.candidates.len(), 1);
    let other_ca = ask(&ours, Some(ours.issue())).await;
    assert!(matches!(other_ca, Err(HttpError::Tls(_))), "{other_ca:?}");
    // With TLS 1.3 a client hears of its refusal only when it reads.
    ask(&theirs, None).await.unwrap_err();
    ask(&theirs, Some(theirs.issue())).await.unwrap_err();
    assert!(matches!(source(&url, None).ask().await, Err(HttpError::NoTls)));
}

#[test]
fn pem_that_lacks_something_is_refused() {
    let ca = Ca::new();
    let (own, key) = ca.issue();
    let read = |ca: &str, own: &str, key: &str| {
        Tls::from_pem(ca.as_bytes(), Some((own.as_bytes(), key.as_bytes())))
    };
    read(&ca.pem, &own, &key).unwrap();
    assert!(matches!(read("", &own, &key), Err(TlsError::Ca(_))));
    assert!(matches!(read(&ca.pem, "", &key), Err(TlsError::Certificate(_))));
    assert!(matches!(read(&ca.pem, &own, "x"), Err(TlsError::Key(_))));
    let (_, other) = ca.issue();
    assert!(matches!(read(&ca.pem, &own, &other), Err(TlsError::Refused(_))));
    assert_eq!(format!("{:?}", read(&ca.pem, &own, &key).unwrap()), "Tls");
}
