use std::collections::BTreeSet;
use std::time::Duration;

use super::world::{OWN, World, at, ms, named, someone};
use crate::limits::{
    ALONE_AFTER, ASK_LIMIT, ATTEMPT_LIMIT, BACKOFF_MAX, MAX_FOUND, MAX_SOURCES, QUIET, REFRESH,
    STABLE_AFTER,
};
use crate::{Action, Activity, Answer, Attempt, Candidate, Kind, Outcome};

#[test]
fn all_are_asked_at_once_and_a_silent_one_holds_up_nobody() {
    let mut world = World::new(&[Kind::Dns, Kind::Http, Kind::Static]);
    let silent = |source| (source != 0).then(|| Err("refused".to_owned()));
    world.run(ms(2000), silent, |_| None);
    let first: Vec<_> = world.asked.iter().take(3).copied().collect();
    assert_eq!(first, [(ms(0), 0), (ms(0), 1), (ms(0), 2)]);
    let count = |source| world.asked.iter().filter(|(_, asked)| *asked == source).count();
    assert_eq!(count(0), 1);
    assert!(count(1) > 4 && count(2) > 4, "{:?}", world.asked);
    assert!(!world.table.all_tried());
    world.run(ASK_LIMIT, silent, |_| None);
    assert!(world.table.all_tried());
    let outcome = (Outcome::TimedOut, 0, 0, Some("no answer within 10s".to_owned()));
    assert_eq!(world.last(), outcome);
}

#[test]
fn the_wait_doubles_from_50_ms_to_10_s_while_nobody_is_connected() {
    let mut world = World::new(&[Kind::Http]);
    world.run(Duration::from_secs(120), |_| Some(Err("down".to_owned())), |_| None);
    let gaps: Vec<_> = world.asked.windows(2).map(|two| two[1].0 - two[0].0).collect();
    for (failures, gap) in gaps.iter().enumerate() {
        let full = ms(50).saturating_mul(1 << failures.min(20)).min(BACKOFF_MAX);
        let half = (full / 2).max(ms(50));
        assert!(
            (half..=full).contains(gap),
            "wait {failures}: {gap:?} is not in {half:?}..={full:?}"
        );
    }
    assert!(gaps.len() > 15, "{gaps:?}");
    assert_ne!(gaps[10], gaps[11], "nodes that start together drift apart");
    let counts = world.table.view(0).unwrap().counts;
    assert_eq!(counts.of(Outcome::Failed), counts.total());
    assert_eq!(counts.total(), world.asked.len() as u64);
}

#[test]
fn with_somebody_connected_it_is_calm_and_after_the_loss_quick_again() {
    let mut world = World::new(&[Kind::Http, Kind::Dns]);
    let down = |_| Some(Err("down".to_owned()));
    world.run(ms(10_000), down, |_| None);
    let before = world.asked.len();
    world.table.set_connected(world.now, [someone()].into());
    let calm = world.now + REFRESH * 2;
    world.run(calm, down, |_| None);
    let asked: Vec<_> = world.asked.split_off(before);
    assert!((4..=5).contains(&asked.len()), "two sources, twice each: {asked:?}");
    assert!(asked[0].0 >= ms(10_000) + REFRESH / 10 * 9, "{asked:?}");
    assert_ne!(asked[0].0, asked[1].0, "nodes that start together drift apart");
    world.table.set_connected(world.now, BTreeSet::new());
    let lost = world.now;
    world.asked.clear();
    world.run(lost + ms(1000), down, |_| None);
    assert!(world.asked[0].0 <= lost + ms(50), "{:?} after {lost:?}", world.asked);
    assert!(world.asked.len() > 6, "{:?}", world.asked);
}

#[test]
fn a_peer_that_hangs_up_at_once_does_not_begin_the_back_off_anew() {
    let mut world = World::new(&[Kind::Http]);
    let down = |_| Some(Err("down".to_owned()));
    world.run(Duration::from_secs(60), down, |_| None);
    let before = world.asked.len();
    for _ in 0..100 {
        world.table.set_connected(world.now, [someone()].into());
        world.run(world.now + ms(50), down, |_| None);
        world.table.set_connected(world.now, BTreeSet::new());
        world.run(world.now + ms(50), down, |_| None);
    }
    assert!(world.asked.len() - before <= 4, "{:?}", &world.asked[before..]);
}

