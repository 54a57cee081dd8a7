//! Requests that break the protocol, against a real node that has joined another one.

use prost::Message as _;
use serde_json::Value;
use unring_peer::Identity;
use unring_peer_addr::pb;
use unring_peer_addr::pb::Incomplete;

use super::raw_grpc::{
    Caller, DAY_MS, INVALID_ARGUMENT, PERMISSION_DENIED, Trace, now, recursive, signed,
};
use super::support::{Node, Setup, wait_for};

/// A node under test, the one that it joins, and a caller.
struct Scene {
    upstream: Node,
    node: Node,
    me: Identity,
    caller: Caller,
}

impl Scene {
    fn new() -> Self {
        let upstream = Setup::new().start("", "");
        let joined = format!("upstreams = [\"https://{}\"]", upstream.grpc);
        let node = Setup::new().start(&joined, "");
        wait_for("the join to work", || {
            let status = node.status();
            (status["upstreams"][0]["last_result"] == "ok"
                && status["peers"][0]["peer_id"] == upstream.peer_id.as_str())
            .then_some(())
        });
        let me = Identity::generate();
        let caller = Caller::connect(&node, &me);
        Self { upstream, node, me, caller }
    }

    fn ask(&self, request: &pb::ListPeersRequest) -> pb::ListPeersResponse {
        self.caller.list_peers(request).expect("an answer")
    }

    #[track_caller]
    fn refused(&self, request: &pb::ListPeersRequest, code: u32, says: &[&str]) {
        let refused = self.caller.list_peers(request).expect_err("a refusal");
        assert_eq!(refused.code, code, "{refused:?}");
        for text in says {
            assert!(refused.message.contains(text), "no {text:?} in {refused:?}");
        }
    }

    fn counter(&self, name: &str) -> u64 {
        self.node.status()["exchange"][name].as_u64().unwrap()
    }

    /// How often the request was sent on; none when it never was.
    fn sent(&self, request_id: &[u8; 16]) -> Option<u64> {
        let id: String = request_id.iter().map(|byte| format!("{byte:02x}")).collect();
        let recent = self.node.status()["exchange"]["recent"].clone();
        let of_id = recent.as_array().unwrap().iter().find(|one| one["request_id"] == id.as_str());
        of_id.map(|one| one["sent"].as_u64().unwrap())
    }

    fn peer(&self, peer_id: &str) -> Option<Value> {
        let peers = self.node.status()["peers"].clone();
        peers.as_array().unwrap().iter().find(|peer| peer["peer_id"] == peer_id).cloned()
    }

    /// Both nodes go on, and an honest request is still sent on and answered in full.
    fn goes_on(self) {
        let honest = Trace::new(&self.me, 0xee);
        let answer = self.ask(&honest.request());
        assert!(answer.complete, "{:?}", reasons(&answer));
        assert_eq!(self.sent(&honest.request_id), Some(1));
        self.node.is_well();
        self.upstream.is_well();
        self.node.stop();
        self.upstream.stop();
    }
}

fn reasons(answer: &pb::ListPeersResponse) -> Vec<Incomplete> {
    answer.incomplete().collect()
}

/// What the answer's only upstream had to say.
fn was_sent_on(answer: &pb::ListPeersResponse) -> bool {
    matches!(&answer.upstreams[..], [outcome] if outcome.ok)
}

#[test]
fn messages_that_cannot_be_read_are_refused_with_the_field() {
    let scene = Scene::new();
    let honest = || Trace::new(&scene.me, 1).wire();
    let hop = pb::Hop { peer_id: scene.me.peer_id().to_base58(), stamp: vec![0; 16] };
    let cases: Vec<(pb::Trace, &[&str])> = vec![
        (pb::Trace { origin: "server1".into(), ..honest() }, &["trace.origin", "\"server1\""]),
        (pb::Trace { origin: String::new(), ..honest() }, &["trace.origin"]),
        (pb::Trace { origin: "1".repeat(20_000), ..honest() }, &["trace.origin", "at most"]),
        (
            pb::Trace { path: vec![hop.clone(); 256], ..honest() },
            &["trace.path", "256 entries", "at most 255"],
        ),
        (
            pb::Trace {
                path: vec![pb::Hop { peer_id: "\u{fffd}".into(), ..hop.clone() }],
                ..honest()
            },
            &["trace.path.peer_id"],
        ),
        (
            pb::Trace { path: vec![pb::Hop { stamp: vec![0; 15], ..hop }], ..honest() },
            &["trace.path.stamp", "15 bytes"],
        ),
        (pb::Trace { hop_limit: 256, ..honest() }, &["trace.hop_limit", "256", "at most 255"]),
        (
            pb::Trace { hop_limit: 4_000_000_000, ..honest() },
            &["trace.hop_limit", "4000000000", "at most 255"],
        ),
        (pb::Trace { request_id: vec![1; 15], ..honest() }, &["trace.request_id", "must be 16"]),
        (
            pb::Trace { origin_public_key: vec![7; 36], ..honest() },
            &["trace.origin_public_key", "not a libp2p public key"],
        ),
    ];
    for (trace, says) in cases {
        scene.refused(&recursive(trace), INVALID_ARGUMENT, says);
    }
    // The last two are varints of 11 bytes, and a field that says it has 2^64 - 1.
    let endless = b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    for garbage in [&b"\xff\xff\xff\xff"[..], &[0x0a; 100], &[0xff; 11], endless] {
        scene.caller.call_bytes("ListPeers", garbage).expect_err("no message");
    }
    assert_eq!(scene.sent(&[1; 16]), None);
    scene.goes_on();
}

