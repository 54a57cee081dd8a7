use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use unring_exchange::{
    Answer, Hop, Incomplete, InvalidTrace, OutboundRequest, RequestId, Scope, Stamp, StampKey,
    Trace, UpstreamOutcome,
};
use unring_peer::{NotAMember, SignedRecord, UnixMillis};

use super::support::{identity, large_record, peer, record, ring_of_three};
use crate::convert::{
    Responder, WrittenAnswer, answer_from_wire, batch_from_wire, cut, decoded_answer,
    open_from_wire, request_from_wire, request_to_wire, topology_from_wire, topology_to_wire,
    update_from_wire, write_answer,
};
use crate::{InvalidMessage, Refusal, Reply, Unauthenticated, pb};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn trace() -> Trace {
    let started = UnixMillis::new(1_790_000_000_000);
    let trace = Trace::start(&identity(3), RequestId::new([5; 16]), started, 64);
    trace.forwarded(&StampKey::new([1; 32]), peer(2)).unwrap()
}

fn reply(records: Vec<SignedRecord>) -> Reply {
    let topology = ring_of_three();
    let answer = Answer {
        responder: peer(1),
        records: records.into(),
        incomplete: [Incomplete::UpstreamFailed, Incomplete::Duplicate].into(),
        upstreams: vec![UpstreamOutcome {
            address: "https://node-2:5871".into(),
            peer: None,
            records: 0,
            error: Some("no answer within 1s".into()),
        }],
        request_id: Some(RequestId::new([5; 16])),
        retry_after: Some(Duration::from_millis(250)),
    };
    let names = topology.nodes.iter().map(|node| (node.id, node.name.clone())).collect();
    Reply { answer, rings: topology.rings, names }
}

/// The message behind its prefix.
fn written(reply: &Reply) -> Vec<u8> {
    let WrittenAnswer(parts) = write_answer(reply, &Responder::default());
    let bytes = parts.concat();
    let (prefix, message) = bytes.split_at(5);
    assert_eq!(prefix[0], 0, "not compressed");
    assert_eq!(prefix[1..], u32::try_from(message.len()).unwrap().to_be_bytes());
    message.to_vec()
}

fn answer_to_wire(reply: &Reply, decode: bool) -> pb::ListPeersResponse {
    if decode {
        return decoded_answer(reply, &Responder::default());
    }
    pb::ListPeersResponse::decode(written(reply).as_slice()).unwrap()
}

#[test]
fn the_wire_bytes_of_a_request_are_frozen() {
    let request = OutboundRequest {
        scope: Scope::Recursive,
        max_peers: 30,
        trace: Some(trace()),
        caller_record: Some(record(2, 4)),
    };
    let bytes = request_to_wire(&request).encode_to_vec();
    assert_eq!(hex(&bytes), include_str!("request.hex").trim());
}

#[test]
fn the_wire_bytes_of_an_answer_are_frozen() {
    let bytes = written(&reply(vec![record(1, 1)]));
    assert_eq!(hex(&bytes), include_str!("answer.hex").trim());
}

#[test]
fn an_answer_with_nothing_to_add_is_the_sample_as_it_was_written() {
    let mut other = reply(vec![record(1, 1), record(2, 1)]);
    let mut plain = other.clone();
    plain.rings.clear();
    let Answer { responder, records, .. } = plain.answer;
    let (incomplete, upstreams, request_id, retry_after) = ([].into(), vec![], None, None);
    plain.answer = Answer { responder, records, incomplete, upstreams, request_id, retry_after };
    let responder = Responder::default();
    let parts = |reply: &Reply| write_answer(reply, &responder).0;
    let [first, again] = [parts(&plain), parts(&plain)];
    assert_eq!(first[0].as_ptr(), again[0].as_ptr(), "shared");
    assert!(first[1].is_empty() && first[2].is_empty(), "in one piece");
    let read = answer_to_wire(&plain, false);
    assert_eq!((read.records.len(), read.complete), (2, true));
    assert_eq!(read, pb::ListPeersResponse { decoded: vec![], ..answer_to_wire(&plain, true) });
    // The same records in an answer that says more.
    assert_eq!(parts(&other)[1], first[0].slice(5..5 + parts(&other)[1].len()));
    other.answer.incomplete.clear();
    assert_eq!(answer_to_wire(&other, false).records, read.records);
}

