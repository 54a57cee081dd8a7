//! The dial policy on a fake clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use proptest::prelude::*;

use crate::{DialConfig, Dialer, Limits, MAX_ADDRESSES_PER_PEER, WantedPeer};

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

/// `count` peer ids in ascending order, always the same.
fn peers(count: u8) -> Vec<PeerId> {
    let id = |n: u8| {
        let mut seed = [n; 32];
        libp2p_identity::Keypair::ed25519_from_bytes(&mut seed).unwrap().public().to_peer_id()
    };
    (0..count).map(id).collect::<BTreeSet<_>>().into_iter().collect()
}

fn address(n: u16) -> Multiaddr {
    format!("/ip4/10.0.0.1/tcp/{}", n + 1).parse().unwrap()
}

fn wanted(peer: PeerId, ports: impl IntoIterator<Item = u16>) -> WantedPeer {
    WantedPeer { peer, addresses: ports.into_iter().map(address).collect(), hearsay: false }
}

fn config(max_connections: u32) -> DialConfig {
    DialConfig::for_limits(&Limits::new(max_connections))
}

fn dialer(local: PeerId) -> Dialer {
    Dialer::new(local, config(192), 1)
}

fn dialled(dialer: &mut Dialer, now: Instant) -> Vec<PeerId> {
    dialer.poll(now).into_iter().map(|dial| dial.peer).collect()
}

#[test]
fn the_smaller_id_dials_at_once_and_the_greater_a_second_later() {
    let [small, great] = peers(2)[..] else { unreachable!() };
    let start = Instant::now();
    let mut first = dialer(small);
    first.set_wanted(start, &[wanted(great, [1])]);
    assert_eq!(dialled(&mut first, start), [great]);

    let mut second = dialer(great);
    second.set_wanted(start, &[wanted(small, [1])]);
    assert_eq!(dialled(&mut second, start + 999 * MS), []);
    assert_eq!(second.next_due(), Some(start + S));
    second.on_connected(start + 5 * MS, small, false);
    assert_eq!(dialled(&mut second, start + 10 * S), []);
    assert_eq!(second.next_due(), None);
}

/// The delays after 1, 2, 3.. failures in a row.
fn delays(dialer: &mut Dialer, start: Instant, peer: PeerId, failures: usize) -> Vec<Duration> {
    let mut now = start;
    dialer.set_wanted(now, &[wanted(peer, [1])]);
    assert_eq!(dialled(dialer, now), [peer]);
    let mut delays = Vec::new();
    for _ in 0..failures {
        dialer.on_dial_failed(now, peer, None);
        let due = dialer.next_due().unwrap();
        assert_eq!(dialled(dialer, due - MS), []);
        assert_eq!(dialled(dialer, due), [peer]);
        delays.push(due - now);
        now = due;
    }
    delays
}

fn check_delays(delays: &[Duration], min: Duration, max: Duration) {
    for (index, delay) in delays.iter().enumerate() {
        let full = (min * 2_u32.pow(u32::try_from(index).unwrap() + 1)).min(max);
        assert!((full / 2..=full).contains(delay), "{index}: {delay:?} of {full:?}");
    }
}

#[test]
fn back_off_is_short_alone_and_long_with_peers() {
    let [local, peer, other] = peers(3)[..] else { unreachable!() };
    let start = Instant::now();
    check_delays(&delays(&mut dialer(local), start, peer, 20), 50 * MS, 10 * S);

    let mut connected = dialer(local);
    connected.on_connected(start, other, false);
    check_delays(&delays(&mut connected, start, peer, 20), S, 300 * S);
}

#[test]
fn a_peer_that_was_lost_is_never_left_alone_for_long() {
    let [local, peer, other] = peers(3)[..] else { unreachable!() };
    let start = Instant::now();
    let mut dialer = dialer(local);
    dialer.on_connected(start, other, false);
    dialer.set_wanted(start, &[wanted(peer, [1])]);
    assert_eq!(dialled(&mut dialer, start), [peer]);
    dialer.on_connected(start, peer, true);
    let lost = start + 60 * S;
    dialer.on_disconnected(lost, peer);
    check_delays(&delays(&mut dialer, lost, peer, 20), S, 8 * S);
}