#[test]
fn a_peer_that_hangs_up_is_not_asked_for_without_end() {
    let (mut world, peer) = (World::new(&[Kind::Dns]), someone());
    let there = at("/ip4/10.0.0.1/tcp/1");
    let mut asked = 0;
    while world.now < Duration::from_secs(60) {
        world.table.on_timer(world.now);
        for action in world.table.take_actions() {
            let Action::Ask(attempt) = action else { continue };
            asked += 1;
            world.table.answered(world.now, attempt, Ok(vec![there.clone()]));
            // The connection is seen before the dial is told to have succeeded, and does not last.
            world.table.set_connected(world.now, [peer].into());
            world.table.dialled(world.now, attempt, &there, Answer::Peer(peer));
            world.table.set_connected(world.now + ms(1), BTreeSet::new());
        }
        world.now += ms(10);
    }
    assert!(asked < 20, "{asked}");
}

#[test]
fn what_was_found_is_dialled_and_who_answers_is_kept() {
    let mut world = World::new(&[Kind::Dns]);
    let attempt = world.ask();
    let peer = someone();
    let (here, there) = (at("/ip4/10.0.0.1/tcp/1"), at("/ip4/10.0.0.2/tcp/1"));
    world.table.answered(ms(1), attempt, Ok(vec![here.clone(), there.clone(), here.clone()]));
    let dials = vec![Action::Dial(attempt, here.clone()), Action::Dial(attempt, there.clone())];
    assert_eq!(world.table.take_actions(), dials);
    assert_eq!(world.table.view(0).unwrap().activity, Activity::Dialling);
    world.table.dialled(ms(2), attempt, &there, Answer::Nobody("refused".to_owned()));
    world.table.dialled(ms(3), attempt, &here, Answer::Peer(peer));
    assert_eq!(world.last(), (Outcome::Ok, 2, 1, Some("refused".to_owned())));
    let found = world.table.peers();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [(peer, [here.address].into())]);
    assert!(world.table.take_actions().contains(&Action::PeersChanged));
}

#[test]
fn a_node_is_not_its_own_first_peer() {
    let mut world = World::new(&[Kind::Dns]);
    let attempt = world.ask();
    let own = vec![
        at(OWN),
        named("/ip4/10.0.0.1/tcp/1", world.me),
        // An identity that this node had before.
        named(OWN, someone()),
    ];
    world.table.answered(ms(1), attempt, Ok(own));
    assert_eq!(world.last(), (Outcome::OnlySelf, 0, 0, None));
    // One that only shows itself when it is dialled.
    world.now = ms(1000);
    let attempt = world.ask();
    let hidden = at("/ip4/10.0.0.3/tcp/1");
    world.table.answered(ms(1001), attempt, Ok(vec![hidden.clone()]));
    world.table.dialled(ms(1002), attempt, &hidden, Answer::Myself);
    assert_eq!(world.last(), (Outcome::OnlySelf, 0, 0, None));
    assert!(world.table.peers().is_empty());
}

#[test]
fn an_attempt_that_takes_too_long_is_given_up_and_what_comes_late_is_kept() {
    let mut world = World::new(&[Kind::Http]);
    let attempt = world.ask();
    let (here, peer) = (at("/ip4/10.0.0.1/tcp/1"), someone());
    world.table.answered(ms(1), attempt, Ok(vec![here.clone()]));
    world.table.take_actions();
    world.now = ATTEMPT_LIMIT;
    world.table.on_timer(world.now);
    let late = Some("not all dials ended in time".to_owned());
    assert_eq!(world.last(), (Outcome::Unreachable, 1, 0, late));
    world.table.dialled(world.now, attempt, &here, Answer::Peer(peer));
    assert!(world.table.peers().contains_key(&peer));
    // Neither an answer to an attempt that is over, nor one to a source that there is not.
    let counts = world.table.view(0).unwrap().counts;
    world.table.answered(world.now, attempt, Ok(vec![]));
    let nobody = Attempt { source: 9, ..attempt };
    world.table.answered(world.now, nobody, Ok(vec![]));
    world.table.dialled(world.now, nobody, &here, Answer::Myself);
    assert_eq!(world.table.view(0).unwrap().counts, counts);
}

