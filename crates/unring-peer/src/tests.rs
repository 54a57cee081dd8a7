use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;

use crate::{
    GrpcUrl, Identity, InvalidAddress, InvalidContent, InvalidRecord, Join, NodeRecord,
    PeerAddress, SignRecordError, SignedRecord, UnixMillis, UnverifiedRecord, pb,
};

fn server1() -> Identity {
    // A fixed key, so that wire bytes can be compared.
    let key = libp2p_identity::Keypair::ed25519_from_bytes([7; 32]).unwrap();
    Identity::from_keypair(key)
}

fn record(identity: &Identity) -> NodeRecord {
    let mut record = NodeRecord::new(identity.peer_id(), "server1");
    record.seq = 42;
    record.issued_at = UnixMillis::new(1_790_000_000_000);
    record.ttl = Duration::from_secs(1800);
    record.addresses = vec!["/ip4/10.0.0.1/tcp/5872".parse().unwrap()];
    record.joins = vec![Join {
        address: "https://server3:5871".into(),
        targets: [identity.peer_id()].into(),
        since: UnixMillis::new(1),
    }];
    record.grpc_url = Some("https://10.0.0.1:5871".parse().unwrap());
    record
}

fn decode(envelope: Vec<u8>) -> Result<UnverifiedRecord, InvalidRecord> {
    UnverifiedRecord::decode(envelope.into(), Bytes::new())
}

/// Signs a wire message as a hostile node would: without the checks of [`SignedRecord::sign`].
fn sign_unchecked(identity: &Identity, wire: &pb::NodeRecord) -> Vec<u8> {
    let payload = wire.encode_to_vec();
    let payload_type = b"/unring/node-record/1";
    let envelope = pb::SignedEnvelope {
        public_key: identity.public_key().encode_protobuf(),
        payload_type: payload_type.to_vec(),
        signature: identity.sign("unring-node-record", &[payload_type, &payload]),
        payload,
    };
    envelope.encode_to_vec()
}

#[test]
fn a_record_survives_signing_and_reading() {
    let signed = SignedRecord::sign(&server1(), record(&server1())).unwrap();
    let read = decode(signed.envelope().to_vec()).unwrap();
    assert_eq!((read.peer_id(), read.seq()), (server1().peer_id(), 42));
    let read = read.verify().unwrap();
    assert_eq!(read, signed);
    assert_eq!(*read.record(), record(&server1()));
    assert_eq!(read.record().expires_at(), UnixMillis::new(1_790_001_800_000));
}

#[test]
fn the_wire_bytes_are_frozen() {
    let signed = SignedRecord::sign(&server1(), record(&server1())).unwrap();
    let hex: String = signed.envelope().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, include_str!("tests/record.hex").trim());
}

#[test]
fn every_flipped_bit_is_noticed() {
    let signed = SignedRecord::sign(&server1(), record(&server1())).unwrap();
    for index in 0..signed.envelope().len() {
        let mut bytes = signed.envelope().to_vec();
        bytes[index] ^= 1;
        let accepted = decode(bytes).and_then(UnverifiedRecord::verify);
        assert!(accepted.is_err(), "byte {index} may be changed");
    }
}

#[test]
fn a_record_of_another_node_is_refused() {
    let (me, other) = (server1(), Identity::generate());
    let refused = SignedRecord::sign(&other, record(&me)).unwrap_err();
    assert!(matches!(refused, SignRecordError::OtherSigner { .. }), "{refused}");
    let refused = decode(sign_unchecked(&other, &record(&me).to_wire())).unwrap_err();
    assert!(
        matches!(refused, InvalidRecord::OtherSigner { subject, signer }
            if subject == me.peer_id() && signer == other.peer_id()),
        "{refused}"
    );
}

#[test]
fn a_field_of_a_newer_version_is_kept() {
    let me = server1();
    let mut payload = record(&me).to_wire().encode_to_vec();
    // Field 100, length-delimited: unknown to this version.
    payload.extend_from_slice(&[0xa2, 0x06, 3, b'n', b'e', b'w']);
    let envelope = pb::SignedEnvelope {
        public_key: me.public_key().encode_protobuf(),
        payload_type: b"/unring/node-record/1".to_vec(),
        signature: me.sign("unring-node-record", &[b"/unring/node-record/1", &payload]),
        payload,
    }
    .encode_to_vec();
    let read = decode(envelope.clone()).and_then(UnverifiedRecord::verify).unwrap();
    assert_eq!(read.envelope(), &envelope);
}

