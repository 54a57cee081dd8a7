//! What is kept of what others provide, and of whom when there is no room.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const LIMITS: StoreLimits =
    StoreLimits { records: 10, per_provider: 6, per_key: 4, validity: Duration::from_secs(60) };

fn store() -> (Records, Instant) {
    (Records::new(PeerId::random(), LIMITS, 1), Instant::now())
}

fn record(key: &str, provider: PeerId, address: &str) -> ProviderRecord {
    let key = Key::new(key).as_bytes().to_vec();
    ProviderRecord::new(key, provider, vec![address.parse().unwrap()])
}

const IP: &str = "/ip4/10.0.0.1/tcp/1";

fn ids(records: &Records, now: Instant, key: &str) -> Vec<PeerId> {
    let key = RecordKey::from(Key::new(key).as_bytes().to_vec());
    records.known(now, &key).iter().map(|record| record.provider).collect()
}

#[test]
fn what_is_told_is_known_until_its_time_and_with_the_newest_address() {
    let (mut records, now) = store();
    let peer = PeerId::random();
    assert_eq!(records.admit(now, record("a", peer, IP)), Admission::Kept);
    let moved = "/ip4/10.0.0.2/tcp/1";
    assert_eq!(records.admit(now + LIMITS.validity / 2, record("a", peer, moved)), Admission::Kept);
    assert_eq!(records.len(), 1);
    let key = RecordKey::from(Key::new("a").as_bytes().to_vec());
    let known = records.known(now, &key);
    assert_eq!(known[0].addresses, [moved.parse::<Multiaddr>().unwrap()]);
    let end = now + LIMITS.validity * 3 / 2;
    assert_eq!(ids(&records, end - Duration::from_millis(1), "a"), [peer]);
    assert_eq!(ids(&records, end, "a"), []);
    records.expire(end);
    assert_eq!((records.len(), records.providers_held(), records.keys.len()), (0, 0, 0));
}

#[test]
fn what_is_no_key_or_has_no_address_is_refused() {
    let (mut records, now) = store();
    let mut bad = record("a", PeerId::random(), IP);
    bad.key = RecordKey::from(vec![0x12, 0x20, 1]);
    assert_eq!(records.admit(now, bad), Admission::BadKey);
    let name = record("a", PeerId::random(), "/dns4/server1/tcp/1");
    assert_eq!(records.admit(now, name), Admission::NoAddress);
}

#[test]
fn a_full_key_keeps_a_sample_and_a_full_store_refuses() {
    let (mut records, now) = store();
    let peers: Vec<_> = (0..40).map(|_| PeerId::random()).collect();
    for (n, peer) in peers.iter().enumerate() {
        let wanted = if n < 4 { Admission::Kept } else { Admission::Replaced };
        assert_eq!(records.admit(now, record("a", *peer, IP)), wanted);
    }
    let known = ids(&records, now, "a");
    assert_eq!(known.len(), 4);
    assert!(known.iter().any(|peer| !peers[..4].contains(peer)), "not the first ones for ever");
    let one = PeerId::random();
    for n in 0..6 {
        assert_eq!(records.admit(now, record(&n.to_string(), one, IP)), Admission::Kept);
    }
    assert_eq!(records.admit(now, record("6", one, IP)), Admission::ProviderFull);
    let other = PeerId::random();
    assert_eq!(records.admit(now, record("6", other, IP)), Admission::Kept, "has fewer than half");
    assert_eq!(records.len(), 10);
    assert_eq!(records.admit(now, record("7", other, IP)), Admission::Kept);
    assert_eq!(records.admit(now, record("8", other, IP)), Admission::Full, "4 and 2");
    let renewed =
        (0..6).filter(|n| records.admit(now, record(&n.to_string(), one, IP)) == Admission::Kept);
    assert_eq!(renewed.count(), 4, "a renewal needs no room");
    records.expire(now + LIMITS.validity);
    assert_eq!(records.admit(now, record("6", one, IP)), Admission::Kept);
}