#[test]
fn a_named_peer_is_kept_though_it_does_not_answer_and_goes_with_its_address() {
    let mut world = World::new(&[Kind::Static]);
    let (one, two) = (someone(), someone());
    let first = named("/ip4/10.0.0.1/tcp/1", one);
    let second = named("/ip4/10.0.0.2/tcp/1", two);
    let told = vec![first.clone(), second.clone(), at("/ip4/10.0.0.3/tcp/1")];
    let mut answers = vec![vec![second.clone()], vec![], told];
    let mut last = Vec::new();
    for round in 1..=3 {
        let next = answers.pop();
        world.run(
            Duration::from_secs(20 * round),
            |_| next.clone().map(Ok),
            |_| Some(Answer::Nobody("refused".to_owned())),
        );
        last.push(world.table.peers().into_keys().collect::<BTreeSet<_>>());
    }
    // Twenty seconds of answers that name nobody are more than two in a row.
    assert_eq!(last, [[one, two].into(), BTreeSet::new(), [two].into()]);
}

#[test]
fn a_peer_that_is_there_is_not_dialled_again() {
    let mut world = World::new(&[Kind::Dns]);
    let (here, peer) = (at("/ip4/10.0.0.1/tcp/1"), someone());
    let attempt = world.ask();
    world.table.answered(ms(1), attempt, Ok(vec![here.clone()]));
    world.table.take_actions();
    world.table.dialled(ms(2), attempt, &here, Answer::Peer(peer));
    world.table.set_connected(ms(3), [peer].into());
    world.now = REFRESH * 2;
    let attempt = world.ask();
    world.table.answered(world.now, attempt, Ok(vec![here.clone()]));
    assert_eq!(world.table.take_actions(), []);
    assert_eq!(world.last(), (Outcome::Ok, 1, 1, None));
}

#[test]
fn an_address_that_leads_to_another_peer_each_time_does_not_add_up() {
    let mut world = World::new(&[Kind::Dns]);
    let vip = at("/ip4/10.0.0.1/tcp/1");
    let answer = |_| Some(Ok(vec![vip.clone()]));
    world.run(Duration::from_secs(600), answer, |_| Some(Answer::Peer(someone())));
    assert!(world.asked.len() > 50);
    assert_eq!(world.table.peers().len(), 1);
}

#[test]
fn what_is_too_much_is_left_out() {
    let mut world = World::new(&[Kind::Http]);
    let attempt = world.ask();
    let many: Vec<_> = (1..=250).map(|last| at(&format!("/ip4/10.0.0.{last}/tcp/5872"))).collect();
    world.table.answered(ms(1), attempt, Ok(many));
    assert_eq!(world.table.take_actions().len(), MAX_FOUND);
    let mut world = World::new(&[Kind::Http; MAX_SOURCES]);
    world.table.add(ms(1), Kind::Http, String::new()).unwrap_err();
    let error = "\u{1b}[31mlong \u{e9}".repeat(200);
    world.run(ms(1), |_| Some(Err(error.clone())), |_| None);
    let error = world.last().3.unwrap();
    assert!(error.len() <= crate::limits::MAX_ERROR_BYTES && !error.contains('\u{1b}'), "{error}");
}

#[test]
fn a_source_is_spoken_of_when_it_changes_and_once_a_minute_at_most() {
    let mut world = World::new(&[Kind::Http]);
    world.run(Duration::from_secs(3600), |_| Some(Err("down".to_owned())), |_| None);
    assert_eq!(world.said.len(), 1, "{:?}", world.said);
    assert_eq!(world.said[0].0, ALONE_AFTER, "others may still be starting");
    // It comes and goes with every attempt.
    let mut world = World::new(&[Kind::Http]);
    let mut up = false;
    let answer = |_| {
        up = !up;
        Some(if up { Ok(vec![at(OWN)]) } else { Err("down".to_owned()) })
    };
    world.run(Duration::from_secs(3600), answer, |_| None);
    assert!(world.said.windows(2).all(|two| two[1].0 - two[0].0 >= QUIET), "{:?}", world.said);
    assert!(world.asked.len() > 300);
}