#[test]
fn messages_that_are_too_large_are_refused() {
    let scene = Scene::new();
    let large = |bytes| {
        let trace = Trace::new(&scene.me, 1).wire();
        recursive(pb::Trace { origin_signature: vec![0; bytes], ..trace })
    };
    scene.refused(&large(100_000), INVALID_ARGUMENT, &["ListPeersRequest", "65536"]);
    scene.refused(&large(5 * 1024 * 1024), INVALID_ARGUMENT, &["ListPeersRequest", "65536"]);
    scene.goes_on();
}

#[test]
fn a_signature_that_does_not_verify_is_refused_and_uses_nothing_up() {
    let scene = Scene::new();
    let trace = Trace::new(&scene.me, 2);
    let mut forged = trace.wire();
    forged.origin_signature[10] ^= 1;
    scene.refused(
        &recursive(forged),
        INVALID_ARGUMENT,
        &["signature of origin", "does not verify"],
    );
    // Somebody else's key.
    let stranger = Identity::generate().public_key().encode_protobuf();
    let other_key = pb::Trace { origin_public_key: stranger, ..trace.wire() };
    scene.refused(&recursive(other_key), INVALID_ARGUMENT, &["public key belongs to"]);
    assert_eq!(scene.sent(&trace.request_id), None);
    // A forged copy that came first does not take the real request's place.
    assert!(was_sent_on(&scene.ask(&trace.request())));
    assert_eq!(scene.sent(&trace.request_id), Some(1));
    scene.goes_on();
}

#[test]
fn whoever_calls_must_be_the_last_hop() {
    let scene = Scene::new();
    let stranger = Identity::generate();
    let not_mine = Trace::new(&stranger, 3);
    let says = ["last hop is", &scene.me.peer_id().to_base58(), &stranger.peer_id().to_base58()];
    scene.refused(&not_mine.request(), PERMISSION_DENIED, &says);
    let path = vec![(scene.me.peer_id(), [0; 16]), (stranger.peer_id(), [0; 16])];
    let last = Trace { path, ..Trace::new(&scene.me, 3) };
    scene.refused(&last.request(), PERMISSION_DENIED, &says);
    assert_eq!(scene.node.metric("requests_invalid_total"), 2.0);
    assert_eq!(scene.sent(&[3; 16]), None);
    scene.goes_on();
}

#[test]
fn a_forged_mention_of_the_receiver_suppresses_nothing() {
    let scene = Scene::new();
    let origin = Identity::generate();
    let victim = scene.node.peer_id.parse().unwrap();
    let path = vec![(victim, [0xab; 16]), (scene.me.peer_id(), [0xcd; 16])];
    let trace = Trace { path, ..Trace::new(&origin, 4) };
    let answer = scene.ask(&trace.request());
    assert!(was_sent_on(&answer), "{answer:?}");
    assert_eq!(reasons(&answer), []);
    assert_eq!(scene.sent(&trace.request_id), Some(1));
    assert_eq!((scene.counter("forged_stamps"), scene.counter("loops")), (1, 0));
    assert!(scene.node.status()["rings"].as_array().unwrap().is_empty(), "and it makes no ring");
    scene.goes_on();
}