#[test]
fn an_unknown_field_is_ignored() {
    let mut bytes = request_to_wire(&OutboundRequest {
        scope: Scope::Recursive,
        max_peers: 0,
        trace: Some(trace()),
        caller_record: None,
    })
    .encode_to_vec();
    // Field 100, length-delimited: of a newer version.
    bytes.extend_from_slice(&[0xa2, 0x06, 3, b'n', b'e', b'w']);
    let wire = pb::ListPeersRequest::decode(bytes.as_slice()).unwrap();
    assert_eq!(request_from_wire(wire).unwrap().0.trace, Some(trace()));
}

#[test]
fn an_answer_stays_below_the_message_cap() {
    let records: Vec<_> = (0..500).map(|seq| large_record(1, seq)).collect();
    for decode in [false, true] {
        let wire = answer_to_wire(&reply(records.clone()), decode);
        let (sent, bytes) = (wire.records.len(), wire.encoded_len());
        assert!(bytes < crate::limits::MAX_MESSAGE_BYTES, "{bytes} bytes");
        assert!(bytes > crate::limits::ANSWER_RECORD_BYTES - 48 * 1024, "{bytes} bytes");
        assert!(sent < 500 && wire.decoded.len() == if decode { sent } else { 0 });
        // The last ones are those that are left out.
        assert_eq!(wire.records[sent - 1].envelope, records[sent - 1].envelope().as_ref());
    }
}

#[test]
fn rings_beyond_their_budget_are_left_out() {
    let mut reply = reply(Vec::new());
    let one = answer_to_wire(&reply, false).encoded_len();
    reply.rings = vec![reply.rings[0].clone(); 2000];
    let wire = answer_to_wire(&reply, false);
    assert!(wire.encoded_len() < one + crate::limits::ANSWER_RING_BYTES);
    assert!(wire.rings.len() > 500, "{} rings", wire.rings.len());
}

#[test]
fn a_record_that_is_kept_keeps_no_message_in_memory() {
    let wire = pb::ListPeersRequest {
        caller_record: Some(pb::SignedRecord {
            envelope: record(2, 1).envelope().clone(),
            membership_tag: Some(vec![1; 32].into()),
        }),
        ..Default::default()
    };
    // As decoded from the wire, where fields are parts of one buffer.
    let message = bytes::Bytes::from(wire.encode_to_vec());
    let (request, _) =
        request_from_wire(pb::ListPeersRequest::decode(message.clone()).unwrap()).unwrap();
    let kept = request.caller_record.unwrap();
    for part in [kept.envelope(), kept.membership_tag()] {
        assert!(!part.is_empty() && !message.as_ptr_range().contains(&part.as_ptr()));
    }
}

#[test]
fn a_responder_is_whom_the_transport_names() {
    let wire = answer_to_wire(&reply(Vec::new()), false);
    assert_eq!(answer_from_wire(wire.clone(), Some(peer(9))).unwrap().responder, peer(9));
    assert_eq!(answer_from_wire(wire.clone(), None).unwrap().responder, peer(1));
    let anonymous = pb::ListPeersResponse { responder: String::new(), ..wire };
    let error = answer_from_wire(anonymous, None).unwrap_err();
    assert!(matches!(error, InvalidMessage::PeerId { field: "responder", .. }), "{error}");
}

