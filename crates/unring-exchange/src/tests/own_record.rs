//! Our own record: when it is signed, and what becomes of those that we did not sign.

use std::time::Duration;

use unring_peer::{Identity, Membership, PeerAddress, UnixMillis};

use super::support::*;
use crate::config::{CLONE_PAUSE, CLONE_WINDOW, MAX_PERSIST_WAIT, SEQ_RESERVE};
use crate::{Action, Batch, Config, Engine, Notice, Now, Origin, Request, Signatures};

fn notices(actions: &[Action]) -> Vec<Notice> {
    let notices = actions.iter().filter_map(|action| match action {
        Action::Notice(notice) => Some(notice.clone()),
        _ => None,
    });
    notices.collect()
}

/// Shows the node a record of its own with this `seq`, as a caller does who has kept it.
fn show(node: &mut Harness, me: &Identity, seq: u64) -> Vec<Action> {
    let stream = node.engine.on_watcher(node.now, None, None, None).expect("there is room");
    let foreign = record_with(me, seq, |record| record.name = "other".to_owned());
    node.stream_records(stream, &[foreign], false);
    let actions = node.actions();
    node.engine.on_stream_closed(node.now, stream, &crate::CallFailure::new("over"));
    actions
}

fn node(me: &Identity, last_seq: u64) -> Harness {
    Harness::with_identity(me.clone(), last_seq, &[], |config| config.refresh = false)
}

#[test]
fn the_seq_is_the_time_or_one_more_than_on_disk() {
    let me = Identity::generate();
    assert_eq!(node(&me, 0).own_seq(), EPOCH.get());
    assert_eq!(node(&me, EPOCH.get() - 1).own_seq(), EPOCH.get());
    assert_eq!(node(&me, EPOCH.get() + 77).own_seq(), EPOCH.get() + 78);
}

#[test]
fn it_is_signed_for_news_and_at_a_third_of_its_ttl() {
    let peer = Identity::generate();
    let mut node = Harness::with(&["a"], |_| {});
    let ttl = node.engine.own_record().expect("signed").record().ttl;
    let mut signed_at = node.now;
    let stream = node.open_stream(&peer);
    assert_eq!(node.signings_in(|node| node.actions()), 1, "the address leads somewhere");
    let closed = crate::CallFailure::new("over");
    node.engine.on_stream_closed(node.now, stream, &closed);
    let addresses: Vec<PeerAddress> = vec!["/ip4/10.0.0.1/tcp/1".parse().expect("an address")];
    for round in 0..3 {
        node.engine.set_addresses(node.now, addresses.clone(), None);
        let expected = u64::from(round == 0);
        if round == 0 {
            signed_at = node.now;
        }
        assert_eq!(node.signings_in(|node| node.actions()), expected, "round {round}");
    }
    let stream = node.open_stream(&peer);
    let (_, calls) = node.forwarded(None, recursive(None));
    node.call_done(calls[0].call, &peer, &[]);
    node.engine.set_upstreams(node.now, configured(&["a"]));
    assert_eq!(node.signings_in(|node| node.actions()), 0, "a refresh alone says nothing new");

    let third = ttl / 3 - (node.now.mono - signed_at.mono);
    assert_eq!(node.signings_in(|node| node.run(third - millis(1))), 0);
    let actions = node.run(millis(1 + 200));
    assert_eq!(node.signings(), 1);
    assert_eq!(pushed(&actions, stream).len(), 0, "not before the upstream has told what it knows");
    node.stream_records(stream, &[], true);
    let pushes = pushed(&node.run(seconds(1)), stream);
    assert_eq!(pushes, [(node.me(), node.own_seq())]);
    assert_eq!(node.signings_in(|node| node.run(ttl)), 3);
}

