use proptest::prelude::*;
use unring_peer::Identity;

use crate::Candidate;

#[test]
fn an_address_has_a_peer_or_none_and_a_port_or_the_usual_one() {
    let (one, two) = (Identity::generate().peer_id(), Identity::generate().peer_id());
    let check = |text: &str, given, port, expected: Result<&str, &str>| {
        let got = Candidate::parse(text, given, port);
        let got = got.map(|got| got.to_string()).map_err(|error| error.to_string());
        assert_eq!(got, expected.map(str::to_owned).map_err(str::to_owned), "{text}");
    };
    let named = format!("/ip4/10.0.0.1/tcp/5001/p2p/{one}");
    let form = "not of the form /ip4|ip6/ADDRESS/tcp/PORT with or without /p2p/ID";
    check("/ip4/10.0.0.1/tcp/5001", None, None, Ok("/ip4/10.0.0.1/tcp/5001"));
    check("/ip6/fd00::1/tcp/5001", None, Some(7), Ok("/ip6/fd00::1/tcp/5001"));
    check(&named, None, None, Ok(&named));
    check("/ip4/10.0.0.1/tcp/5001", Some(one), None, Ok(&named));
    check(&named, Some(one), None, Ok(&named));
    check("/ip4/10.0.0.1", None, Some(7), Ok("/ip4/10.0.0.1/tcp/7"));
    check(
        &format!("/ip4/10.0.0.1/p2p/{one}"),
        None,
        Some(7),
        Ok(&format!("/ip4/10.0.0.1/tcp/7/p2p/{one}")),
    );
    check("/ip4/10.0.0.1", None, None, Err(form));
    check("/dns4/server1", None, Some(7), Err(form));
    check("/ip4/10.0.0.1/udp/5001/quic-v1", None, Some(7), Err(form));
    check("/ip4/10.0.0.1/tcp/0", None, None, Err(form));
    check("/ip4/0.0.0.0/tcp/1", None, None, Err(form));
    check(&format!("{named}/p2p-circuit"), None, None, Err(form));
    check(&format!("/p2p/{one}"), None, Some(7), Err(form));
    check("", None, Some(7), Err(form));
    check("10.0.0.1:5001", None, None, Err("not a multiaddr"));
    check(&"/ip4/10.0.0.1".repeat(1000), None, None, Err("not a multiaddr"));
    let other = format!("the address says {one}, and its owner {two}");
    check(&named, Some(two), None, Err(&other));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(/(ip4|ip6|tcp|p2p|[a-z0-9.:]{0,9})){0,6}|.{0,64}") {
        if let Ok(candidate) = Candidate::parse(&text, None, Some(1)) {
            prop_assert_eq!(candidate.to_string().parse(), Ok(candidate));
        }
    }
}