#[test]
fn what_breaks_a_bound_is_refused_with_its_number() {
    let me = server1();
    let check = |change: fn(&mut pb::NodeRecord), expected: InvalidContent| {
        let mut wire = record(&me).to_wire();
        change(&mut wire);
        match decode(sign_unchecked(&me, &wire)) {
            Err(InvalidRecord::Content { source, .. }) => assert_eq!(source, expected),
            other => panic!("{expected} expected, got {other:?}"),
        }
    };
    check(|wire| wire.peer_id = "server1".into(), InvalidContent::PeerId("server1".into()));
    // A valid id with so many ones in front is still too long to be read.
    check(|wire| wire.peer_id = "1".repeat(129), InvalidContent::PeerId("1".repeat(64)));
    check(|wire| wire.ttl_ms = 0, InvalidContent::Ttl { got: 0 });
    check(|wire| wire.ttl_ms = 86_400_001, InvalidContent::Ttl { got: 86_400_001 });
    check(
        |wire| wire.addresses = vec!["/ip4/10.0.0.1/tcp/1".into(); 17],
        InvalidContent::TooMany { what: "addresses", got: 17, max: 16 },
    );
    check(
        |wire| wire.joins = vec![pb::Join::default(); 33],
        InvalidContent::TooMany { what: "joins", got: 33, max: 32 },
    );
    check(
        |wire| wire.joins[0].targets = vec![String::new(); 17],
        InvalidContent::TooMany { what: "targets of a join", got: 17, max: 16 },
    );
    check(
        |wire| wire.joins[0].targets = vec!["nobody".into()],
        InvalidContent::Target { join: 0, target: "nobody".into() },
    );
    check(
        |wire| wire.name = "n".repeat(64),
        InvalidContent::TooLong { what: "name", got: 64, max: 63 },
    );
    check(
        |wire| wire.zone = "z".repeat(64),
        InvalidContent::TooLong { what: "zone", got: 64, max: 63 },
    );
    check(
        |wire| wire.version = "v".repeat(64),
        InvalidContent::TooLong { what: "version", got: 64, max: 63 },
    );
    check(
        |wire| wire.joins[0].address = "a".repeat(256),
        InvalidContent::TooLong { what: "address of a join", got: 256, max: 255 },
    );
    check(
        |wire| wire.grpc_url = "tcp://a:1".into(),
        InvalidContent::GrpcUrl(crate::InvalidGrpcUrl::Scheme("tcp://a:1".into())),
    );
    check(
        |wire| wire.name = "a\nWARN forged line".into(),
        InvalidContent::ControlCharacter { what: "name" },
    );
    check(
        |wire| wire.joins[0].address = "https://a\u{202e}b".into(),
        InvalidContent::ControlCharacter { what: "address of a join" },
    );
}

#[test]
fn a_tag_and_a_payload_of_another_kind_are_refused() {
    let signed = SignedRecord::sign(&server1(), record(&server1())).unwrap();
    let tag = |bytes| {
        let tag = Bytes::from(vec![0; bytes]);
        UnverifiedRecord::decode(signed.envelope().clone(), tag)
    };
    assert_eq!(tag(64).unwrap().wire_bytes(), signed.envelope().len() + 64);
    assert!(matches!(tag(65), Err(InvalidRecord::TagTooLarge { got: 65 })));
    // Signed as it should be, under another name.
    let mut envelope = pb::SignedEnvelope::decode(signed.envelope().clone()).unwrap();
    envelope.payload_type = b"/unring/node-record/2".to_vec();
    let parts: [&[u8]; 2] = [&envelope.payload_type, &envelope.payload];
    envelope.signature = server1().sign("unring-node-record", &parts);
    let other = decode(envelope.encode_to_vec()).unwrap_err();
    assert!(matches!(other, InvalidRecord::PayloadType(_)), "{other}");
}

#[test]
fn what_others_would_refuse_is_not_signed() {
    let mut broken = record(&server1());
    broken.ttl = Duration::ZERO;
    let refused = SignedRecord::sign(&server1(), broken).unwrap_err();
    assert!(matches!(refused, SignRecordError::Content(InvalidContent::Ttl { got: 0 })));
    let mut long = record(&server1());
    long.joins = (0..32)
        .map(|n| Join {
            address: format!("{n}{}", "x".repeat(200)),
            targets: (0..16).map(|_| Identity::generate().peer_id()).collect(),
            since: UnixMillis::new(1),
        })
        .collect();
    let refused = SignedRecord::sign(&server1(), long).unwrap_err();
    assert!(matches!(refused, SignRecordError::TooLarge { .. }), "{refused}");
}

#[test]
fn an_address_that_is_told_twice_is_kept_once() {
    let mut wire = record(&server1()).to_wire();
    wire.addresses = vec!["/ip4/10.0.0.1/tcp/5872".into(); 3];
    let read = decode(sign_unchecked(&server1(), &wire)).unwrap();
    assert_eq!((read.claimed().addresses.len(), read.claimed().skipped_addresses.len()), (1, 0));
}

#[test]
fn two_records_say_the_same_but_for_version_and_time() {
    let same = |change: fn(&mut NodeRecord)| {
        let (one, mut other) = (record(&server1()), record(&server1()));
        change(&mut other);
        one.same_content(&other)
    };
    assert!(same(|other| (other.seq, other.issued_at) = (7, UnixMillis::new(7))));
    let changes: [fn(&mut NodeRecord); 7] = [
        |other| other.ttl = Duration::from_secs(1),
        |other| other.name = "x".into(),
        |other| other.addresses.clear(),
        |other| other.joins[0].targets.clear(),
        |other| other.zone = "x".into(),
        |other| other.version = "x".into(),
        |other| other.grpc_url = None,
    ];
    assert!(changes.iter().all(|change| !same(*change)));
}

