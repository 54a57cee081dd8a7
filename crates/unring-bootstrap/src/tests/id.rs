use proptest::prelude::*;
use unring_peer::Identity;

use crate::limits::{MAX_ID_ADDRESSES, MAX_ID_BYTES, MAX_ID_PEERS};
use crate::{IdForm, InvalidId, parse_id, write_id};

const ID: &str = "12D3KooWFSUzsLypSXEfhDqQiyg8aXid3dYcgQue972BABbP4aMR";

fn check(text: &str, form: IdForm, expected: &[&str], skipped: usize) {
    let answer = parse_id(text.as_bytes(), 5001).unwrap_or_else(|error| panic!("{text}: {error}"));
    let got: Vec<_> = answer.candidates.iter().map(ToString::to_string).collect();
    assert_eq!(
        (answer.form, got.as_slice(), answer.skipped),
        (form, &*expected.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>(), skipped),
        "{text}"
    );
}

#[test]
fn all_three_forms_are_read() {
    let named = format!("/ip4/10.0.0.1/tcp/5001/p2p/{ID}");
    check(&format!("{named}\n"), IdForm::Text, &[&named], 0);
    check(&format!("/ip4/10.0.0.1/p2p/{ID}"), IdForm::Text, &[&named], 0);
    let object = format!(r#"{{"ID":"{ID}","Addrs":["/ip4/10.0.0.1/tcp/5001"]}}"#);
    check(&object, IdForm::Object, &[&named], 0);
    check(&format!("[{object}]"), IdForm::Array, &[&named], 0);
    let second = "/ip6/fd00::1/tcp/1";
    let without = format!(r#" [{object}, {{"ID":"","Addrs":["{second}"]}}, {{"Addrs":null}}]"#);
    check(&without, IdForm::Array, &[&named, second], 0);
    let lower = format!(r#"{{"addrs":["/ip4/10.0.0.1"],"id":"{ID}","Extra":[1]}}"#);
    check(&lower, IdForm::Object, &[&named], 0);
    check("[]", IdForm::Array, &[], 0);
}

#[test]
fn an_address_of_another_transport_costs_nobody_else() {
    let mixed =
        r#"{"Addrs":["/ip4/10.0.0.1/udp/5001/quic-v1","/dns4/a/tcp/1","x","/ip4/10.0.0.1/tcp/1"]}"#;
    check(mixed, IdForm::Object, &["/ip4/10.0.0.1/tcp/1"], 3);
}

#[test]
fn what_is_too_much_is_left_out() {
    let addresses: Vec<_> = (1..=20).map(|last| format!(r#""/ip4/10.0.0.{last}/tcp/1""#)).collect();
    let one = format!(r#"{{"Addrs":[{}]}}"#, addresses.join(","));
    let all = format!("[{}]", vec![one; 10].join(","));
    let answer = parse_id(all.as_bytes(), 1).unwrap();
    assert_eq!(answer.candidates.len(), MAX_ID_PEERS * MAX_ID_ADDRESSES);
    assert_eq!(answer.candidates.len() + answer.skipped, 200);
    let long = vec![b' '; MAX_ID_BYTES + 1];
    assert!(
        matches!(parse_id(&long, 1), Err(InvalidId::TooLong { got }) if got == MAX_ID_BYTES + 1)
    );
}

#[test]
fn what_is_none_of_the_forms_is_refused() {
    let refused = |text: &str| parse_id(text.as_bytes(), 1).unwrap_err();
    for text in ["", "  ", "<html>", "12D3KooW", "null"] {
        assert!(matches!(refused(text), InvalidId::Form), "{text:?}");
    }
    for text in ["[1]", "{\"Addrs\":1}", "[{]", "[\"/ip4/10.0.0.1/tcp/1\"]", "{", &"[".repeat(9999)]
    {
        assert!(matches!(refused(text), InvalidId::Json(_)), "{text:?}");
    }
    assert!(matches!(refused("{\"ID\":\"x\",\"Addrs\":[]}"), InvalidId::Id));
    assert!(matches!(refused("/ip4/10.0.0.1/udp/1"), InvalidId::Text(_)));
    assert!(matches!(parse_id(b"/\xff", 1), Err(InvalidId::Form)));
}

#[test]
fn what_is_served_is_read() {
    let peer = Identity::generate().peer_id();
    let addresses =
        ["/ip4/10.0.0.1/tcp/5872", "/ip6/fd00::1/tcp/5872"].map(|text| text.parse().unwrap());
    let text = write_id(peer, &addresses);
    assert_eq!(
        text,
        format!(
            r#"[{{"ID":"{peer}","Addrs":["/ip4/10.0.0.1/tcp/5872","/ip6/fd00::1/tcp/5872"]}}]"#
        ),
        "bytes on the wire"
    );
    let named = addresses.map(|address: unring_peer::PeerAddress| format!("{address}/p2p/{peer}"));
    check(&text, IdForm::Array, &named.each_ref().map(String::as_str), 0);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_id(&bytes, 1);
    }

    #[test]
    fn any_json_is_read_or_refused(text in r#"[\[{]("(ID|Addrs)":|"/ip4/1[.]2[.]3[.]4(/tcp/1)?"|\[|\]|\{|\}|,|null|1){0,12}"#) {
        if let Ok(answer) = parse_id(text.as_bytes(), 1) {
            prop_assert!(answer.candidates.len() <= MAX_ID_PEERS * MAX_ID_ADDRESSES);
        }
    }
}