#[test]
fn reasons_and_delays_of_another_version_are_read_within_bounds() {
    let wire = pb::ListPeersResponse {
        incomplete: vec![0, 4, 99, -1],
        retry_after_ms: u64::MAX,
        ..answer_to_wire(&reply(Vec::new()), false)
    };
    let answer = answer_from_wire(wire, None).unwrap();
    assert_eq!(answer.incomplete, [Incomplete::Busy].into());
    assert_eq!(answer.retry_after, Some(crate::limits::MAX_RETRY_AFTER));
}

#[test]
fn texts_are_cut_between_characters() {
    assert_eq!(cut("aß", 3), "aß");
    assert_eq!(cut("aß", 2), "a");
    assert_eq!(cut("ß", 1), "");
    assert_eq!(cut("", 5), "");
}

#[test]
fn every_refusal_has_its_status() {
    let second = Duration::from_secs(1);
    let remote = "10.0.0.9:1".parse().unwrap();
    let (origin, other) = (peer(1), peer(2));
    let cases: Vec<(Refusal, Code, bool)> = vec![
        (InvalidTrace::PathTooLong { got: 256 }.into(), Code::InvalidArgument, false),
        (
            InvalidTrace::LastHopNotCaller { last: origin, caller: other }.into(),
            Code::PermissionDenied,
            false,
        ),
        (InvalidTrace::AnonymousCaller.into(), Code::Unauthenticated, false),
        (InvalidTrace::OtherKey { origin, key_of: other }.into(), Code::InvalidArgument, false),
        (
            InvalidTrace::Signature { origin, request_id: RequestId::new([1; 16]) }.into(),
            Code::InvalidArgument,
            false,
        ),
        (InvalidMessage::Missing { field: "x" }.into(), Code::InvalidArgument, false),
        (Unauthenticated::Anonymous { remote }.into(), Code::Unauthenticated, false),
        (NotAMember::Denied { peer: origin }.into(), Code::PermissionDenied, false),
        (NotAMember::NotAllowed { peer: origin }.into(), Code::PermissionDenied, false),
        (NotAMember::NothingShown.into(), Code::Unauthenticated, false),
        (NotAMember::OtherToken.into(), Code::Unauthenticated, false),
        (
            Refusal::RateLimited { limit: "total", retry_after: second, rate_per_second: 1.0 },
            Code::ResourceExhausted,
            true,
        ),
        (Refusal::Busy { limit: 1, retry_after: second }, Code::ResourceExhausted, true),
        (Refusal::TooManyStreams { limit: 1, retry_after: second }, Code::ResourceExhausted, true),
        (Refusal::SlowConsumer { behind: 1, retry_after: second }, Code::Aborted, true),
        (Refusal::Draining { retry_after: second }, Code::Unavailable, true),
        (Refusal::DeadlineExceeded { budget: second }, Code::DeadlineExceeded, false),
    ];
    for (refusal, code, retried) in cases {
        let shown = refusal.to_string();
        let status = Status::from(refusal);
        assert_eq!(status.code(), code, "{shown}");
        assert!(status.message().starts_with(&shown), "{status}");
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().domain, "unring");
        let delay = details.retry_info().and_then(|info| info.retry_delay);
        assert_eq!(delay, retried.then_some(second), "{shown}");
    }
}