#[test]
fn a_failure_that_is_over_within_seconds_is_not_spoken_of() {
    let mut world = World::new(&[Kind::Dns]);
    let (here, peer) = (at("/ip4/10.0.0.1/tcp/1"), someone());
    world.run(ms(500), |_| Some(Err("down".to_owned())), |_| None);
    world.run(ms(4000), |_| Some(Ok(vec![here.clone()])), |_| Some(Answer::Peer(peer)));
    let last = world.table.view(0).unwrap().last.unwrap();
    assert_eq!((last.outcome, world.said.len()), (Outcome::Ok, 1), "{:?}", world.said);
}

#[test]
fn a_connection_that_lasted_ends_the_back_off_and_no_other_does() {
    for (lasted, soon) in [(STABLE_AFTER, true), (STABLE_AFTER - ms(1), false)] {
        let mut world = World::new(&[Kind::Http]);
        let down = |_| Some(Err("down".to_owned()));
        world.run(Duration::from_secs(120), down, |_| None);
        world.table.set_connected(world.now, [someone()].into());
        world.run(world.now + lasted, |_| None, |_| None);
        world.table.set_connected(world.now, BTreeSet::new());
        let lost = world.now;
        world.asked.clear();
        world.run(lost + ms(50), down, |_| None);
        // What was due before is asked at once either way, and then it is waited for as long as before.
        world.asked.clear();
        world.run(world.now + ms(1000), down, |_| None);
        assert_eq!(world.asked.len() > 2, soon, "{lasted:?}: {:?}", world.asked);
    }
}

#[test]
fn who_comes_and_goes_puts_no_source_off() {
    let mut world = World::new(&[Kind::Http]);
    let down = |_| Some(Err("down".to_owned()));
    world.run(Duration::from_secs(60), down, |_| None);
    world.asked.clear();
    // Sooner than the wait is over, again and again.
    for _ in 0..60 {
        world.table.set_connected(world.now, [someone()].into());
        world.run(world.now + ms(100), down, |_| None);
        world.table.set_connected(world.now, BTreeSet::new());
        world.run(world.now + ms(1900), down, |_| None);
    }
    assert!((10..=30).contains(&world.asked.len()), "{:?}", world.asked);
}

#[test]
fn a_source_that_was_never_asked_is_asked_though_somebody_is_connected() {
    let mut world = World::new(&[Kind::Http]);
    world.table.set_connected(ms(0), [someone()].into());
    world.ask();
}

#[test]
fn an_address_that_leads_back_here_finds_nobody() {
    let (mut world, peer) = (World::new(&[Kind::Static]), someone());
    let attempt = world.ask();
    // Whoever the configuration says is there.
    let here = named("/ip4/10.0.0.1/tcp/1", peer);
    world.table.answered(ms(1), attempt, Ok(vec![here.clone()]));
    world.table.dialled(ms(2), attempt, &here, Answer::Myself);
    assert_eq!((world.last().0, world.table.peers().len()), (Outcome::OnlySelf, 0));
}

#[test]
fn a_dial_is_of_its_attempt_and_counts_once() {
    let (mut world, peer) = (World::new(&[Kind::Dns]), someone());
    let (here, there) = (at("/ip4/10.0.0.1/tcp/1"), at("/ip4/10.0.0.2/tcp/1"));
    let refused = || Answer::Nobody("refused".to_owned());
    let first = world.ask();
    world.table.answered(ms(1), first, Ok(vec![here.clone()]));
    world.table.take_actions();
    world.now = ATTEMPT_LIMIT;
    world.table.on_timer(world.now);
    world.now += BACKOFF_MAX;
    let second = world.ask();
    world.table.answered(world.now, second, Ok(vec![here.clone(), there.clone()]));
    // The first attempt was given up, and its dial ends only now.
    world.table.dialled(world.now, first, &here, refused());
    for _ in 0..2 {
        world.table.dialled(world.now, second, &here, Answer::Peer(peer));
    }
    world.table.dialled(world.now, second, &there, refused());
    assert_eq!(world.last(), (Outcome::Ok, 2, 1, Some("refused".to_owned())));
}