#[test]
fn a_step_of_the_wall_clock_is_followed() {
    let me = Identity::generate();
    let ttl = seconds(30 * 60);
    // Ahead, as after a suspension: for everybody else the record is older than this process has run.
    for (ahead, signed) in [(ttl / 3 - seconds(2), false), (ttl / 3, true), (DAY, true)] {
        let mut node = node(&me, 0);
        node.run(seconds(1));
        node.now.unix = node.now.unix.saturating_add(ahead);
        assert_eq!(node.signings_in(|node| node.run(millis(1))), u64::from(signed), "{ahead:?}");
        assert_eq!(
            node.signings_in(|node| node.run(ttl / 3 - seconds(3))),
            u64::from(!signed),
            "{ahead:?}"
        );
    }
    // Back: the record is from a future that nobody believes.
    for (minutes, signed) in [(4, false), (6, true), (24 * 60, true)] {
        let mut node = node(&me, 0);
        node.run(seconds(1));
        let back = minutes * 60 * 1000;
        node.now.unix = UnixMillis::new(node.now.unix.get() - back);
        let before = node.own_seq();
        assert_eq!(
            node.signings_in(|node| node.run(seconds(60))),
            u64::from(signed),
            "{minutes} minutes"
        );
        let own = node.engine.own_record().expect("signed").record();
        assert_eq!(own.seq, before + u64::from(signed), "it goes on from what others have seen");
        assert!(own.issued_at <= node.now.unix.saturating_add(seconds(5 * 60)));
    }
}

#[test]
fn a_lost_database_is_made_up_for() {
    let me = Identity::generate();
    let mut node = node(&me, 0);
    let ahead = EPOCH.get() + 1_000_000;
    let actions = show(&mut node, &me, ahead);
    assert_eq!(node.own_seq(), ahead + 1);
    assert_eq!(node.persisted, ahead + 1 + SEQ_RESERVE);
    assert_eq!(notices(&actions), [Notice::SeqAdopted { seq: ahead + 1 }]);
    // What is older or our own costs nothing and changes nothing.
    let verified = node.verified.records.get();
    for seq in [0, 1, EPOCH.get(), ahead] {
        assert!(show(&mut node, &me, seq).is_empty());
    }
    let own = node.engine.own_record().expect("signed").clone();
    node.watcher(&me, &own);
    assert_eq!(node.verified.records.get(), verified);
    assert_eq!(node.own_seq(), ahead + 1);
    assert_eq!(node.engine.peers_known(), 0, "we are no peer of ours");
}

#[test]
fn a_record_as_new_as_ours_with_other_content_is_gone_past() {
    let me = Identity::generate();
    let mut node = node(&me, 0);
    show(&mut node, &me, EPOCH.get());
    assert_eq!(node.own_seq(), EPOCH.get() + 1);
}

#[test]
fn nobody_else_can_raise_our_seq() {
    let me = Identity::generate();
    let mut node = node(&me, 0);
    let caller = Identity::generate();
    let stream = node.watcher(&caller, &record(&caller, 1));
    let mut envelope = record(&me, u64::MAX).envelope().to_vec();
    *envelope.last_mut().expect("not empty") ^= 1;
    let forged = unring_peer::UnverifiedRecord::decode(envelope.into(), bytes::Bytes::new());
    let forged = forged.expect("it can be read");
    let forged = Batch { records: vec![forged], ..Batch::default() };
    node.engine.on_stream_records(node.now, stream, forged, 0);
    assert_eq!(node.own_seq(), EPOCH.get());
    assert_eq!(node.engine.counters().records_invalid, 1);
}

#[test]
fn a_copied_identity_is_warned_of_once_and_not_fought() {
    let me = Identity::generate();
    let mut node = node(&me, 0);
    let mut warnings = 0;
    let mut bumps = 0;
    let mut other = EPOCH.get();
    // The copy answers each of our records with a newer one, for ten minutes.
    let end = node.now.mono + CLONE_PAUSE;
    while node.now.mono < end {
        node.run(seconds(1));
        other = other.max(node.own_seq()) + 1;
        for notice in notices(&show(&mut node, &me, other)) {
            match notice {
                Notice::ClonedIdentity { name, .. } => {
                    assert_eq!(name, "other");
                    warnings += 1;
                }
                Notice::SeqAdopted { .. } => bumps += 1,
                Notice::OwnRecordInvalid { reason } => panic!("{reason}"),
            }
        }
    }
    assert_eq!((warnings, bumps), (1, 1));
    // It is still there after the pause: it is said again.
    let again = [seconds(2), seconds(2)].map(|pause| {
        node.run(pause);
        other = other.max(node.own_seq()) + 1;
        notices(&show(&mut node, &me, other)).len()
    });
    assert_eq!(again, [1, 1]);
}