#[test]
fn the_alarm_is_given_once_before_the_store_is_full() {
    let (mut records, now) = store();
    let mut alarms = Vec::new();
    for n in 0..10 {
        let peer = PeerId::random();
        assert_eq!(records.admit(now, record(&n.to_string(), peer, IP)), Admission::Kept);
        alarms.push(records.take_alarm());
    }
    assert_eq!(alarms.iter().position(|alarm| *alarm), Some(7));
    assert_eq!(alarms.iter().filter(|alarm| **alarm).count(), 1);
    records.expire(now + LIMITS.validity);
    assert!(!records.take_alarm());
    for n in 0..8 {
        records.admit(now, record(&n.to_string(), PeerId::random(), IP));
    }
    assert!(records.take_alarm());
}

#[test]
fn our_own_are_told_first_and_others_in_turn() {
    let (mut records, now) = store();
    records.set_own_addresses(vec![IP.parse().unwrap()]);
    records.set_own(vec![Key::new("a")], true);
    let others: Vec<_> = (0..3).map(|_| PeerId::random()).collect();
    for peer in &others {
        records.admit(now, record("a", *peer, IP));
    }
    let firsts: HashSet<_> = (0..3)
        .map(|_| {
            let known = ids(&records, now, "a");
            assert_eq!((known.len(), known[0]), (4, records.local));
            known[1]
        })
        .collect();
    assert_eq!(firsts, others.into_iter().collect());
    records.set_own(vec![Key::new("a")], false);
    assert_eq!(ids(&records, now, "a").len(), 3);
}

#[test]
fn a_few_who_tell_of_everything_take_twenty_megabytes_and_keep_nobody_out() {
    let limits = StoreLimits {
        records: crate::MAX_PROVIDER_RECORDS,
        per_provider: crate::MAX_RECORDS_PER_PROVIDER,
        per_key: crate::MAX_PROVIDERS_PER_KEY,
        validity: Duration::from_secs(60),
    };
    let (mut records, now) = (Records::new(PeerId::random(), limits, 1), Instant::now());
    let liars: Vec<_> = (0..4).map(|_| PeerId::random()).collect();
    for n in 0..limits.records {
        let told = record(&n.to_string(), liars[n % 4], IP);
        assert_eq!(records.admit(now, told), Admission::Kept);
    }
    // What the table of keys takes: an entry and a byte for each place, and an eighth of the places stays free.
    let places = (records.keys.capacity() * 8 / 7).next_power_of_two();
    let bytes = places * (size_of::<(Key, AtKey)>() + 1);
    assert!(bytes < 20 << 20, "{bytes} bytes");
    let honest = PeerId::random();
    for n in 0..1000 {
        let told = record(&format!("honest {n}"), honest, IP);
        assert_eq!(records.admit(now, told), Admission::Kept);
    }
    assert!(records.len() <= limits.records);
}

#[test]
fn a_full_key_gives_the_place_of_one_that_expired() {
    let (mut records, now) = store();
    let peers: Vec<_> = (0..5).map(|_| PeerId::random()).collect();
    records.admit(now, record("a", peers[0], IP));
    let later = now + LIMITS.validity;
    for peer in &peers[1..] {
        records.admit(later, record("a", *peer, IP));
    }
    let mut known = ids(&records, later, "a");
    known.sort();
    let mut wanted = peers[1..].to_vec();
    wanted.sort();
    assert_eq!(known, wanted);
}

proptest! {
    #[test]
    fn counts_stay_true(steps in prop::collection::vec((0_usize..5, 0_usize..8, 0_u64..100, any::<bool>()), 1..200)) {
        let (mut records, start) = store();
        let peers: Vec<_> = (0..8).map(|_| PeerId::random()).collect();
        for (key, peer, after, expire) in steps {
            let now = start + Duration::from_secs(after);
            records.admit(now, record(&key.to_string(), peers[peer], IP));
            if expire {
                records.expire(now);
            }
            let held: usize = records.keys.values().map(|at_key| at_key.all().len()).sum();
            let counted: usize = records.providers.iter().flatten().map(|known| known.count).sum();
            prop_assert_eq!(records.providers.iter().flatten().count(), records.places.len());
            prop_assert_eq!(records.places.len() + records.free.len(), records.providers.len());
            prop_assert_eq!((held, counted), (records.len(), records.len()));
            prop_assert!(records.len() <= LIMITS.records);
            prop_assert!(records.keys.values().all(|held| (1..=LIMITS.per_key).contains(&held.all().len())));
            prop_assert!(records.providers.iter().flatten().all(|known| (1..=LIMITS.per_provider).contains(&known.count)));
        }
    }
}