#[test]
fn a_used_up_hop_limit_and_a_wrong_clock_are_answered_here() {
    let scene = Scene::new();
    let last = Trace { hop_limit: 0, ..Trace::new(&scene.me, 5) };
    let day = DAY_MS;
    let early = Trace { issued_at_unix_ms: now() - day, ..Trace::new(&scene.me, 6) };
    let late = Trace { issued_at_unix_ms: now() + day, ..Trace::new(&scene.me, 7) };
    let never = Trace { issued_at_unix_ms: u64::MAX, ..Trace::new(&scene.me, 8) };
    for (trace, reason) in [
        (last, Incomplete::HopLimit),
        (early, Incomplete::ClockSkew),
        (late, Incomplete::ClockSkew),
        (never, Incomplete::ClockSkew),
    ] {
        let answer = scene.ask(&trace.request());
        assert_eq!((reasons(&answer), answer.complete), (vec![reason], false));
        assert!(!answer.records.is_empty(), "what the node knows is in the answer");
        assert!(answer.upstreams.is_empty());
        assert_eq!(scene.sent(&trace.request_id), None);
    }
    // None of them was entered as seen.
    assert!(was_sent_on(&scene.ask(&Trace::new(&scene.me, 6).request())));
    scene.goes_on();
}

#[test]
fn a_known_id_with_other_content_is_a_duplicate() {
    let scene = Scene::new();
    let first = Trace::new(&scene.me, 9);
    assert!(was_sent_on(&scene.ask(&first.request())));
    let later = Trace { issued_at_unix_ms: now() + 1000, hop_limit: 7, ..Trace::new(&scene.me, 9) };
    let second = pb::ListPeersRequest { max_peers: 3, decode: true, ..later.request() };
    let answer = scene.ask(&second);
    assert_eq!(reasons(&answer), [Incomplete::Duplicate]);
    assert!(answer.upstreams.is_empty() && !answer.records.is_empty());
    assert_eq!(answer.decoded.len(), answer.records.len());
    assert_eq!((scene.sent(&first.request_id), scene.counter("duplicates")), (Some(1), 1));
    scene.goes_on();
}

#[test]
fn records_that_break_a_rule_are_not_kept() {
    let scene = Scene::new();
    let me = scene.me.peer_id();
    let with = |record| pb::ListPeersRequest { caller_record: Some(record), ..Default::default() };
    let many = |count: usize| {
        signed(&scene.me, me, |record| {
            record.addresses = (0..count).map(|n| format!("/ip4/10.0.0.1/tcp/{}", n + 1)).collect();
        })
    };
    let other = signed(&Identity::generate(), me, |_| {});
    scene.refused(&with(other), INVALID_ARGUMENT, &["caller_record", "is signed by"]);
    scene.refused(&with(many(10_000)), INVALID_ARGUMENT, &["ListPeersRequest", "65536"]);
    scene.refused(&with(many(1_000)), INVALID_ARGUMENT, &["caller_record", "at most 16384"]);
    scene.refused(
        &with(many(17)),
        INVALID_ARGUMENT,
        &["caller_record", "17 addresses", "at most 16"],
    );
    let garbage = pb::SignedRecord { envelope: vec![7; 50].into(), ..Default::default() };
    scene.refused(&with(garbage), INVALID_ARGUMENT, &["caller_record", "not a signed envelope"]);

    // The envelope is whole, the signature is not: found when the record is wanted.
    let mut forged =
        pb::SignedEnvelope::decode(&signed(&scene.me, me, |_| {}).envelope[..]).unwrap();
    forged.signature[0] ^= 1;
    let forged = pb::SignedRecord { envelope: forged.encode_to_vec().into(), ..Default::default() };
    scene.ask(&with(forged));
    assert_eq!(scene.counter("records_invalid"), 1);
    assert_eq!(scene.peer(&me.to_base58()), None);

    // An address that this version cannot dial costs neither the record nor the other addresses.
    let mixed = signed(&scene.me, me, |record| {
        record.addresses = ["/ip4/127.0.0.1/udp/9/quic-v1", "/ip4/127.0.0.1/tcp/9", "nonsense"]
            .map(str::to_owned)
            .to_vec();
    });
    scene.ask(&with(mixed));
    let kept = scene.peer(&me.to_base58()).expect("the record is kept");
    assert_eq!(kept["addresses"], serde_json::json!(["/ip4/127.0.0.1/tcp/9"]));
    scene.goes_on();
}

#[test]
fn a_record_of_ten_thousand_addresses_in_a_stream_costs_only_itself() {
    let scene = Scene::new();
    let (hostile, honest) = (Identity::generate(), Identity::generate());
    let large = signed(&hostile, hostile.peer_id(), |record| {
        record.addresses = (1..=10_000).map(|port| format!("/ip4/10.0.0.1/tcp/{port}")).collect();
    });
    let records = vec![large, signed(&honest, honest.peer_id(), |_| {})];
    let open = pb::WatchPeersRequest { records, ..Default::default() };
    scene.caller.call::<pb::WatchPeersResponse>("WatchPeers", &open).expect("a batch");
    wait_for("the honest record", || scene.peer(&honest.peer_id().to_base58()));
    assert_eq!(scene.peer(&hostile.peer_id().to_base58()), None);
    scene.goes_on();
}