#[test]
fn ten_thousand_addresses_are_too_large_to_read() {
    let mut wire = record(&server1()).to_wire();
    wire.addresses =
        (0..10_000).map(|n| format!("/ip4/10.0.{}.{}/tcp/1", n / 256, n % 256)).collect();
    let refused = decode(sign_unchecked(&server1(), &wire)).unwrap_err();
    assert!(matches!(refused, InvalidRecord::TooLarge { .. }), "{refused}");
}

#[test]
fn an_address_of_another_transport_costs_the_node_nothing_else() {
    let mut wire = record(&server1()).to_wire();
    wire.addresses.push("/ip4/10.0.0.1/udp/5872/quic-v1".into());
    wire.addresses.push("/dns4/server1/tcp/5872".into());
    let read =
        decode(sign_unchecked(&server1(), &wire)).and_then(UnverifiedRecord::verify).unwrap();
    assert_eq!(read.record().addresses.len(), 1);
    let skipped: Vec<_> =
        read.record().skipped_addresses.iter().map(|skipped| skipped.index).collect();
    assert_eq!(skipped, [1, 2]);
}

#[test]
fn addresses_are_checked() {
    let check = |text: &str| text.parse::<PeerAddress>();
    assert!(check("/ip4/127.0.0.1/tcp/4001").is_ok());
    assert!(check("/ip6/::1/tcp/4001").is_ok());
    for other in ["/ip4/10.0.0.1/tcp/1/ws", "/dns4/a/tcp/1", "/ip4/10.0.0.1/udp/1", "/ip4/10.0.0.1"]
    {
        assert!(matches!(check(other), Err(InvalidAddress::OtherTransport(_))), "{other}");
    }
    for dead in ["/ip4/0.0.0.0/tcp/1", "/ip4/10.0.0.1/tcp/0", "/ip4/224.0.0.1/tcp/1"] {
        assert!(matches!(check(dead), Err(InvalidAddress::NotDialable(_))), "{dead}");
    }
    assert!(matches!(check("10.0.0.1:1"), Err(InvalidAddress::NotMultiaddr(_))));
    assert!(matches!(check(&"/".repeat(256)), Err(InvalidAddress::TooLong { got: 256 })));
}

#[test]
fn urls_are_checked() {
    let check = |text: &str| {
        let url: GrpcUrl = text.parse().map_err(|error| format!("{error}"))?;
        Ok::<_, String>((url.to_string(), url.host().to_owned(), url.port(), url.is_tls()))
    };
    let url = |text: &str, host: &str, tls| Ok((text.to_owned(), host.to_owned(), 5871, tls));
    assert_eq!(check("server2:5871"), url("https://server2:5871", "server2", true));
    assert_eq!(check("https://[fd00::1]:5871/"), url("https://[fd00::1]:5871", "fd00::1", true));
    assert_eq!(check("http://127.0.0.1:5871"), url("http://127.0.0.1:5871", "127.0.0.1", false));
    for bad in [
        "server2",
        "server2:",
        "server2:0",
        "server2:65536",
        "server2:+5871",
        "https://server2:5871/x",
        "tcp://a:1",
        ":1",
        "a b:1",
        "[::1:1",
    ] {
        assert!(check(bad).is_err(), "{bad}");
    }
    let got = crate::limits::MAX_GRPC_URL_BYTES + 1;
    let long = format!("{}:5871", "a".repeat(got - ":5871".len()));
    assert_eq!(long.parse::<GrpcUrl>(), Err(crate::InvalidGrpcUrl::TooLong { got }));
    assert!(long[1..].parse::<GrpcUrl>().is_ok());
}

#[test]
fn a_secret_is_not_shown() {
    let shown = format!("{:?}", server1());
    assert!(shown.contains(&server1().peer_id().to_base58()));
    assert!(!shown.to_lowercase().contains("secret") && !shown.contains("keypair"), "{shown}");
}

#[test]
fn an_identity_survives_its_encoding() {
    let read = Identity::decode(&server1().encode().unwrap()).unwrap();
    assert_eq!(read.peer_id(), server1().peer_id());
    let encoded = server1().encode().unwrap();
    assert!(Identity::decode(&encoded[..encoded.len() - 1]).is_err());
}

proptest! {
    #[test]
    fn garbage_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(decode(bytes).and_then(UnverifiedRecord::verify).is_err());
    }

    #[test]
    fn a_signature_is_bound_to_its_parts(a in any::<Vec<u8>>(), b in any::<Vec<u8>>()) {
        let me = server1();
        let signature = me.sign("domain", &[&a, &b]);
        let verify = |domain, parts: &[&[u8]]| {
            crate::verify_signature(&me.public_key(), domain, parts, &signature)
        };
        prop_assert!(verify("domain", &[&a, &b]));
        prop_assert!(!verify("other", &[&a, &b]));
        let joined = [a.as_slice(), b.as_slice()].concat();
        prop_assert!(!verify("domain", &[&joined]));
    }
}
