use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::{Identity, NodeRecord, UnixMillis};

fn token(text: &str) -> JoinToken {
    JoinToken::parse(text).unwrap()
}

fn ring(tokens: &[&str]) -> Keyring {
    Keyring::new(&tokens.iter().map(|text| token(text)).collect::<Vec<_>>())
}

const OLD: &str = "the-token-before-this-one";
const NEW: &str = "the-token-of-today-12345";

fn member(tokens: &[&str]) -> Membership {
    Membership::new(Some(ring(tokens)), PeerLists::default())
}

fn signed(identity: &Identity) -> SignedRecord {
    let mut record = NodeRecord::new(identity.peer_id(), "node");
    record.seq = 1;
    record.issued_at = UnixMillis::new(1_790_000_000_000);
    record.ttl = Duration::from_secs(1800);
    SignedRecord::sign(identity, record).unwrap()
}

#[test]
fn a_token_is_bounded_and_its_errors_hold_none_of_it() {
    for (text, want) in [
        ("", InvalidToken::TooShort { got: 0 }),
        ("hunter2", InvalidToken::TooShort { got: 7 }),
        ("hunter2 with a space in it", InvalidToken::Character),
        ("hunter2-with-ümlaut-in-it", InvalidToken::Character),
        (&"hunter2".repeat(200), InvalidToken::TooLong { got: 1400 }),
    ] {
        let got = JoinToken::parse(text).unwrap_err();
        assert_eq!(got, want);
        assert!(!format!("{got:?} {got}").contains("hunter2"));
    }
    assert_eq!(token(&format!(" {NEW}\n")).bytes(), NEW.as_bytes());
}

#[test]
fn nothing_of_a_token_is_in_debug_output() {
    let all = format!("{:?} {:?} {:?}", token(NEW), ring(&[NEW]), member(&[NEW]));
    assert!(!all.contains("today") && all.contains("JoinToken(..)"), "{all}");
}

#[test]
fn a_tag_is_of_its_token_and_its_record_alone() {
    let (record, other) = (signed(&Identity::generate()), signed(&Identity::generate()));
    let tagged = member(&[NEW]).tagged(record.clone());
    assert_eq!(tagged.envelope(), record.envelope(), "a tag changes nothing that is signed");
    assert_eq!(member(&[NEW]).check_record(&tagged), Ok(()));
    assert_eq!(member(&[OLD]).check_record(&tagged), Err(NotAMember::OtherToken));
    assert_eq!(member(&[NEW]).check_record(&record), Err(NotAMember::NothingShown));
    let moved = other.with_membership_tag(tagged.membership_tag().clone());
    assert_eq!(member(&[NEW]).check_record(&moved), Err(NotAMember::OtherToken));
    assert_eq!(Membership::default().check_record(&record), Ok(()));
    for at in 0..tagged.membership_tag().len() {
        let mut flipped = tagged.membership_tag().to_vec();
        flipped[at] ^= 1;
        let flipped = record.clone().with_membership_tag(flipped.into());
        assert_eq!(member(&[NEW]).check_record(&flipped), Err(NotAMember::OtherToken), "byte {at}");
    }
    for cut in [1, 31, 33, 96] {
        let tag = Bytes::from(vec![0; cut]);
        let wrong = record.clone().with_membership_tag(tag);
        assert_eq!(member(&[NEW]).check_record(&wrong), Err(NotAMember::OtherToken), "{cut} bytes");
    }
}

#[test]
fn nodes_with_the_old_and_with_the_new_token_understand_who_has_both() {
    let record = signed(&Identity::generate());
    let (old, new, both) = (member(&[OLD]), member(&[NEW]), member(&[NEW, OLD]));
    let by = |maker: &Membership| maker.tagged(record.clone());
    assert_eq!(old.check_record(&by(&both)), Ok(()));
    assert_eq!(new.check_record(&by(&both)), Ok(()));
    assert_eq!(both.check_record(&by(&old)), Ok(()));
    assert_eq!(both.check_record(&by(&new)), Ok(()));
    assert_eq!(old.check_record(&by(&new)), Err(NotAMember::OtherToken));
    assert!(by(&both).membership_tag().len() <= crate::limits::MAX_TAG_BYTES);
    assert_eq!(ring(&["0123456789abcdef"; 9]).tokens(), MAX_TOKENS);
}

