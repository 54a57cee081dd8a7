use proptest::prelude::*;

use super::{A, B};
use crate::{AnswerForm, InvalidAnswer, InvalidK3sAddress, K3sAddress, limits, parse_answer};

/// Form, addresses, and how many were invalid, repeated and beyond the limit.
fn parse(body: &str) -> (AnswerForm, Vec<String>, [usize; 3]) {
    let list = parse_answer(body.as_bytes()).unwrap();
    let skipped = list.skipped;
    let addresses = list.addresses.iter().map(ToString::to_string).collect();
    (list.form, addresses, [skipped.invalid, skipped.repeated, skipped.beyond_limit])
}

#[test]
fn an_answer_is_a_list_or_one_address() {
    let (a, b) = (A.to_owned(), B.to_owned());
    let list = format!(r#" ["{A}","{B}"] "#);
    assert_eq!(parse(&list), (AnswerForm::List, vec![a.clone(), b.clone()], [0, 0, 0]));
    let escaped = format!(r#"["{}"]"#, A.replace('/', "\\/"));
    assert_eq!(parse(&escaped), (AnswerForm::List, vec![a.clone()], [0, 0, 0]));
    for empty in ["[]", "null", " null\n"] {
        assert_eq!(parse(empty), (AnswerForm::List, vec![], [0, 0, 0]), "{empty}");
    }
    assert_eq!(parse(A), (AnswerForm::Text, vec![a], [0, 0, 0]));
    assert_eq!(parse(&format!("{B}\n")), (AnswerForm::Text, vec![b], [0, 0, 0]));
}

#[test]
fn what_is_not_dialled_is_left_out_one_by_one() {
    let list = format!(
        r#"["", "nonsense", "/ip4/10.0.0.2/tcp/5001", "/dns4/a/tcp/1{p}", "/ip4/10.0.0.2/udp/1/quic-v1{p}",
            "/ip4/10.0.0.2/tcp/0{p}", "/ip4/10.0.0.2/tcp/1{p}/p2p-circuit", "{long}", "{A}", "{B}", "{A}"]"#,
        p = &A[A.find("/p2p").unwrap()..],
        long = "/".repeat(limits::MAX_ADDRESS_BYTES + 1),
    );
    assert_eq!(parse(&list), (AnswerForm::List, vec![A.to_owned(), B.to_owned()], [8, 1, 0]));
}

#[test]
fn what_is_neither_is_refused() {
    let html = "<html><body>502 Bad Gateway</body></html>";
    let nested = format!("[{A:?}, [{A:?}]]");
    let cases = ["", html, "{}", "[1]", "[\"a\"", "[] []", "\"text\"", "true", &nested];
    for body in cases {
        assert_eq!(parse_answer(body.as_bytes()), Err(InvalidAnswer::Neither), "{body}");
    }
    assert_eq!(parse_answer(&[0xff, 0xfe]), Err(InvalidAnswer::Neither));
    let deep = "[".repeat(100_000);
    assert_eq!(parse_answer(deep.as_bytes()), Err(InvalidAnswer::Neither));
}

#[test]
fn an_answer_is_bounded_in_bytes_and_addresses() {
    let body = vec![b' '; limits::MAX_ANSWER_BYTES + 1];
    let got = limits::MAX_ANSWER_BYTES + 1;
    assert_eq!(parse_answer(&body), Err(InvalidAnswer::TooLong { got }));
    let (_, id) = A.split_once("/p2p/").unwrap();
    let many = limits::MAX_ANSWER_ADDRESSES + 3;
    let texts: Vec<_> =
        (0..many).map(|n| format!("/ip4/10.0.{}.{}/tcp/5001/p2p/{id}", n >> 8, n & 255)).collect();
    let list = parse_answer(&serde_json::to_vec(&texts).unwrap()).unwrap();
    assert_eq!((list.addresses.len(), list.skipped.beyond_limit), (many - 3, 3));
}

#[test]
fn an_address_says_what_is_wrong_with_it() {
    let parse = |text: &str| text.parse::<K3sAddress>();
    assert_eq!(parse("x"), Err(InvalidK3sAddress::NotMultiaddr));
    assert_eq!(parse(""), Err(InvalidK3sAddress::NoPeerId));
    assert_eq!(parse("/ip4/10.0.0.1/tcp/1"), Err(InvalidK3sAddress::NoPeerId));
    let got = limits::MAX_ADDRESS_BYTES + 1;
    assert_eq!(parse(&"/".repeat(got)), Err(InvalidK3sAddress::TooLong { got }));
    let only_id = parse(&A[A.find("/p2p").unwrap()..]);
    assert!(matches!(only_id, Err(InvalidK3sAddress::Address(_))), "{only_id:?}");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse_answer(&body);
    }

    #[test]
    fn no_list_of_texts_makes_it_panic_or_lose_count(texts in proptest::collection::vec(".{0,80}", 0..20)) {
        let list = parse_answer(&serde_json::to_vec(&texts).unwrap()).unwrap();
        let skipped = list.skipped.invalid + list.skipped.repeated + list.skipped.beyond_limit;
        prop_assert_eq!(list.addresses.len() + skipped, texts.len());
    }

    #[test]
    fn an_address_is_read_as_it_was_written(ip in any::<u32>(), port in 1_u16..) {
        let ip = std::net::Ipv4Addr::from(ip);
        prop_assume!(!ip.is_unspecified() && !ip.is_multicast());
        let (_, id) = A.split_once("/p2p/").unwrap();
        let text = format!("/ip4/{ip}/tcp/{port}/p2p/{id}");
        prop_assert_eq!(text.parse::<K3sAddress>().unwrap().to_string(), text);
    }
}
