//! Nobody's flood takes from those who ask for no more than their share.

use std::time::Duration;

use super::{LOCAL, MILLISECOND, RECURSIVE, config, governor, overload};
use crate::{Decision, Priority};

/// What one honest caller got next to a flood.
#[derive(Debug)]
struct Honest {
    asked: u32,
    admitted: u32,
    full: u32,
}

/// `flooders` ask 5 times a millisecond each for 10 s; one honest caller asks `per_second` times a second, in turn cheap and dear.
fn flood(flooders: u32, per_second: u32, overloaded: bool, dear: bool) -> Honest {
    let (governor, clock) = governor(config());
    if overloaded {
        overload(&governor);
    }
    let mut honest = Honest { asked: 0, admitted: 0, full: 0 };
    let every = 1000 / per_second;
    for millisecond in 0..10_000_u32 {
        clock.advance(MILLISECOND);
        for round in 0..5 {
            for flooder in 1..=flooders {
                let cost = if round % 2 == 0 { LOCAL } else { RECURSIVE };
                let _ = governor.check(&flooder, Priority::Exchange, cost);
            }
        }
        // From 1 s on, so that the first second of bursts is in the flood.
        if millisecond >= 1000 && millisecond % every == 0 {
            let cost = if dear { RECURSIVE } else { LOCAL };
            honest.asked += 1;
            match governor.check(&0, Priority::Exchange, cost) {
                Decision::Admitted => {
                    honest.admitted += 1;
                    honest.full += 1;
                }
                Decision::Degraded(_) => honest.admitted += 1,
                Decision::Refused(_) => {}
            }
        }
    }
    honest
}

#[test]
fn one_flood_takes_nothing_from_an_honest_caller() {
    // Half of its 100 a second.
    let honest = flood(1, 50, false, false);
    assert_eq!(honest.admitted, honest.asked, "{honest:?}");
    let honest = flood(1, 20, false, true);
    assert_eq!(honest.full, honest.asked, "{honest:?}");
}

#[test]
fn sixteen_floods_leave_an_honest_caller_its_share() {
    // A seventeenth of 500 is 29 a second.
    let honest = flood(16, 25, false, false);
    assert_eq!(honest.admitted, honest.asked, "{honest:?}");
    // Dear requests within the share are not even degraded.
    let honest = flood(16, 5, false, true);
    assert_eq!(honest.full, honest.asked, "{honest:?}");
}

#[test]
fn sixteen_floods_on_an_overloaded_node_leave_an_honest_caller_its_share_of_the_floor() {
    // A seventeenth of 50 is 2.9 a second.
    let honest = flood(16, 2, true, false);
    assert_eq!(honest.admitted, honest.asked, "{honest:?}");
}

#[test]
fn flooders_share_the_total_evenly() {
    let (governor, clock) = governor(config());
    let mut admitted = [0_u32; 16];
    for _ in 0..20_000 {
        clock.advance(MILLISECOND);
        for (caller, count) in (0..).zip(&mut admitted) {
            *count +=
                u32::from(governor.check(&caller, Priority::Exchange, LOCAL) == Decision::Admitted);
        }
    }
    let (least, most) = (admitted.iter().min().unwrap(), admitted.iter().max().unwrap());
    assert!(most - least <= most / 10, "{admitted:?}");
    let sum: u32 = admitted.iter().sum();
    // 20 s at 500, and the burst.
    assert!((9_800..=10_500).contains(&sum), "{sum}");
}

#[test]
fn a_flood_of_new_names_does_not_starve_a_known_caller() {
    let (governor, clock) = governor(config());
    let mut stranger = 1000;
    let (mut asked, mut admitted) = (0, 0);
    assert_eq!(governor.check(&0, Priority::Exchange, LOCAL), Decision::Admitted);
    for millisecond in 0..20_000 {
        clock.advance(MILLISECOND);
        for _ in 0..20 {
            stranger += 1;
            let _ = governor.check(&stranger, Priority::Exchange, LOCAL);
        }
        if millisecond % 1000 == 0 {
            governor.sweep();
        }
        if millisecond % 250 == 0 {
            asked += 1;
            admitted +=
                u32::from(governor.check(&0, Priority::Exchange, LOCAL) == Decision::Admitted);
        }
    }
    assert!(admitted * 10 >= asked * 9, "{admitted} of {asked}");
    assert!(governor.tracked_callers() <= 64);
}

#[test]
fn after_the_flood_the_rate_is_back_at_once() {
    let (governor, clock) = governor(config());
    for _ in 0..2_000 {
        clock.advance(MILLISECOND);
        for flooder in 1..=16 {
            let _ = governor.check(&flooder, Priority::Exchange, LOCAL);
        }
    }
    clock.advance(Duration::from_secs(3));
    let burst = (0..1000)
        .take_while(|_| governor.check(&0, Priority::Exchange, LOCAL) == Decision::Admitted)
        .count();
    assert_eq!(burst, 100);
}