#[test]
fn what_a_source_points_to_no_more_is_forgotten_at_once() {
    let (mut world, one, two) = (World::new(&[Kind::Static]), someone(), someone());
    let (here, there) = ("/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.2/tcp/1");
    let mut told = |candidate: Candidate| {
        world.now += BACKOFF_MAX;
        let attempt = world.ask();
        world.table.answered(world.now, attempt, Ok(vec![candidate.clone()]));
        let changed = world.table.take_actions().contains(&Action::PeersChanged);
        let known: Vec<_> = world.table.peers().into_keys().collect();
        world.table.dialled(world.now, attempt, &candidate, Answer::Nobody("why".to_owned()));
        (changed, known)
    };
    assert_eq!(told(named(here, one)), (false, vec![]));
    assert_eq!(told(named(here, one)), (false, vec![one]), "it is dialled later, too");
    assert_eq!(told(named(here, two)), (true, vec![]), "somebody else is there now");
    assert_eq!(told(named(there, two)), (true, vec![]), "elsewhere");
}

#[test]
fn who_has_as_many_connections_as_allowed_is_there_and_the_first_error_is_shown() {
    let mut world = World::new(&[Kind::Static]);
    let attempt = world.ask();
    let all = ["/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.2/tcp/1", "/ip4/10.0.0.3/tcp/1"].map(at);
    world.table.answered(ms(1), attempt, Ok(all.to_vec()));
    let nobody = |why: &str| Answer::Nobody(why.to_owned());
    let answers = [nobody("first"), nobody("second"), Answer::Connected];
    for (candidate, answer) in all.iter().zip(answers) {
        world.table.dialled(ms(2), attempt, candidate, answer);
    }
    assert_eq!(world.last(), (Outcome::Ok, 3, 1, Some("first".to_owned())));
}

#[test]
fn every_source_on_the_network_has_the_time_of_one_question() {
    for kind in [Kind::Dns, Kind::Dnsaddr, Kind::Http, Kind::K3s] {
        let mut world = World::new(&[kind]);
        world.run(ASK_LIMIT, |_| None, |_| None);
        assert_eq!(world.last().0, Outcome::TimedOut, "{kind:?}");
    }
}

#[test]
fn a_line_that_is_due_is_waited_for_though_nothing_else_is() {
    let mut world = World::new(&[Kind::Http]);
    let attempt = world.ask();
    world.table.set_connected(ms(0), [someone()].into());
    world.table.answered(ms(1), attempt, Err("down".to_owned()));
    assert_eq!(world.table.next_due(), Some(ms(1) + ALONE_AFTER));
}

#[test]
fn a_source_that_was_being_asked_when_somebody_came_is_asked_soon_after_the_loss() {
    let mut world = World::new(&[Kind::Http]);
    let attempt = world.ask();
    world.table.set_connected(ms(1), [someone()].into());
    world.table.answered(ms(2), attempt, Err("down".to_owned()));
    world.now = ms(2) + STABLE_AFTER;
    world.table.set_connected(world.now, BTreeSet::new());
    let Activity::Waiting { due } = world.table.view(0).unwrap().activity else { panic!() };
    assert!((world.now..=world.now + ms(50)).contains(&due), "{due:?}");
}

#[test]
fn what_is_due_at_once_stays_so_when_a_connection_is_lost() {
    let mut world = World::new(&[Kind::Http]);
    world.run(Duration::from_secs(60), |_| Some(Err("down".to_owned())), |_| None);
    world.table.set_connected(world.now, [someone()].into());
    world.table.again(world.now, 0);
    world.table.set_connected(world.now, BTreeSet::new());
    assert_eq!(world.table.next_due(), Some(world.now));
}