#[test]
fn copies_that_came_to_the_same_seq_hear_of_each_other() {
    let (copied, third) = (Identity::generate(), Identity::generate());
    let mut hub = Harness::with(&[], |_| {});
    let first = hub.watcher(&copied, &record(&copied, 5));
    assert_eq!(pushed(&hub.run(millis(1)), first), [(hub.me(), hub.own_seq())]);
    let other = record_with(&copied, 5, |record| record.name = "copy".to_owned());
    let second = hub.watcher(&copied, &other);
    let own = (hub.me(), hub.own_seq());
    assert_eq!(pushed(&hub.run(millis(1)), second), [(copied.peer_id(), 5), own]);
    // Only whoever signs can go past it. Two who merely keep different ones would go on telling each other.
    let third = hub.watcher(&third, &record(&third, 1));
    hub.run(seconds(1));
    hub.stream_records(third, std::slice::from_ref(&other), false);
    let actions = hub.run(seconds(1));
    assert!([first, second, third].iter().all(|stream| pushed(&actions, *stream).is_empty()));
    hub.stream_records(second, &[other, record(&copied, 5)], false);
    assert_eq!(pushed(&hub.run(seconds(1)), second), [(copied.peer_id(), 5)], "once for a batch");
}

#[test]
fn bumps_that_are_far_apart_are_no_duel() {
    let me = Identity::generate();
    let mut node = node(&me, 0);
    for round in 1..=10 {
        let ahead = node.own_seq() + 1_000_000;
        let adopted = Notice::SeqAdopted { seq: ahead + 1 };
        assert_eq!(notices(&show(&mut node, &me, ahead)), [adopted], "round {round}");
        node.run(CLONE_WINDOW);
    }
}

#[test]
fn the_seq_is_on_disk_before_an_answer_tells_it() {
    let (me, caller) = (Identity::generate(), Identity::generate());
    let mut node = node(&me, 0);
    node.disk_hangs = true;
    let ask = |node: &mut Harness, seq| {
        let caller_record = Some(unverified(&record(&me, seq)));
        let request = Request { caller_record, ..local() };
        let answer = node.answered(Some(caller.peer_id()), request);
        answer.records.shared().records()[0].record().seq
    };
    let ahead = EPOCH.get() + 5 * SEQ_RESERVE;
    // The answer does not wait for the disk: it holds the record before.
    assert_eq!(ask(&mut node, ahead), EPOCH.get());
    node.actions();
    assert_eq!(node.asked_to_persist, ahead + 1 + SEQ_RESERVE);
    assert_eq!(ask(&mut node, ahead + 1), EPOCH.get(), "the held one is ours");
    node.engine.on_seq_persisted(node.now, ahead);
    assert_eq!(node.own_seq(), EPOCH.get(), "that was another seq");
    node.disk_hangs = false;
    node.actions();
    assert_eq!(ask(&mut node, 0), ahead + 1);
}

/// Makes the node say something new.
fn move_to(node: &mut Harness, port: u64) {
    let address = format!("/ip4/10.0.0.1/tcp/{port}").parse().expect("an address");
    node.engine.set_addresses(node.now, vec![address], None);
}

#[test]
fn news_do_not_wait_for_the_disk_and_the_disk_is_seldom_asked() {
    let mut node = node(&Identity::generate(), 0);
    let asked = |node: &mut Harness, news: u64| {
        let first = node.own_seq();
        let mut asked = 0;
        for port in 1..=news {
            move_to(node, port);
            assert_eq!(node.own_seq(), first + port, "shown at once");
            let actions = node.actions();
            let asks = |action: &&Action| matches!(action, Action::PersistSeq { .. });
            asked += actions.iter().filter(asks).count();
        }
        asked
    };
    assert_eq!(asked(&mut node, 3 * SEQ_RESERVE / 2), 2);
    // Not even for one that hangs, for as long as the reserve lasts.
    node.disk_hangs = true;
    asked(&mut node, SEQ_RESERVE / 2 - 1);
}