#[test]
fn a_proof_is_of_one_peer_and_one_direction() {
    let (me, other) = (Identity::generate().peer_id(), Identity::generate().peer_id());
    let ring = ring(&[NEW]);
    let proof = ring.caller_proof(&me);
    assert_eq!(ring.check_caller(&me, &proof), Ok(()));
    assert_eq!(ring.check_caller(&other, &proof), Err(NotAMember::OtherToken));
    assert_eq!(ring.check_server(&me, &proof), Err(NotAMember::OtherToken));
    assert_eq!(ring.check_server(&me, &ring.server_proof(&me)), Ok(()));
    assert_eq!(ring.check_caller(&me, &[]), Err(NotAMember::NothingShown));
    assert_eq!(ring.check_token(NEW.as_bytes()), Ok(()));
    assert_eq!(ring.check_token(OLD.as_bytes()), Err(NotAMember::OtherToken));
    assert_eq!(ring.check_token(&NEW.as_bytes()[1..]), Err(NotAMember::OtherToken));
}

#[test]
fn what_is_shown_is_made_for_one_thing_and_of_whole_macs() {
    let me = Identity::generate().peer_id();
    let ring = ring(&[NEW]);
    let message = me.to_bytes();
    let made = [ring.tag(&message).to_vec(), ring.caller_proof(&me), ring.server_proof(&me)];
    let taken = made.each_ref().map(|shown| {
        let checks = [
            ring.check_tag(&message, shown),
            ring.check_caller(&me, shown),
            ring.check_server(&me, shown),
        ];
        checks.map(|check| check.is_ok())
    });
    assert_eq!(taken, [[true, false, false], [false, true, false], [false, false, true]]);
    let mac = ring.caller_proof(&me);
    for shown in [[&mac[..], &[0]].concat(), [&mac[..], &[0; 64]].concat()] {
        assert_eq!(ring.check_caller(&me, &shown), Err(NotAMember::OtherToken));
    }
    assert_eq!(ring.check_caller(&me, &[[0; 32].to_vec(), mac].concat()), Ok(()));
}

#[test]
fn any_of_several_tokens_counts_and_without_any_nobody_is_a_member() {
    let several = ring(&[NEW, OLD, "a-third-token-for-all"]);
    for text in [NEW, OLD, "a-third-token-for-all"] {
        assert_eq!(several.check_token(text.as_bytes()), Ok(()));
    }
    let (none, me) = (Keyring::new(&[]), Identity::generate().peer_id());
    let proof = several.caller_proof(&me);
    assert_eq!(none.check_caller(&me, &proof), Err(NotAMember::OtherToken));
    assert_eq!(none.check_token(NEW.as_bytes()), Err(NotAMember::OtherToken));
}

#[test]
fn deny_wins_over_allow_and_an_allow_list_is_all_there_is() {
    let peers = [(); 3].map(|()| Identity::generate().peer_id());
    let lists = |allow: &[PeerId], deny: &[PeerId]| {
        let lists = PeerLists {
            allow: allow.iter().copied().collect(),
            deny: deny.iter().copied().collect(),
        };
        Membership::new(None, lists)
    };
    let [a, b, c] = peers;
    assert_eq!(lists(&[], &[a]).check_peer(&b), Ok(()));
    assert_eq!(lists(&[], &[a]).check_peer(&a), Err(NotAMember::Denied { peer: a }));
    assert_eq!(lists(&[a, b], &[a]).check_peer(&a), Err(NotAMember::Denied { peer: a }));
    assert_eq!(lists(&[a, b], &[a]).check_peer(&b), Ok(()));
    assert_eq!(lists(&[a, b], &[a]).check_peer(&c), Err(NotAMember::NotAllowed { peer: c }));
    let denied = Identity::generate();
    let record = signed(&denied);
    let why = NotAMember::Denied { peer: denied.peer_id() };
    assert_eq!(lists(&[], &[denied.peer_id()]).check_record(&record), Err(why));
    let tag = record.membership_tag().clone();
    let unverified = UnverifiedRecord::decode(record.envelope().clone(), tag).unwrap();
    assert_eq!(lists(&[], &[denied.peer_id()]).check_unverified(&unverified), Err(why));
    assert_eq!(member(&[NEW]).check_unverified(&unverified), Err(NotAMember::NothingShown));
    assert_eq!(lists(&[], &[]).check_unverified(&unverified), Ok(()));
}
