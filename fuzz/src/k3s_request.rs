//! What somebody asks of our K3s path.

use std::net::{IpAddr, Ipv4Addr};

use unring_k3s::{
    Access, Admission, Caller, JoinToken, K3sAddress, Peers, Reply, Request, Standing, Unavailable,
    respond,
};

/// The token that lets in, and how clients write it.
const TOKEN: &str = "K10node:secret";
const HEADER: &[u8] = b"Basic bm9kZTpzZWNyZXQ=";

/// The bytes as method, path, `Accept` and `Authorization`, one a line: addresses are for who has the token.
pub fn check(data: &[u8]) {
    let mut lines = data.splitn(4, |byte| *byte == b'\n');
    let mut line = || lines.next();
    let (method, path) = (line().unwrap_or_default(), line().unwrap_or_default());
    let (Ok(method), Ok(path)) = (str::from_utf8(method), str::from_utf8(path)) else { return };
    let (accept, authorization) = (line(), line());
    let token: JoinToken = TOKEN.parse().expect("it is a token");
    let access = Access::new([&token]).expect("one is not too many");
    let standing = access.standing(authorization, None);
    let caller = Caller { address: IpAddr::V4(Ipv4Addr::LOCALHOST), standing: &standing };
    let reply = respond(&Request { method, path, accept, authorization }, &caller, &Two, None);
    match &reply {
        Reply::List(_) | Reply::First(_) => {
            assert!(matches!(standing, Standing::Token { .. }), "addresses for {standing:?}");
            assert!(has_token(authorization.unwrap_or_default()), "another token lets in");
            assert!(["/v1-k3s/p2p", "/v1-rke2/p2p"].contains(&path));
            let wants_list = accept == Some(b"application/json".as_slice());
            assert_eq!(matches!(reply, Reply::List(_)), wants_list);
        }
        Reply::Unauthorized => assert_eq!(standing, Standing::Unknown),
        Reply::NotFound => {}
        other => panic!("{other:?} for {path:?}"),
    }
    let status = reply.status();
    assert_eq!(reply.into_response().status(), status);
}

/// The scheme in any case, and white space around the rest.
fn has_token(header: &[u8]) -> bool {
    let (scheme, rest) = header.split_at(header.len().min(5));
    let wanted = &HEADER[6..];
    scheme.eq_ignore_ascii_case(b"basic") && rest.trim_ascii() == wanted
}

/// A book of two nodes.
struct Two;

impl Peers for Two {
    fn admit(&self, _: &Caller<'_>) -> Admission {
        Admission::Granted
    }

    fn addresses(&self, _: &Caller<'_>, _: usize) -> Result<Vec<K3sAddress>, Unavailable> {
        let id = "12D3KooWGjMC5aiMXHwjJJcBZEWDyPXBXRWZBjcBvUiPdC1A4mQY";
        let address = |port| format!("/ip4/10.0.0.1/tcp/{port}/p2p/{id}").parse();
        [5001, 5002]
            .into_iter()
            .map(address)
            .collect::<Result<_, _>>()
            .map_err(|_| Unavailable::Starting)
    }
}
