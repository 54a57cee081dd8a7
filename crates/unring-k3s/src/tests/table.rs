//! The contract of `/v1-k3s/p2p`: each row of K3s's behaviour, byte by byte.

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt as _;
use proptest::prelude::*;

use super::kit::{Book, Ca};
use super::{A, B};
use crate::{
    Access, Admission, CaBundle, CertifiedUser, JoinToken, K3sServer, Unavailable, limits,
};

/// What crosses the wire for one request: status line, headers, body.
fn wire(book: Book, request: http::request::Builder, user: Option<&CertifiedUser>) -> String {
    let tokens: [JoinToken; 2] =
        ["K10::node:secret", "abcdef.0123456789abcdef"].map(|text| text.parse().unwrap());
    let server = K3sServer::new(book, Access::new(&tokens).unwrap(), None);
    let (head, ()) = request.body(()).unwrap().into_parts();
    let response = server.respond(&head, [10, 0, 0, 9].into(), user, Duration::from_secs(1));
    let mut text = format!("{}\n", response.status().as_u16());
    for (name, value) in response.headers() {
        text += &format!("{name}: {}\n", value.to_str().unwrap());
    }
    let body = futures_now(response.into_body().collect()).unwrap().to_bytes();
    text + "\n" + str::from_utf8(&body).unwrap()
}