prop_compose! {
    fn any_trace()(
        origin in 1_u8..50,
        id in any::<[u8; 16]>(),
        issued_at in any::<u64>(),
        hop_limit in any::<u8>(),
        path in vec((1_u8..50, any::<[u8; 16]>()), 0..255),
    ) -> Trace {
        let identity = identity(origin);
        let issued_at = UnixMillis::new(issued_at);
        let mut trace = Trace::start(&identity, RequestId::new(id), issued_at, hop_limit);
        trace.path = path
            .into_iter()
            .map(|(n, stamp)| Hop { peer: peer(n), stamp: Stamp::new(stamp) })
            .collect();
        trace
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn requests_round_trip(
        recursive in any::<bool>(),
        max_peers in 0_usize..2000,
        trace in proptest::option::of(any_trace()),
        seq in proptest::option::of(any::<u64>()),
    ) {
        let request = OutboundRequest {
            scope: if recursive { Scope::Recursive } else { Scope::Local },
            max_peers,
            trace,
            caller_record: seq.map(|seq| record(2, seq)),
        };
        let bytes = request_to_wire(&request).encode_to_vec();
        prop_assert!(bytes.len() <= crate::limits::MAX_REQUEST_BYTES);
        let (read, decode) =
            request_from_wire(pb::ListPeersRequest::decode(bytes.as_slice()).unwrap()).unwrap();
        prop_assert!(!decode);
        prop_assert_eq!(read.scope, request.scope);
        prop_assert_eq!(read.max_peers, request.max_peers.min(1000));
        prop_assert_eq!(read.trace, request.trace);
        let caller_record = read.caller_record.map(|record| record.verify().unwrap());
        prop_assert_eq!(caller_record, request.caller_record);
    }

    #[test]
    fn answers_round_trip(seqs in vec(any::<u64>(), 0..5), millis in 0_u64..3_600_000) {
        let mut reply = reply(seqs.iter().map(|seq| record(1, *seq)).collect());
        reply.answer.retry_after = (millis > 0).then(|| Duration::from_millis(millis));
        let bytes = answer_to_wire(&reply, false).encode_to_vec();
        let wire = pb::ListPeersResponse::decode(bytes.as_slice()).unwrap();
        let read = answer_from_wire(wire, None).unwrap();
        prop_assert_eq!(read.incomplete, reply.answer.incomplete);
        prop_assert_eq!(read.retry_after, reply.answer.retry_after);
        let records: Vec<_> = read.records.iter().map(|record| record.seq()).collect();
        prop_assert_eq!(records, seqs);
    }

    #[test]
    fn garbage_is_read_or_refused_but_never_panics(bytes in vec(any::<u8>(), 0..300)) {
        if let Ok(wire) = pb::ListPeersRequest::decode(bytes.as_slice()) {
            let _ = request_from_wire(wire);
        }
        if let Ok(wire) = pb::ListPeersResponse::decode(bytes.as_slice()) {
            let _ = answer_from_wire(wire, None);
        }
        if let Ok(wire) = pb::WatchPeersRequest::decode(bytes.as_slice()) {
            let _ = open_from_wire(wire.clone());
            let _ = update_from_wire(wire);
        }
        if let Ok(wire) = pb::WatchPeersResponse::decode(bytes.as_slice()) {
            let _ = batch_from_wire(wire, None);
        }
        if let Ok(wire) = pb::GetTopologyResponse::decode(bytes.as_slice()) {
            let _ = topology_from_wire(wire, None);
        }
        let _ = crate::caller::check_proof(&bytes, "a:1", UnixMillis::new(0));
    }

    /// Valid messages with a byte changed get further into the conversions than garbage does.
    #[test]
    fn a_changed_byte_never_panics(position in any::<prop::sample::Index>(), value in any::<u8>()) {
        let request = OutboundRequest {
            scope: Scope::Recursive,
            max_peers: 30,
            trace: Some(trace()),
            caller_record: Some(record(2, 4)),
        };
        let mut bytes = request_to_wire(&request).encode_to_vec();
        let index = position.index(bytes.len());
        bytes[index] = value;
        if let Ok(wire) = pb::ListPeersRequest::decode(bytes.as_slice()) {
            let _ = request_from_wire(wire);
        }
        let mut bytes = topology_to_wire(&ring_of_three()).encode_to_vec();
        let index = position.index(bytes.len());
        bytes[index] = value;
        if let Ok(wire) = pb::GetTopologyResponse::decode(bytes.as_slice()) {
            let _ = topology_from_wire(wire, None);
        }
    }
}

#[test]
fn members_without_a_name_stay_without() {
    let mut reply = reply(Vec::new());
    reply.names = BTreeMap::new();
    let wire = answer_to_wire(&reply, false);
    assert!(wire.rings[0].members.iter().all(|member| member.name.is_empty()));
}