#[test]
fn a_crash_goes_on_above_all_that_was_reserved() {
    let me = Identity::generate();
    let mut crashing = node(&me, 0);
    for port in 1..10 {
        move_to(&mut crashing, port);
        crashing.actions();
    }
    assert_eq!(crashing.persisted, EPOCH.get() + SEQ_RESERVE);
    let after = node(&me, crashing.persisted);
    assert_eq!(after.own_seq(), EPOCH.get() + SEQ_RESERVE + 1);
}

#[test]
fn a_disk_that_hangs_holds_a_record_back_for_five_seconds_and_nothing_else() {
    let me = Identity::generate();
    let mut node = Harness::with_identity(me.clone(), 0, &["a"], |_| {});
    let watcher = Identity::generate();
    let stream = node.watcher(&watcher, &record(&watcher, 1));
    node.run(millis(10));
    node.disk_hangs = true;
    let ahead = EPOCH.get() + 5 * SEQ_RESERVE;
    show(&mut node, &me, ahead);
    // What others say goes on.
    let other = Identity::generate();
    node.stream_records(stream, &[record(&other, 1)], false);
    assert_eq!(node.answered(None, local()).records.len(), 3);
    assert!(pushed(&node.run(seconds(3)), stream).is_empty(), "nothing of ours");
    // A newer one does not start the wait anew.
    move_to(&mut node, 1);
    let pushes = pushed(&node.run(seconds(2)), stream);
    assert_eq!(node.engine.counters().seqs_unpersisted, 1);
    assert!(node.own_seq() > ahead + 1);
    assert_eq!(pushes, [(node.me(), node.own_seq())]);
    // The disk comes back late: nothing is left to do.
    node.disk_hangs = false;
    assert_eq!(node.run(seconds(1)).len(), 0);
}

#[test]
fn a_node_that_starts_says_nothing_before_its_first_seq_is_on_disk() {
    let now = Now { mono: seconds(1), unix: EPOCH };
    let me = Identity::generate();
    let origin = Origin {
        identity: me,
        last_seq: 0,
        addresses: Vec::new(),
        grpc_url: None,
        membership: Membership::default(),
    };
    let mut engine = Engine::new(now, Config::new("me", [7; 32]), origin, Signatures);
    engine.set_upstreams(now, configured(&["a"]));
    let persist = |action: &Action| matches!(action, Action::PersistSeq { .. });
    let after = |past: Duration| Now { mono: now.mono + past, unix: EPOCH.saturating_add(past) };
    engine.on_timer(after(seconds(1)));
    assert!(engine.own_record().is_none());
    assert!(engine.take_actions().iter().all(persist));
    assert_eq!(engine.next_timer(after(seconds(1))), Some(now.mono + MAX_PERSIST_WAIT));
    engine.on_seq_persisted(after(seconds(2)), u64::MAX);
    engine.on_timer(after(seconds(2)));
    assert_eq!(opened(&engine.take_actions()).len(), 1);
}

#[test]
fn a_record_that_cannot_be_signed_is_said_once() {
    let peer = Identity::generate();
    let mut node = Harness::with(&[], |_| {});
    let before = node.own_seq();
    let many: Vec<_> = (0..33).map(|number| format!("upstream-{number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    node.engine.set_upstreams(node.now, configured(&many));
    assert_eq!(notices(&node.actions()).len(), 1);
    node.watcher(&peer, &record(&peer, 1));
    assert_eq!(notices(&node.run(seconds(3600))), []);
    assert_eq!(node.own_seq(), before, "the last good one stays, and no seq is used up");
    node.engine.set_upstreams(node.now, configured(&["a"]));
    node.actions();
    assert!(node.own_seq() > before);

    // One that never could be signed: the node answers all the same, and its timer rests.
    let mut node = Harness::with(&["a"], |config| config.name = "x".repeat(64));
    assert!(node.engine.own_record().is_none());
    node.watcher(&peer, &record(&peer, 1));
    assert!(opened(&node.run(seconds(3600))).is_empty());
    assert_eq!(node.answered(Some(peer.peer_id()), local()).responder, node.me());
}