/// The output of a future that does not wait.
fn futures_now<F: Future>(future: F) -> F::Output {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

fn get(path: &str) -> http::request::Builder {
    Request::get(path)
}

fn admin() -> CertifiedUser {
    CertifiedUser { name: "system:node:server1".into(), groups: vec!["system:nodes".into()] }
}

#[test]
fn a_list_for_exactly_json() {
    let list = format!(
        "200\ncontent-type: application/json\ncache-control: no-cache, private\n\n[\"{A}\",\"{B}\"]"
    );
    for path in ["/v1-k3s/p2p", "/v1-rke2/p2p"] {
        let request = get(path).header("accept", "application/json");
        assert_eq!(wire(Book::of(&[A, B]), request, Some(&admin())), list);
    }
}

#[test]
fn the_first_as_text_for_everything_else() {
    let first = format!("200\ncontent-type: text/plain\ncache-control: no-cache, private\n\n{A}");
    let accepts = [None, Some("application/json, */*"), Some("application/JSON"), Some("*/*")];
    for accept in accepts {
        let request = accept.into_iter().fold(get("/v1-k3s/p2p"), |r, a| r.header("accept", a));
        assert_eq!(wire(Book::of(&[A, B]), request, Some(&admin())), first, "{accept:?}");
    }
    // As in K3s, the method is not looked at.
    let post = Request::post("/v1-k3s/p2p");
    assert_eq!(wire(Book::of(&[A, B]), post, Some(&admin())), first);
}

#[test]
fn who_is_let_in() {
    let basic = |pair: &str| {
        use base64::Engine as _;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    };
    let cases = [
        (basic("node:secret"), 200),
        (basic("node:secret2"), 401),
        (basic("server:secret"), 401),
        (basic("node:"), 401),
        (basic("nodesecret"), 401),
        ("Basic !".to_owned(), 401),
        ("bearer abcdef.0123456789abcdef".to_owned(), 200),
        ("Bearer abcdef.0123456789abcdee".to_owned(), 401),
        ("Bearer secret".to_owned(), 401),
        (basic("node:abcdef.0123456789abcdef"), 401),
        ("Digest abcdef.0123456789abcdef".to_owned(), 401),
        (String::new(), 401),
    ];
    for (authorization, status) in cases {
        let request = get("/v1-k3s/p2p").header("authorization", &authorization);
        let wire = wire(Book::of(&[A]), request, None);
        assert!(wire.starts_with(&status.to_string()), "{authorization}: {wire}");
    }
}

#[test]
fn a_stranger_gets_a_status_of_kubernetes() {
    let want = "401\ncontent-type: application/json\ncache-control: no-cache, private\n\n\
        {\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\
        \"message\":\"Unauthorized\",\"reason\":\"Unauthorized\",\"code\":401}\n";
    assert_eq!(wire(Book::of(&[A]), get("/v1-k3s/p2p"), None), want);
}

#[test]
fn who_is_known_and_not_let_in_is_told_so() {
    let book = Book { admission: Admission::Forbidden, ..Book::of(&[A]) };
    let user = CertifiedUser { name: "a<b>".into(), groups: vec![] };
    let want = "403\ncontent-type: application/json\ncache-control: no-cache, private\n\
        x-content-type-options: nosniff\n\n\
        {\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\
        \"message\":\"forbidden: User \\\"a&lt;b&gt;\\\" cannot get path \\\"/v1-k3s/p2p\\\"\",\
        \"reason\":\"Forbidden\",\"details\":{},\"code\":403}\n";
    assert_eq!(wire(book, get("/v1-k3s/p2p"), Some(&user)), want);
}

#[test]
fn too_many_are_told_when_to_come_back() {
    for (delay, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (60_000, 60)] {
        let book = Book::later(Duration::from_millis(delay));
        let want = format!(
            "429\ncontent-type: text/plain; charset=utf-8\ncache-control: no-cache, private\n\
            x-content-type-options: nosniff\nretry-after: {seconds}\n\n\
            Too many requests, please try again later.\n"
        );
        assert_eq!(wire(book, get("/v1-k3s/p2p"), Some(&admin())), want);
    }
}

#[test]
fn an_empty_book_and_one_that_cannot_be_read() {
    let error = |status, body: &str| {
        format!(
            "{status}\ncontent-type: text/plain; charset=utf-8\ncache-control: no-cache, private\n\
            x-content-type-options: nosniff\n\n{body}\n"
        )
    };
    let ask = |addresses| {
        let book = Book { addresses, ..Book::of(&[]) };
        wire(book, get("/v1-k3s/p2p"), Some(&admin()))
    };
    assert_eq!(ask(Ok(Vec::new())), error(503, "no peer addresses available"));
    let failed = Unavailable::Failed("runtime core not ready\nclient not ready".into());
    assert_eq!(ask(Err(failed)), error(500, "runtime core not ready\nclient not ready"));
    let starting = "503\ncontent-type: application/json\ncache-control: no-cache, private\n\n\
        {\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\
        \"message\":\"starting\",\"reason\":\"ServiceUnavailable\",\"code\":503}\n";
    assert_eq!(ask(Err(Unavailable::Starting)), starting);
}

#[test]
fn other_paths_are_not_found() {
    for path in ["/", "/v1-k3s/p2p/", "/v1-k3s/p2p2", "/v1-K3s/p2p", "/v2/", "/cacerts"] {
        let wire = wire(Book::of(&[A]), get(path), Some(&admin()));
        assert!(wire.starts_with("404\n") && wire.ends_with("\n\n404 page not found\n"), "{path}");
    }
}

#[test]
fn the_ca_is_for_everybody() {
    let ca = Ca::root("k3s-server-ca@1");
    let bundle = CaBundle::from_pem(ca.pem.as_bytes()).unwrap();
    let server = K3sServer::new(Book::of(&[]), Access::default(), Some(&bundle));
    let (head, ()) = get("/cacerts").body(()).unwrap().into_parts();
    let response = server.respond(&head, [10, 0, 0, 9].into(), None, Duration::ZERO);
    assert_eq!(response.headers()["content-type"], "text/plain");
    let body = futures_now(response.into_body().collect()).unwrap().to_bytes();
    assert_eq!(body, ca.pem.as_bytes());
}

#[test]
fn an_answer_is_bounded_whatever_the_book_says() {
    let address: crate::K3sAddress = A.parse().unwrap();
    let addresses = Ok(vec![address; limits::MAX_SERVED_ADDRESSES + 1]);
    let request = get("/v1-k3s/p2p").header("accept", "application/json");
    let wire = wire(Book { addresses, ..Book::of(&[]) }, request, Some(&admin()));
    assert_eq!(wire.matches(A).count(), limits::MAX_SERVED_ADDRESSES);
}

proptest! {
    #[test]
    fn no_header_lets_a_stranger_in_or_makes_it_panic(header in proptest::collection::vec(32_u8..=255, 0..200)) {
        if let Ok(value) = http::HeaderValue::from_bytes(&header) {
            let request = get("/v1-k3s/p2p").header("authorization", value.clone()).header("accept", value);
            prop_assert!(wire(Book::of(&[A]), request, None).starts_with("401"));
        }
    }
}
