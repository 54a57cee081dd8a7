use crate::{InvalidServerUrl, ServerUrl, limits};

#[test]
fn a_url_is_a_host_and_a_port() {
    let cases = [
        ("https://server1:6443", "server1", 6443, "https://server1:6443"),
        (
            "https://server1.example.org",
            "server1.example.org",
            443,
            "https://server1.example.org:443",
        ),
        ("https://10.0.0.1:9345/", "10.0.0.1", 9345, "https://10.0.0.1:9345"),
        ("https://[fd00::1]:6443//", "fd00::1", 6443, "https://[fd00::1]:6443"),
        ("https://[fd00::1]", "fd00::1", 443, "https://[fd00::1]:443"),
    ];
    for (text, host, port, shown) in cases {
        let url: ServerUrl = text.parse().unwrap();
        assert_eq!((url.host(), url.port(), &*url.to_string()), (host, port, shown));
        assert_eq!(shown.parse(), Ok(url));
    }
}

#[test]
fn what_is_no_url_is_refused() {
    use InvalidServerUrl::{Authority, Scheme, Secret};
    let cases = [
        ("http://localhost:6443", Scheme),
        (" https://localhost:6443", Scheme),
        ("localhost:6443", Scheme),
        ("https://node:secret@server1:6443", Secret),
        ("https://", Authority),
        ("https://:6443", Authority),
        ("https://a:", Authority),
        ("https://a:0", Authority),
        ("https://a:+1", Authority),
        ("https://a:65536", Authority),
        ("https://a:1/path", Authority),
        ("https://a?x", Authority),
        ("https://a:1:2", Authority),
        ("https://[fd00::1", Authority),
        ("https://[fd00::1]x", Authority),
        ("https://a b", Authority),
    ];
    for (text, want) in cases {
        assert_eq!(text.parse::<ServerUrl>(), Err(want), "{text}");
    }
    let long = format!("https://{}", "a".repeat(limits::MAX_URL_BYTES));
    assert!(matches!(long.parse::<ServerUrl>(), Err(InvalidServerUrl::TooLong { .. })));
}
