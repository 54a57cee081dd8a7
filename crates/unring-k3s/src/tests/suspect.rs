use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use crate::ServerUrl;
use crate::suspect::{
    Ended, LATE_FOR, LegacyRings, MAX_CLIENTS, MAX_SERVERS, MISSES_TO_WITHDRAW, RingNews,
    SUSPECT_AT, TooManyServers,
};

const LAST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 3));
const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

fn server() -> ServerUrl {
    "https://server2:6443".parse().unwrap()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A request of ours at `at` for 40 ms; in its middle come these clients.
fn fetch(rings: &mut LegacyRings, at: Duration, clients: &[IpAddr]) -> Vec<RingNews> {
    rings.fetch_started(&server(), at).unwrap();
    let mut news = Vec::new();
    for client in clients {
        news.extend(rings.request_arrived(*client, at + ms(20)));
    }
    news.extend(rings.fetch_ended(&server(), Ended::Answered(SERVER), at + ms(40)));
    news
}

/// After `n` requests a minute apart during each of which `LAST` came.
fn after(n: u64) -> (LegacyRings, Vec<RingNews>) {
    let mut rings = LegacyRings::new();
    fetch(&mut rings, ms(0), &[]);
    let news = (1..=n).flat_map(|n| fetch(&mut rings, ms(60_000 * n), &[LAST])).collect();
    (rings, news)
}

#[test]
fn three_of_three_are_enough_and_two_are_not() {
    assert_eq!(after(2).1, []);
    let (rings, news) = after(3);
    let [RingNews::Suspected(suspicion)] = &news[..] else { panic!("{news:?}") };
    assert_eq!((&suspicion.server, suspicion.client), (&server(), LAST));
    assert_eq!((suspicion.hits, suspicion.others, suspicion.direct), (3, 0, false));
    assert!(suspicion.bits >= SUSPECT_AT);
    assert_eq!(rings.suspicions().next().as_ref(), Some(suspicion));
    let text = suspicion.to_string();
    let want = "a ring of joins through https://server2:6443 is suspected: during 3 requests to it one from \
        10.0.0.3 came back; that server joins this node, and is joined behind https://server2:6443";
    assert_eq!(text, want);
    // It is said once.
    assert_eq!(after(10).1.len(), 1);
}

#[test]
fn the_server_itself_may_be_the_whole_ring() {
    let mapped: IpAddr = "::ffff:10.0.0.2".parse().unwrap();
    for answered_from in [SERVER, mapped] {
        let mut rings = LegacyRings::new();
        let mut news = Vec::new();
        for n in 0..5 {
            rings.fetch_started(&server(), ms(60_000 * n)).unwrap();
            news.extend(rings.request_arrived(SERVER, ms(60_000 * n + 20)));
            let end = ms(60_000 * n + 40);
            news.extend(rings.fetch_ended(&server(), Ended::Answered(answered_from), end));
        }
        let [RingNews::Suspected(suspicion)] = &news[..] else { panic!("{news:?}") };
        let direct = "that is the server itself, which joins this node";
        assert!(suspicion.direct && suspicion.to_string().ends_with(direct), "{suspicion}");
    }
}

#[test]
fn several_in_one_request_count_once() {
    let mut rings = LegacyRings::new();
    fetch(&mut rings, ms(0), &[]);
    for n in 1..=2 {
        assert_eq!(fetch(&mut rings, ms(60_000 * n), &[LAST; 50]), []);
    }
    assert_eq!(fetch(&mut rings, ms(180_000), &[LAST; 50]).len(), 1);
}

#[test]
fn what_comes_at_other_times_speaks_against_it() {
    let mut rings = LegacyRings::new();
    fetch(&mut rings, ms(0), &[]);
    for n in 1..=200 {
        assert_eq!(fetch(&mut rings, ms(60_000 * n), &[LAST]).len(), usize::from(n == 4));
        // The client's own requests: two for each of ours are outweighed.
        for other in 1..=2 {
            assert_eq!(rings.request_arrived(LAST, ms(60_000 * n + 5_000 * other)), []);
        }
    }
    // A client that asks each second has asked during each of ours, and is not suspected.
    let mut rings = LegacyRings::new();
    for n in 0..200 {
        assert_eq!(fetch(&mut rings, ms(60_000 * n), &[LAST]), []);
        for second in 1..60 {
            assert_eq!(rings.request_arrived(LAST, ms(60_000 * n + 1000 * second)), []);
        }
    }
}

#[test]
fn who_is_always_asking_can_tell_nothing() {
    let mut rings = LegacyRings::new();
    for n in 0..200 {
        let at = ms(10_000 * n);
        rings.fetch_started(&server(), at).unwrap();
        assert_eq!(rings.request_arrived(LAST, at + ms(5_000)), []);
        assert_eq!(rings.fetch_ended(&server(), Ended::Answered(SERVER), at + ms(9_000)), []);
    }
}

#[test]
fn a_ring_that_is_cut_is_withdrawn() {
    let (mut rings, _) = after(3);
    for n in 1..MISSES_TO_WITHDRAW {
        assert_eq!(fetch(&mut rings, ms(600_000 + 60_000 * u64::from(n)), &[]), []);
    }
    // What never got there brings nothing back either, ring or no ring.
    rings.fetch_started(&server(), ms(800_000)).unwrap();
    assert_eq!(rings.fetch_ended(&server(), Ended::NotSent, ms(800_010)), []);
    let news = fetch(&mut rings, ms(900_000), &[]);
    assert!(matches!(&news[..], [RingNews::Withdrawn(of)] if of.client == LAST), "{news:?}");
    assert_eq!(rings.suspicions().count(), 0);
    // It can come again.
    let news: Vec<_> =
        (0..3).flat_map(|n| fetch(&mut rings, ms(1_000_000 + 60_000 * n), &[LAST])).collect();
    assert!(matches!(&news[..], [RingNews::Suspected(_)]), "{news:?}");
}

#[test]
fn a_hit_now_and_then_keeps_a_suspicion() {
    let (mut rings, _) = after(3);
    for n in 0..30 {
        let clients: &[IpAddr] = if n % MISSES_TO_WITHDRAW == 0 { &[LAST] } else { &[] };
        assert_eq!(fetch(&mut rings, ms(600_000 + 60_000 * u64::from(n)), clients), []);
    }
    assert_eq!(rings.suspicions().count(), 1);
}

#[test]
fn old_evidence_does_not_outweigh_what_is_new() {
    let (mut rings, _) = after(1000);
    let news: Vec<_> =
        (1..=40).flat_map(|n| rings.request_arrived(LAST, ms(60_100_000 + 1000 * n))).collect();
    assert!(matches!(&news[..], [RingNews::Withdrawn(_)]), "{news:?}");
}

#[test]
fn the_share_of_time_is_that_of_the_last_requests() {
    let mut rings = LegacyRings::new();
    // Out for half of the time, and nothing can be told.
    for n in 0..100 {
        rings.fetch_started(&server(), ms(60_000 * n)).unwrap();
        rings.fetch_ended(&server(), Ended::Answered(SERVER), ms(60_000 * n + 30_000));
    }
    let hits = (100..120).flat_map(|n| fetch(&mut rings, ms(60_000 * n), &[LAST]));
    assert_eq!(hits.count(), 1);
}

#[test]
fn a_request_that_is_still_out_counts_for_the_share_of_time() {
    let mut rings = LegacyRings::new();
    // The first one: it has been out all the time, so that a hit tells nothing.
    rings.fetch_started(&server(), ms(0)).unwrap();
    rings.request_arrived(LAST, ms(5_000));
    rings.fetch_ended(&server(), Ended::Answered(SERVER), ms(10_000));
    let mut hits = (1..=3).map(|n| fetch(&mut rings, ms(10_000_000 * n), &[LAST]).len());
    assert_eq!([hits.next(), hits.next(), hits.next()], [Some(0), Some(0), Some(1)]);
}

#[test]
fn what_comes_soon_after_we_gave_up_counts_neither_way() {
    let (mut rings, _) = after(3);
    rings.fetch_started(&server(), ms(300_000)).unwrap();
    rings.request_arrived(LAST, ms(305_000));
    rings.fetch_ended(&server(), Ended::GaveUp, ms(310_000));
    for n in 0..200 {
        assert_eq!(rings.request_arrived(LAST, ms(310_000 + 40 * n)), []);
    }
    assert_eq!(rings.suspicions().next().unwrap().others, 0);
    rings.request_arrived(LAST, ms(310_000) + LATE_FOR);
    assert_eq!(rings.suspicions().next().unwrap().others, 1);
}

#[test]
fn forgetting_a_server_withdraws_what_was_suspected() {
    let (mut rings, _) = after(3);
    assert!(matches!(&rings.forget(&server())[..], [RingNews::Withdrawn(_)]));
    assert_eq!(rings.forget(&server()), []);
    assert_eq!(rings.suspicions().count(), 0);
}

#[test]
fn servers_and_clients_are_bounded_and_a_suspect_stays() {
    let (mut rings, _) = after(3);
    let strangers: Vec<IpAddr> =
        (0..1000_u32).map(|n| std::net::Ipv4Addr::from(0x0b00_0000 + n).into()).collect();
    let mut all = strangers.clone();
    all.push(LAST);
    fetch(&mut rings, ms(400_000), &all);
    assert_eq!(rings.suspicions().map(|of| of.client).collect::<Vec<_>>(), [LAST]);
    // Of the strangers at most `MAX_CLIENTS` were followed, so no more can be suspected.
    for n in 0..10 {
        fetch(&mut rings, ms(500_000 + 60_000 * n), &all[900..]);
    }
    assert!(rings.suspicions().count() <= MAX_CLIENTS);
    let url = |n| format!("https://server{n}:6443").parse::<ServerUrl>().unwrap();
    for n in 100..100 + MAX_SERVERS - 1 {
        rings.fetch_started(&url(n), ms(2_000_000)).unwrap();
    }
    assert_eq!(rings.fetch_started(&url(99), ms(2_000_000)), Err(TooManyServers));
}

#[test]
fn what_a_client_did_before_it_was_cleared_is_forgotten() {
    let mut rings = LegacyRings::new();
    fetch(&mut rings, ms(0), &[]);
    fetch(&mut rings, ms(60_000), &[LAST]);
    for n in 1..=40 {
        assert_eq!(rings.request_arrived(LAST, ms(60_100 + 1000 * n)), []);
    }
    fetch(&mut rings, ms(120_000), &[]);
    let news: Vec<_> = (3..=5).flat_map(|n| fetch(&mut rings, ms(60_000 * n), &[LAST])).collect();
    let [RingNews::Suspected(suspicion)] = &news[..] else { panic!("{news:?}") };
    assert_eq!((suspicion.hits, suspicion.others), (3, 0));
    // Neither is a score ever below zero: what comes at other times before the first hit costs no more.
    let mut rings = LegacyRings::new();
    fetch(&mut rings, ms(0), &[]);
    rings.fetch_started(&server(), ms(60_000)).unwrap();
    rings.request_arrived(LAST, ms(60_010));
    rings.fetch_ended(&server(), Ended::Answered(SERVER), ms(60_020));
    for n in 1..=40 {
        rings.request_arrived(LAST, ms(60_100 + 1000 * n));
    }
    let news: Vec<_> = (2..=4).flat_map(|n| fetch(&mut rings, ms(60_000 * n), &[LAST])).collect();
    assert!(matches!(&news[..], [RingNews::Suspected(_)]), "{news:?}");
}

#[test]
fn several_requests_of_ours_at_once_are_one() {
    let (mut rings, _) = after(3);
    for _ in 0..=MISSES_TO_WITHDRAW {
        rings.fetch_started(&server(), ms(400_000)).unwrap();
    }
    rings.request_arrived(LAST, ms(400_010));
    // One of them was given up, so that the server may still be at it when the last one ended.
    let mut how = Ended::GaveUp;
    for n in 0..=u64::from(MISSES_TO_WITHDRAW) {
        assert_eq!(rings.fetch_ended(&server(), how, ms(400_020 + n)), []);
        how = Ended::Answered(SERVER);
    }
    rings.request_arrived(LAST, ms(401_000));
    let suspicion = rings.suspicions().next().unwrap();
    assert_eq!((suspicion.hits, suspicion.others), (4, 0));
}

#[test]
fn strangers_at_other_times_push_nobody_out() {
    let mut rings = LegacyRings::new();
    let client = |n: usize| IpAddr::from(std::net::Ipv4Addr::from(u32::try_from(n).unwrap()));
    let followed: Vec<_> = (0..MAX_CLIENTS).map(|n| client(0x0b00_0000 + n)).collect();
    fetch(&mut rings, ms(0), &[]);
    for n in 1..=2 {
        assert_eq!(fetch(&mut rings, ms(60_000 * n), &followed), []);
    }
    for n in 0..MAX_CLIENTS {
        assert_eq!(rings.request_arrived(client(0x0c00_0000 + n), ms(150_000)), []);
    }
    assert_eq!(fetch(&mut rings, ms(180_000), &followed).len(), MAX_CLIENTS);
}

#[test]
fn a_suspect_stays_whoever_comes_and_however_low_its_score() {
    let (mut rings, _) = after(3);
    let stranger = |n: u32| IpAddr::from(std::net::Ipv4Addr::from(0x0b00_0000 + n));
    let strangers: Vec<_> = (1..u32::try_from(MAX_CLIENTS).unwrap()).map(stranger).collect();
    fetch(&mut rings, ms(400_000), &strangers);
    for n in 0..20 {
        assert_eq!(rings.request_arrived(LAST, ms(401_000 + 1000 * n)), []);
    }
    assert!(rings.suspicions().next().unwrap().bits < 2.0);
    fetch(&mut rings, ms(500_000), &[stranger(1000)]);
    assert_eq!(rings.suspicions().count(), 1);
}

#[test]
fn mapped_addresses_and_ends_without_a_start_do_no_harm() {
    let mut rings = LegacyRings::new();
    assert_eq!(rings.fetch_ended(&server(), Ended::GaveUp, ms(5)), []);
    let mapped: IpAddr = "::ffff:10.0.0.3".parse().unwrap();
    fetch(&mut rings, ms(0), &[]);
    let news: Vec<_> = (1..=3).flat_map(|n| fetch(&mut rings, ms(60_000 * n), &[mapped])).collect();
    assert!(matches!(&news[..], [RingNews::Suspected(of)] if of.client == LAST), "{news:?}");
    rings.fetch_started(&server(), ms(300_000)).unwrap();
    rings.request_arrived(LAST, ms(300_010));
    rings.fetch_ended(&server(), Ended::GaveUp, ms(300_020));
    // A clock that goes back stands still: this is not soon after.
    let later = ms(300_020) + LATE_FOR;
    rings.request_arrived(LAST, later);
    rings.request_arrived(LAST, ms(300_030));
    assert_eq!(rings.suspicions().next().unwrap().others, 2);
}

/// A small generator: the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.0 >> 32).unwrap()) / f64::from(u32::MAX)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The false-positive rule: 5000 requests of a client that knows nothing of ours, at any rate and for any length and
    /// rhythm of ours, raise no alarm: 24 of these runs are expected to raise 0.12.
    #[test]
    fn an_independent_client_is_not_suspected(
        seed in any::<u64>(),
        takes in 0.001_f64..10.0,
        every in 0.1_f64..120.0,
        client_every in 0.1_f64..300.0,
        periodic in any::<bool>(),
    ) {
        let mut random = Random(seed);
        let mut rings = LegacyRings::new();
        let mut ours = Duration::ZERO;
        let mut theirs = Duration::ZERO;
        let mut open = false;
        let mut arrivals = 0;
        while arrivals < 5000 {
            if ours <= theirs {
                open = !open;
                if open {
                    rings.fetch_started(&server(), ours).unwrap();
                    ours += Duration::from_secs_f64(takes * (0.5 + random.unit()));
                } else {
                    rings.fetch_ended(&server(), Ended::Answered(SERVER), ours);
                    ours += Duration::from_secs_f64(every * (0.5 + random.unit()));
                }
            } else {
                arrivals += 1;
                let news = rings.request_arrived(LAST, theirs);
                prop_assert!(news.is_empty(), "after {arrivals}: {news:?}");
                // As a clock, or as chance has it.
                let wait = if periodic { 1.0 } else { -(1.0 - random.unit() * 0.999_999).ln() };
                theirs += Duration::from_secs_f64(client_every * wait);
            }
        }
    }

    /// A ring is found whatever the rhythm, as long as we are in flight for no more than a tenth of the time.
    #[test]
    fn a_ring_is_suspected_within_ten_requests(seed in any::<u64>(), takes in 0.001_f64..2.0) {
        let mut random = Random(seed);
        let mut rings = LegacyRings::new();
        let mut now = Duration::ZERO;
        for _ in 0..12 {
            rings.fetch_started(&server(), now).unwrap();
            rings.request_arrived(LAST, now + Duration::from_secs_f64(takes * random.unit()));
            now += Duration::from_secs_f64(takes);
            rings.fetch_ended(&server(), Ended::Answered(SERVER), now);
            now += Duration::from_secs_f64(takes * (9.5 + random.unit()));
        }
        prop_assert_eq!(rings.suspicions().count(), 1);
    }
}