#[test]
fn jitter_differs_by_seed_and_repeats_with_it() {
    let [local, peer] = peers(2)[..] else { unreachable!() };
    let start = Instant::now();
    let run = |seed| delays(&mut Dialer::new(local, config(192), seed), start, peer, 8);
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn losing_the_last_peer_hastens_the_others() {
    let [local, failing, connected] = peers(3)[..] else { unreachable!() };
    let start = Instant::now();
    let mut dialer = dialer(local);
    dialer.on_connected(start, connected, false);
    let waited: Duration = delays(&mut dialer, start, failing, 12).iter().sum();
    let now = start + waited;
    dialer.on_dial_failed(now, failing, None);
    assert!(dialer.next_due().unwrap() >= now + 150 * S);
    dialer.on_disconnected(now, connected);
    assert!(dialer.next_due().unwrap() <= now + 10 * S);
}

#[test]
fn a_stable_connection_resets_the_back_off_and_a_short_one_does_not() {
    let [local, peer] = peers(2)[..] else { unreachable!() };
    let start = Instant::now();
    let mut dialer = dialer(local);
    let mut now = start + delays(&mut dialer, start, peer, 5).iter().sum::<Duration>();
    // Accepted and hung up at once, again and again: the back-off goes on.
    for _ in 0..3 {
        dialer.on_connected(now, peer, true);
        now += 5 * MS;
        dialer.on_disconnected(now, peer);
        let due = dialer.next_due().unwrap();
        assert!(due >= now + S, "{:?}", due - now);
        now = due;
        assert_eq!(dialled(&mut dialer, now), [peer]);
    }
    dialer.on_connected(now, peer, true);
    now += 10 * S;
    dialer.on_disconnected(now, peer);
    assert_eq!(dialled(&mut dialer, now), [peer]);
    dialer.on_dial_failed(now, peer, None);
    assert!(dialer.next_due().unwrap() <= now + 100 * MS);
}

#[test]
fn dials_in_flight_are_capped_and_fresh_peers_come_before_failing_ones() {
    let all = peers(20);
    let start = Instant::now();
    let mut dialer = dialer(all[0]);
    let first: Vec<_> = all[1..13].iter().map(|peer| wanted(*peer, [1])).collect();
    dialer.set_wanted(start, &first);
    let dials = dialled(&mut dialer, start);
    assert_eq!(dials.len(), 8);
    assert_eq!((dialled(&mut dialer, start), dialer.next_due()), (vec![], None));
    for peer in &dials {
        dialer.on_dial_failed(start, *peer, None);
    }
    let later = start + S;
    assert_eq!(dialled(&mut dialer, later)[..4], all[9..13], "not tried yet");

    // Peers no longer wanted still count until their dial ends.
    dialer.set_wanted(later, &[wanted(all[19], [1])]);
    assert_eq!(dialled(&mut dialer, later), []);
    dialer.on_dial_failed(later, all[9], None);
    assert_eq!(dialled(&mut dialer, later), [all[19]]);
}

#[test]
fn an_address_of_somebody_else_is_left_out_until_no_other_is_left() {
    let [local, peer] = peers(2)[..] else { unreachable!() };
    let start = Instant::now();
    let mut dialer = dialer(local);
    dialer.set_wanted(start, &[wanted(peer, [1, 2])]);
    let next = |dialer: &mut Dialer, now| dialer.poll(now).remove(0).addresses;
    assert_eq!(next(&mut dialer, start), [address(1), address(2)]);
    dialer.on_dial_failed(start, peer, Some(&address(1)));
    assert_eq!(next(&mut dialer, start), [address(2)]);
    dialer.on_dial_failed(start, peer, None);
    let due = dialer.next_due().unwrap();
    assert_eq!(next(&mut dialer, due), [address(2)]);
    dialer.on_dial_failed(due, peer, Some(&address(2)));
    assert!(dialer.next_due().unwrap() > due, "none is left: this is a failure");
    let due = dialer.next_due().unwrap();
    assert_eq!(next(&mut dialer, due), [address(1), address(2)]);
}

#[test]
fn a_dial_that_another_part_of_the_node_makes_is_no_failure() {
    let [local, peer] = peers(2)[..] else { unreachable!() };
    let start = Instant::now();
    let mut dialer = dialer(local);
    dialer.set_wanted(start, &[wanted(peer, [1])]);
    let mut now = start;
    for _ in 0..20 {
        assert_eq!(dialled(&mut dialer, now), [peer]);
        dialer.on_dial_skipped(now, peer);
        let due = dialer.next_due().unwrap();
        assert!((50 * MS..=100 * MS).contains(&(due - now)), "{:?}", due - now);
        now = due;
    }
}

#[test]
fn a_new_address_is_tried_early_but_not_at_once() {
    let [local, peer] = peers(2)[..] else { unreachable!() };
    let start = Instant::now();
    let mut dialer = dialer(local);
    let now = start + delays(&mut dialer, start, peer, 12).iter().sum::<Duration>();
    dialer.on_dial_failed(now, peer, None);
    dialer.set_wanted(now, &[wanted(peer, [1])]);
    assert!(dialer.next_due().unwrap() >= now + 5 * S, "nothing new");
    dialer.set_wanted(now, &[wanted(peer, [1, 2])]);
    let due = dialer.next_due().unwrap();
    assert!((now + 50 * MS..=now + 100 * MS).contains(&due), "{:?}", due - now);
}

#[test]
fn unusable_addresses_and_the_local_peer_are_skipped_and_counted() {
    let [local, peer, silent] = peers(3)[..] else { unreachable!() };
    let start = Instant::now();
    let mut dialer = dialer(local);
    let mut mixed = wanted(peer, (0..20).chain(0..20));
    mixed.addresses.push("/dns4/server1/tcp/1".parse().unwrap());
    let unusable = vec!["/ip4/0.0.0.0/tcp/1".parse().unwrap()];
    let useless = WantedPeer { peer: silent, addresses: unusable, hearsay: false };
    let selection =
        dialer.set_wanted(start, &[wanted(local, [1]), mixed, useless, wanted(peer, [3])]);
    assert_eq!(selection.skipped_addresses, 2 * (20 - MAX_ADDRESSES_PER_PEER) + 2);
    assert_eq!((selection.known, selection.left_out), (BTreeSet::from([peer, silent]), 0));
    let dials = dialer.poll(start);
    assert_eq!(dials.len(), 1, "no address, no dial");
    assert_eq!(dials[0].addresses, (0..8).map(address).collect::<Vec<_>>());
    assert_eq!(dialer.next_due(), None);
}

#[test]
fn above_the_cap_each_node_is_chosen_equally_often_and_the_choices_connect_all() {
    let all = peers(30);
    let everyone: Vec<_> = all.iter().map(|peer| wanted(*peer, [1])).collect();
    let mut chosen_by: BTreeMap<PeerId, usize> = BTreeMap::new();
    for (index, local) in all.iter().enumerate() {
        let selection = Dialer::new(*local, config(8), 1).set_wanted(Instant::now(), &everyone);
        let expected: BTreeSet<_> = (1..=4).map(|step| all[(index + step) % all.len()]).collect();
        assert_eq!((&selection.chosen, selection.left_out), (&expected, 25));
        assert_eq!(selection.known.len(), 29);
        for peer in selection.chosen {
            *chosen_by.entry(peer).or_default() += 1;
        }
    }
    assert!(chosen_by.values().all(|count| *count == 4), "{chosen_by:?}");
}

#[derive(Debug, Clone)]
enum Step {
    Want(Vec<(usize, Vec<u16>, bool)>),
    Wait(u64),
    WaitUntilDue,
    Answer(usize, Answer),
    Inbound(usize),
    Lose(usize),
}

#[derive(Debug, Clone)]
enum Answer {
    Connected,
    Failed,
    Wrong(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let peer = 0..12_usize;
    let answer = prop_oneof![
        Just(Answer::Connected),
        Just(Answer::Failed),
        (0..12_u16).prop_map(Answer::Wrong)
    ];
    prop_oneof![
        prop::collection::vec(
            (peer.clone(), prop::collection::vec(0..12_u16, 0..12), any::<bool>()),
            0..12
        )
        .prop_map(Step::Want),
        (0..20_000_u64).prop_map(Step::Wait),
        Just(Step::WaitUntilDue),
        (0..8_usize, answer).prop_map(|(index, answer)| Step::Answer(index, answer)),
        peer.clone().prop_map(Step::Inbound),
        peer.prop_map(Step::Lose),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_rules_hold(
        local in 0..12_usize,
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let all = peers(12);
        let config = DialConfig { max_in_flight: 3, ..config(10) };
        let mut dialer = Dialer::new(all[local], config, seed);
        let mut now = Instant::now();
        let mut chosen = BTreeSet::new();
        let mut in_flight: Vec<PeerId> = Vec::new();
        let mut connected = BTreeSet::new();
        for step in steps {
            match step {
                Step::Want(list) => {
                    let list: Vec<_> = list.into_iter().map(|(peer, ports, hearsay)| WantedPeer { hearsay, ..wanted(all[peer], ports) }).collect();
                    let selection = dialer.set_wanted(now, &list);
                    let given: BTreeSet<_> = list.iter().map(|wanted| wanted.peer).filter(|peer| *peer != all[local]).collect();
                    prop_assert_eq!(&selection.known, &given);
                    prop_assert!(selection.chosen.is_subset(&given));
                    prop_assert_eq!(selection.chosen.len(), given.len().min(5));
                    prop_assert_eq!(selection.left_out, given.len() - selection.chosen.len());
                    chosen = selection.chosen;
                }
                Step::Wait(ms) => now += Duration::from_millis(ms),
                Step::WaitUntilDue => {
                    if let Some(due) = dialer.next_due().filter(|due| *due > now) {
                        prop_assert_eq!(dialer.poll(now), vec![]);
                        now = due;
                    }
                }
                Step::Answer(index, answer) => if index < in_flight.len() {
                    let peer = in_flight.remove(index);
                    match answer {
                        Answer::Connected => {
                            connected.insert(peer);
                            dialer.on_connected(now, peer, true);
                        }
                        Answer::Failed => dialer.on_dial_failed(now, peer, None),
                        Answer::Wrong(port) => dialer.on_dial_failed(now, peer, Some(&address(port))),
                    }
                },
                Step::Inbound(peer) => if peer != local {
                    connected.insert(all[peer]);
                    dialer.on_connected(now, all[peer], false);
                },
                Step::Lose(peer) => {
                    connected.remove(&all[peer]);
                    dialer.on_disconnected(now, all[peer]);
                }
            }
            let due = dialer.next_due();
            let dials = dialer.poll(now);
            if let Some(changed) = dialer.take_changed() {
                prop_assert_eq!(changed.len(), chosen.len(), "each place is given on");
                chosen = changed;
            }
            prop_assert_eq!(dialer.take_changed(), None);
            prop_assert_eq!(!dials.is_empty(), due.is_some_and(|due| due <= now), "next_due tells when poll has work");
            for dial in dials {
                prop_assert!(dial.peer != all[local]);
                prop_assert!(chosen.contains(&dial.peer));
                prop_assert!(!connected.contains(&dial.peer));
                prop_assert!(!in_flight.contains(&dial.peer));
                prop_assert!(!dial.addresses.is_empty() && dial.addresses.len() <= MAX_ADDRESSES_PER_PEER);
                in_flight.push(dial.peer);
            }
            prop_assert!(in_flight.len() <= 3);
        }
    }

    /// Whatever fails, a peer is dialled at most so often: the sum of the least delays bounds the dials in an hour.
    #[test]
    fn dials_to_a_dead_peer_are_few(seed in any::<u64>(), hang_up in any::<bool>()) {
        let [local, peer, other] = peers(3)[..] else { unreachable!() };
        let start = Instant::now();
        let mut dialer = Dialer::new(local, config(192), seed);
        dialer.on_connected(start, other, false);
        dialer.set_wanted(start, &[wanted(peer, [1])]);
        let mut dials = 0;
        while let Some(due) = dialer.next_due().filter(|due| *due <= start + 3600 * S) {
            prop_assert_eq!(dialled(&mut dialer, due), [peer]);
            dials += 1;
            // 1, 2, 4 .. 128 s and 150 s from then on are the least delays: 9 dials in 255 s, 22 in the rest.
            prop_assert!(dials <= 32, "too many dials");
            if hang_up {
                dialer.on_connected(due, peer, true);
                dialer.on_disconnected(due, peer);
            } else {
                dialer.on_dial_failed(due, peer, None);
            }
        }
    }
}
