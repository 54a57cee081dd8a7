//! `/v1-k3s/p2p` as it looks to other programs.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use naive_node::{Config, Counters, GIVE_UP_AFTER, Limits, Node, TlsFiles};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const ADDRESS: &str =
    "/ip4/127.0.0.1/tcp/5001/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5";

struct Started {
    at: SocketAddr,
    admin: SocketAddr,
    counters: Box<dyn Fn() -> Counters>,
    ca: std::path::PathBuf,
    _dir: tempfile::TempDir,
}

/// A lone node that lets in who knows `node:secret`.
async fn start(servers: Vec<SocketAddr>) -> Started {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        name: "a".into(),
        listen: ([127, 0, 0, 1], 0).into(),
        admin: ([127, 0, 0, 1], 0).into(),
        address: ADDRESS.parse().unwrap(),
        servers,
        nodes: None,
        tls: TlsFiles::make(dir.path()).unwrap(),
        token: Some("node:secret".into()),
        cap: None,
        limits: Limits { max_in_flight: 1, max_messages: 1 },
        give_up_after: GIVE_UP_AFTER,
        bootstrap: true,
        quiet: true,
    };
    let node = Node::bind(config).await.unwrap();
    let (at, admin, counters) = (node.listen, node.admin, Box::new(node.counters()));
    tokio::spawn(node.run());
    Started { at, admin, counters, ca: dir.path().join("ca.pem"), _dir: dir }
}

/// The head and the body of the answer to a request with these headers, from a client without a certificate.
async fn get(node: &Started, path: &str, headers: &str) -> (String, String) {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&node.ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(node.at).await.unwrap();
    let name = ServerName::IpAddress(node.at.ip().into());
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), body.to_owned())
}

/// `node:secret`, as RFC 7617 has it.
const BASIC: &str = "Authorization: Basic bm9kZTpzZWNyZXQ=\r\n";

#[tokio::test]
async fn a_list_for_json_and_the_first_address_for_everything_else() {
    let node = start(Vec::new()).await;
    let json = format!("{BASIC}Accept: application/json\r\n");
    let (head, body) = get(&node, "/v1-k3s/p2p", &json).await;
    assert!(head.starts_with("http/1.1 200") && head.contains("content-type: application/json"));
    assert_eq!(body, format!("[\"{ADDRESS}\"]"));
    for headers in [BASIC.to_owned(), format!("{BASIC}Accept: application/json, */*\r\n")] {
        let (head, body) = get(&node, "/v1-k3s/p2p", &headers).await;
        assert!(head.starts_with("http/1.1 200") && head.contains("content-type: text/plain"));
        assert_eq!(body, ADDRESS);
    }
    assert_eq!((node.counters)().received, 3);
}

#[tokio::test]
async fn a_stranger_gets_the_ca_and_nothing_else() {
    let node = start(Vec::new()).await;
    for headers in ["", "Authorization: Bearer node:secret\r\n", "Authorization: Basic eA==\r\n"] {
        let (head, _) = get(&node, "/v1-k3s/p2p", headers).await;
        assert!(head.starts_with("http/1.1 401"), "{headers}: {head}");
    }
    assert_eq!((node.counters)().received, 0);
    let (_, ca) = get(&node, "/cacerts", "").await;
    assert_eq!(ca, std::fs::read_to_string(&node.ca).unwrap());
    assert!(get(&node, "/v2/", BASIC).await.0.starts_with("http/1.1 404"));
}

#[tokio::test]
async fn it_bootstraps_once_and_tells_of_it() {
    let server = start(Vec::new()).await;
    let node = start(vec![server.at]).await;
    // The other CA is not trusted, so the call fails; it was sent all the same.
    while (node.counters)().failed == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut stream = TcpStream::connect(node.admin).await.unwrap();
    stream.write_all(b"GET /statusz HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains(r#""sent":1,"in_flight":0,"peak_in_flight":1"#), "{answer}");
}
