//! Who belongs to the cluster, and what is kept of those who do not.

use unring_peer::{Identity, JoinToken, Keyring, Membership, PeerId, PeerLists, SignedRecord};

use super::support::*;
use crate::config::MEMBERS_SPREAD;
use crate::{Action, StreamEnd};

const TOKEN: &str = "the-token-of-this-cluster";
const NEXT: &str = "the-token-of-the-next-year";

fn by(tokens: &[&str]) -> Membership {
    let tokens: Vec<_> = tokens.iter().map(|text| JoinToken::parse(text).unwrap()).collect();
    Membership::new(Some(Keyring::new(&tokens)), PeerLists::default())
}

fn denying(peer: PeerId) -> Membership {
    Membership::new(None, PeerLists { deny: [peer].into(), ..PeerLists::default() })
}

fn node(tokens: &[&str]) -> Harness {
    let mut node = Harness::new(&[]);
    node.engine.set_membership(node.now, by(tokens));
    node
}

fn tagged(identity: &Identity, seq: u64, tokens: &[&str]) -> SignedRecord {
    by(tokens).tagged(record(identity, seq))
}

#[test]
fn only_records_with_the_tokens_tag_are_kept_and_no_signature_is_paid_for_others() {
    let [member, stranger, other] = [(); 3].map(|()| Identity::generate());
    let mut node = node(&[TOKEN]);
    let stream = node.watcher(&member, &tagged(&member, 1, &[TOKEN]));
    let paid = node.verified.records.get();
    node.stream_records(stream, &[record(&stranger, 1), tagged(&other, 1, &[NEXT])], true);
    assert_eq!(node.known(), [(member.peer_id(), 1)].into());
    assert_eq!(node.verified.records.get(), paid);
    let counters = node.engine.counters();
    assert_eq!((counters.records_without_tag, counters.records_wrong_tag), (1, 1));
}

#[test]
fn our_own_record_is_tagged_anew_when_the_token_changes() {
    let mut node = node(&[TOKEN]);
    let own = |node: &mut Harness| {
        node.persist();
        node.engine.own_record().cloned().unwrap()
    };
    let before = own(&mut node);
    assert_eq!(by(&[TOKEN]).check_record(&before), Ok(()));
    node.engine.set_membership(node.now, by(&[NEXT, TOKEN]));
    let after = own(&mut node);
    assert!(after.record().seq > before.record().seq, "an old version with a new tag is no news");
    assert_eq!(by(&[TOKEN]).check_record(&after), Ok(()));
    assert_eq!(by(&[NEXT]).check_record(&after), Ok(()));
}

#[test]
fn who_does_not_belong_any_more_leaves_with_its_streams() {
    let [stays, goes] = [(); 2].map(|()| Identity::generate());
    let mut node = Harness::new(&[]);
    node.watcher(&stays, &record(&stays, 1));
    let stream = node.watcher(&goes, &record(&goes, 1));
    let _before = node.actions();
    node.engine.set_membership(node.now, denying(goes.peer_id()));
    assert_eq!(node.known(), [(stays.peer_id(), 1)].into());
    let closed = node.actions().into_iter().find_map(|action| match action {
        Action::CloseStream { stream, end } => Some((stream, end)),
        _ => None,
    });
    assert_eq!(closed, Some((stream, StreamEnd::NotAMember)));
    assert_eq!(node.engine.counters().records_denied, 1);
    // It may come back, which nobody but a grave could keep it from.
    node.engine.set_membership(node.now, Membership::default());
    node.watcher(&goes, &record(&goes, 1));
    assert_eq!(node.known().len(), 2);
}

#[test]
fn a_token_that_is_set_leaves_nothing_untagged_in_the_book_nor_on_disk() {
    let [member, stranger] = [(); 2].map(|()| Identity::generate());
    let mut node = Harness::new(&[]);
    node.watcher(&stranger, &record(&stranger, 1));
    node.watcher(&member, &tagged(&member, 1, &[TOKEN]));
    node.engine.set_membership(node.now, by(&[TOKEN]));
    assert_eq!(node.known(), [(member.peer_id(), 1)].into());
    let again = [unverified(&record(&stranger, 2)), unverified(&tagged(&member, 2, &[TOKEN]))];
    let restored = node.engine.restore_book(node.now, again.into());
    assert_eq!((restored.kept, restored.not_members, restored.skipped()), (1, 1, 1));
}

#[test]
fn upstreams_are_asked_anew_when_it_changes_who_belongs() {
    let [upstream, other] = [(); 2].map(|()| Identity::generate());
    let mut node = Harness::with(&["a"], |_| {});
    node.engine.set_membership(node.now, by(&[TOKEN]));
    let stream = node.open_stream(&upstream);
    let both = [NEXT, TOKEN];
    let records = [tagged(&upstream, 1, &both), tagged(&other, 1, &[NEXT])];
    node.stream_records(stream, &records, true);
    assert_eq!(node.known(), [(upstream.peer_id(), 1)].into());
    // It has to show again that it belongs, and tells again what was refused.
    node.engine.set_membership(node.now, by(&[NEXT]));
    let closed =
        |action: &Action| matches!(action, Action::CloseStream { stream: on, .. } if *on == stream);
    assert!(node.actions().iter().any(closed));
    assert!(pushed(&node.run(millis(1)), stream).is_empty());
    let actions = node.run(MEMBERS_SPREAD);
    let resumes: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::OpenStream { resume, .. } => Some(resume.is_some()),
            _ => None,
        })
        .collect();
    assert_eq!(resumes, [false]);
}

#[test]
fn a_tag_that_a_relay_damaged_is_mended_by_the_next_that_brings_a_whole_one() {
    let [member, liar, honest] = [(); 3].map(|()| Identity::generate());
    let mut node = node(&[TOKEN, NEXT]);
    let whole = tagged(&member, 1, &[TOKEN, NEXT]);
    let mut damaged = whole.membership_tag().to_vec();
    damaged[32..].fill(0);
    let damaged = whole.clone().with_membership_tag(damaged.into());
    let from =
        |node: &mut Harness, who: &Identity| node.watcher(who, &tagged(who, 1, &[TOKEN, NEXT]));
    let (liar, honest) = (from(&mut node, &liar), from(&mut node, &honest));
    let kept = |node: &Harness| {
        let peers = node.engine.peers(node.now).into_iter();
        let mut of_member = peers.filter(|view| view.record.record().peer_id == member.peer_id());
        of_member.next().unwrap().record.membership_tag().clone()
    };
    node.stream_records(liar, std::slice::from_ref(&damaged), true);
    assert_eq!(kept(&node), *damaged.membership_tag(), "one part is enough to belong");
    let paid = node.verified.records.get();
    node.stream_records(honest, std::slice::from_ref(&whole), true);
    assert_eq!(kept(&node), *whole.membership_tag());
    // And not back again.
    node.stream_records(liar, std::slice::from_ref(&damaged), true);
    assert_eq!(kept(&node), *whole.membership_tag());
    assert_eq!(node.verified.records.get(), paid, "what is signed is known to be");
}
