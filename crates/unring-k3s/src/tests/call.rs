//! Client and server over TLS on loopback.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::kit::{Book, Ca};
use super::{A, B};
use crate::{
    Access, AnswerForm, CALL_TIMEOUT, CaBundle, CallError, ClientConfig, ConnectError,
    Distribution, FetchError, InvalidAnswer, JoinToken, K3sClient, K3sServer, KeyPair, Open,
    ServerTls, ServerUrl, Trust, limits, serve,
};

struct Started {
    ca: Ca,
    bundle: CaBundle,
    url: ServerUrl,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Started {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn start(book: Book) -> Started {
    let ca = Ca::root("k3s-server-ca@1");
    let own = ca.key_pair("k3s", &[]);
    start_with(book, ca, &own).await
}

async fn start_with(book: Book, ca: Ca, own: &KeyPair) -> Started {
    let bundle = CaBundle::from_pem(ca.pem.as_bytes()).unwrap();
    let token: JoinToken = "K10::node:secret".parse().unwrap();
    let server = K3sServer::new(book, Access::new([&token]).unwrap(), Some(&bundle));
    let tls = ServerTls::new(own, Some(&bundle)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
    let task = tokio::spawn(serve(listener, move || tls.clone(), Arc::new(server), Open));
    Started { ca, bundle, url, task }
}

impl Started {
    fn token(&self, credentials: &str) -> JoinToken {
        format!("K10{}::{credentials}", self.bundle.hash()).parse().unwrap()
    }

    fn config(&self, credentials: &str) -> ClientConfig {
        ClientConfig {
            server: self.url.clone(),
            distribution: Distribution::K3s,
            token: self.token(credentials),
            key_pair: None,
            trust: Trust::Token,
        }
    }
}

/// All that an error says, its causes included.
fn chain(error: &dyn Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

#[tokio::test]
async fn a_token_leads_to_the_addresses() {
    let node = start(Book::of(&[A, B])).await;
    for distribution in [Distribution::K3s, Distribution::Rke2] {
        let config = ClientConfig { distribution, ..node.config("node:secret") };
        let client = K3sClient::connect(config).await.unwrap();
        assert_eq!(client.ca_hash(), node.bundle.hash());
        let fetched = client.peers().await.unwrap();
        let texts: Vec<_> = fetched.peers.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(
            (fetched.peers.form, &texts[..]),
            (AnswerForm::List, &[A, B].map(str::to_owned)[..])
        );
        assert_eq!(fetched.remote.to_string(), "127.0.0.1");
    }
}

#[tokio::test]
async fn a_client_certificate_is_enough() {
    let node = start(Book::of(&[A])).await;
    let key_pair = Some(node.ca.key_pair("system:node:a", &["system:nodes"]));
    let config = ClientConfig { key_pair, ..node.config(":no-user") };
    let fetched = K3sClient::connect(config).await.unwrap().peers().await.unwrap();
    assert_eq!(fetched.peers.addresses.len(), 1);
    // One of another CA is none: the connection ends.
    let key_pair = Some(Ca::root("other").key_pair("system:node:a", &[]));
    let config = ClientConfig { key_pair, ..node.config("node:secret") };
    let error = K3sClient::connect(config).await.unwrap().peers().await.unwrap_err();
    let is_tls =
        matches!(error, FetchError::Call { source: CallError::Tls(_) | CallError::Http(_), .. });
    assert!(is_tls, "{error:?}");
}

#[tokio::test]
async fn a_wrong_password_is_a_status_and_no_error_shows_it() {
    let node = start(Book::of(&[A])).await;
    let client = K3sClient::connect(node.config("node:hunter2")).await.unwrap();
    let error = client.peers().await.unwrap_err();
    let FetchError::Call { source: CallError::Status { status, .. }, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(status.as_u16(), 401);
    let shown = chain(&error) + &format!("{client:?}");
    assert!(shown.contains("Unauthorized") && !shown.contains("hunter2"), "{shown}");
    assert!(!shown.contains("bm9kZTpodW50ZXIy"), "nor in base64: {shown}");
}

#[tokio::test]
async fn a_refusal_says_when_to_come_back() {
    let node = start(Book::later(Duration::from_secs(7))).await;
    let client = K3sClient::connect(node.config("node:secret")).await.unwrap();
    let error = client.peers().await.unwrap_err();
    let FetchError::Call { source: CallError::Status { status, retry_after, .. }, .. } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!((status.as_u16(), retry_after), (429, Some(Duration::from_secs(7))));
    // Nobody is kept away for ever by one answer.
    let node = start(Book::later(Duration::from_secs(u64::MAX))).await;
    let client = K3sClient::connect(node.config("node:secret")).await.unwrap();
    let error = client.peers().await.unwrap_err();
    let FetchError::Call { source: CallError::Status { retry_after, .. }, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(retry_after, Some(limits::MAX_RETRY_AFTER));
}

#[tokio::test]
async fn a_ca_that_the_token_does_not_name_gets_no_credentials() {
    let node = start(Book::of(&[A])).await;
    let other = Ca::root("k3s-server-ca@1");
    let hash = CaBundle::from_pem(other.pem.as_bytes()).unwrap().hash();
    let token = format!("K10{hash}::node:secret").parse().unwrap();
    let config = ClientConfig { token, ..node.config("node:secret") };
    let error = K3sClient::connect(config.clone()).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Wrong { .. }), "{error:?}");
    assert!(!chain(&error).contains("secret"), "{error:?}");
    // Nor does it help to believe whoever comes first, or a file.
    for trust in [Trust::FirstUse, Trust::Bundle(node.bundle.clone())] {
        let error = K3sClient::connect(ClientConfig { trust, ..config.clone() }).await.unwrap_err();
        assert!(matches!(&error, ConnectError::Wrong { .. }), "{error:?}");
    }
    // The right token, and another CA in the file.
    let trust = Trust::Bundle(CaBundle::from_pem(other.pem.as_bytes()).unwrap());
    let token = "K10::node:secret".parse().unwrap();
    let error = K3sClient::connect(ClientConfig { trust, token, ..config }).await.unwrap_err();
    assert!(matches!(&error, ConnectError::NotSigned { .. }), "{error:?}");
}

#[tokio::test]
async fn without_a_hash_one_has_to_say_so() {
    let node = start(Book::of(&[A])).await;
    let token: JoinToken = "K10::node:secret".parse().unwrap();
    let config = ClientConfig { token, ..node.config("node:secret") };
    let error = K3sClient::connect(config.clone()).await.unwrap_err();
    assert!(matches!(error, ConnectError::NoHash { .. }), "{error:?}");
    for trust in [Trust::FirstUse, Trust::Bundle(node.bundle.clone())] {
        let client = K3sClient::connect(ClientConfig { trust, ..config.clone() }).await.unwrap();
        assert!(client.peers().await.is_ok());
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_or_time_is_refused() {
    for change in [
        |params: &mut rcgen::CertificateParams| {
            params.subject_alt_names =
                vec![rcgen::SanType::DnsName("elsewhere".try_into().unwrap())];
        },
        |params: &mut rcgen::CertificateParams| params.not_after = rcgen::date_time_ymd(2020, 1, 1),
    ] {
        let ca = Ca::root("ca");
        let (certificate, key) = ca.signs("k3s", &[], change);
        let own = KeyPair::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        let node = start_with(Book::of(&[A]), ca, &own).await;
        let error = K3sClient::connect(node.config("node:secret")).await.unwrap_err();
        assert!(matches!(error, ConnectError::NotSigned { .. }), "{error:?}");
    }
}

/// A server that answers every connection with these bytes and then says no more.
async fn canned(answer: Vec<u8>) -> Started {
    let ca = Ca::root("ca");
    let pem = ca.pem.clone();
    recorded(ca, pem, answer).await.0
}

/// The same with this for its CA, and the head of each request.
async fn recorded(ca: Ca, pem: String, answer: Vec<u8>) -> (Started, Arc<Mutex<Vec<String>>>) {
    let bundle = CaBundle::from_pem(ca.pem.as_bytes()).unwrap();
    let tls = ServerTls::new(&ca.key_pair("k3s", &[]), None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let kept = Arc::clone(&heads);
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = TlsAcceptor::from(tls.0.clone()).accept(stream).await else {
                continue;
            };
            let mut head = [0; 4096];
            let read = stream.read(&mut head).await.unwrap();
            let ca = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{pem}", pem.len());
            let is_ca = head[..read].starts_with(b"GET /cacerts");
            kept.lock().unwrap().push(String::from_utf8_lossy(&head[..read]).into_owned());
            let _ = stream.write_all(if is_ca { ca.as_bytes() } else { &answer }).await;
            // Keeps the connection until the client ends it.
            while stream.read(&mut head).await.is_ok_and(|read| read > 0) {}
        }
    });
    (Started { ca, bundle, url, task }, heads)
}

#[tokio::test]
async fn a_server_is_asked_for_its_ca_without_credentials_and_then_as_k3s_asks() {
    let ca = Ca::root("ca");
    let (pem, empty) = (ca.pem.clone(), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]");
    let (node, heads) = recorded(ca, pem, empty.into()).await;
    let client = K3sClient::connect(node.config("node:secret")).await.unwrap();
    client.peers().await.unwrap();
    let authority = node.url.to_string().replace("https://", "");
    let ask = |path: &str, more: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nhost: {authority}\r\naccept: application/json\r\n\
            connection: close\r\n{more}\r\n"
        )
    };
    let (ca, mut want) = (ask("/cacerts", ""), Vec::new());
    let basic = "authorization: Basic bm9kZTpzZWNyZXQ=\r\n";
    want.extend([ca.clone(), ca.clone(), ask("/v1-k3s/p2p", basic)]);
    assert_eq!(*heads.lock().unwrap(), want);
    // Of a server that is not the one of the token nothing else is asked.
    let token = format!("K10{}::node:secret", "0".repeat(64)).parse().unwrap();
    let config = ClientConfig { token, ..node.config("node:secret") };
    K3sClient::connect(config).await.unwrap_err();
    want.push(ca);
    assert_eq!(*heads.lock().unwrap(), want);
}

#[tokio::test]
async fn a_ca_is_bounded_before_it_is_known() {
    let ca = Ca::root("ca");
    let long = ca.pem.clone() + &"#".repeat(limits::MAX_CA_BYTES);
    let (node, _) = recorded(ca, long, Vec::new()).await;
    let error = K3sClient::connect(node.config("node:secret")).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Fetch { source: CallError::Body { .. }, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_ca_that_changed_later_gets_no_credentials_either() {
    let (ca, stranger) = (Ca::root("ca"), Ca::root("ca"));
    let bundle = CaBundle::from_pem(ca.pem.as_bytes()).unwrap();
    let [right, wrong] =
        [&ca, &stranger].map(|ca| ServerTls::new(&ca.key_pair("k3s", &[]), None).unwrap());
    let server = K3sServer::new(Book::of(&[A]), Access::default(), Some(&bundle));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
    let changed = Arc::new(AtomicBool::new(false));
    let is_changed = Arc::clone(&changed);
    let tls =
        move || if is_changed.load(Ordering::Relaxed) { wrong.clone() } else { right.clone() };
    let task = tokio::spawn(serve(listener, tls, Arc::new(server), Open));
    let node = Started { ca, bundle, url, task };
    let client = K3sClient::connect(node.config("node:secret")).await.unwrap();
    let error = client.peers().await.unwrap_err();
    assert!(
        matches!(error, FetchError::Call { source: CallError::Status { .. }, .. }),
        "{error:?}"
    );
    changed.store(true, Ordering::Relaxed);
    let error = client.peers().await.unwrap_err();
    assert!(matches!(error, FetchError::Call { source: CallError::Tls(_), .. }), "{error:?}");
}

async fn error_of(answer: impl Into<Vec<u8>>) -> FetchError {
    let node = canned(answer.into()).await;
    let client = K3sClient::connect(node.config("node:secret")).await.unwrap();
    client.peers().await.unwrap_err()
}

#[tokio::test]
async fn what_is_no_answer_has_its_reason() {
    let page = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>";
    let error = error_of(page).await;
    assert!(
        matches!(error, FetchError::Answer { source: InvalidAnswer::Neither, .. }),
        "{error:?}"
    );
    let error = error_of("no HTTP at all\r\n\r\n").await;
    assert!(matches!(error, FetchError::Call { source: CallError::Http(_), .. }), "{error:?}");
    let elsewhere =
        "HTTP/1.1 302 Found\r\nlocation: https://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    let error = error_of(elsewhere).await;
    let is_302 = matches!(&error, FetchError::Call { source: CallError::Status { status, .. }, .. } if status.as_u16() == 302);
    assert!(is_302, "{error:?}");
    let page = "x\u{1b}[2J".repeat(1000);
    let error =
        error_of(format!("HTTP/1.1 500 a\r\ncontent-length: {}\r\n\r\n{page}", page.len())).await;
    let FetchError::Call { source: CallError::Status { detail, .. }, .. } = error else { panic!() };
    assert!(detail.len() <= limits::MAX_DETAIL_BYTES && !detail.contains('\u{1b}'), "{detail:?}");
}

#[tokio::test]
async fn a_body_is_bounded_announced_or_not() {
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n[".to_vec();
    endless.resize(limits::MAX_ANSWER_BYTES + 100, b' ');
    let mut announced = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_vec();
    announced.resize(limits::MAX_ANSWER_BYTES + 100, b' ');
    for answer in [endless, announced] {
        let error = error_of(answer).await;
        assert!(
            matches!(error, FetchError::Call { source: CallError::Body { .. }, .. }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn who_does_not_answer_is_given_up_in_time() {
    let node = canned(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n[".to_vec()).await;
    let client = K3sClient::connect(node.config("node:secret")).await.unwrap();
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let error = client.peers().await.unwrap_err();
    assert!(matches!(error, FetchError::Call { source: CallError::TimedOut, .. }), "{error:?}");
    assert_eq!(began.elapsed().as_secs(), CALL_TIMEOUT.as_secs());
}

#[tokio::test]
async fn nobody_there_is_an_error_with_its_cause() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: ServerUrl = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let config = ClientConfig {
        server: url.clone(),
        distribution: Distribution::K3s,
        token: format!("K10{}::node:x", "0".repeat(64)).parse().unwrap(),
        key_pair: None,
        trust: Trust::Token,
    };
    let error = K3sClient::connect(config).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Fetch { source: CallError::Connect(_), .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains(&url.to_string()));
}
