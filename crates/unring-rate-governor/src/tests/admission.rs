//! What is admitted, degraded and refused, and what the refused are told.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use proptest::prelude::*;

use super::{LOCAL, MILLISECOND, RECURSIVE, config, governor, overload};
use crate::{
    Config, CpuBudget, Decision, FLOOR, InvalidRate, Limited, MAX_RATE, MAX_SCALE, Priority, Rate,
    WhichLimit,
};
use Priority::{Critical, Exchange, Probe};

fn limited(decision: Decision) -> Limited {
    match decision {
        Decision::Refused(limited) | Decision::Degraded(limited) => limited,
        Decision::Admitted => panic!("admitted"),
    }
}

#[test]
fn a_callers_burst_then_its_rate() {
    let (governor, clock) = governor(config());
    let burst =
        (0..1000).take_while(|_| governor.check(&1, Exchange, LOCAL) == Decision::Admitted).count();
    assert_eq!(burst, 100);
    let refused = limited(governor.check(&1, Exchange, LOCAL));
    assert_eq!(
        (refused.limit, refused.retry_after),
        (WhichLimit::Caller, Duration::from_millis(10))
    );
    assert!((refused.rate_per_second - 100.0).abs() < 1e-9);
    assert_eq!(
        refused.to_string(),
        "caller's limit of 100.0 units a second reached, retry after 10ms"
    );
    let mut admitted = 0;
    for _ in 0..10_000 {
        clock.advance(MILLISECOND);
        admitted += u32::from(governor.check(&1, Exchange, LOCAL) == Decision::Admitted);
    }
    assert_eq!(admitted, 1000, "in 10 s");
}

#[test]
fn dear_requests_are_degraded_before_any_is_refused() {
    let (governor, _) = governor(config());
    let mut order = Vec::new();
    for _ in 0..200 {
        let name = match governor.check(&1, Exchange, RECURSIVE) {
            Decision::Admitted => "admitted",
            Decision::Degraded(_) => "degraded",
            Decision::Refused(_) => "refused",
        };
        if order.last().is_none_or(|(last, _)| *last != name) {
            order.push((name, 0));
        }
        order.last_mut().unwrap().1 += 1;
    }
    // 25 x 4 units empty the bucket to the last cell, so there is nothing to degrade to.
    assert_eq!(order, [("admitted", 25), ("refused", 175)]);
    // With a remainder there is.
    let (governor, _) = super::governor(config());
    let _ = governor.check(&1, Exchange, NonZeroU32::new(2).unwrap());
    let names: Vec<Decision> = (0..28).map(|_| governor.check(&1, Exchange, RECURSIVE)).collect();
    assert!(names[..24].iter().all(|decision| *decision == Decision::Admitted));
    assert!(names[24..26].iter().all(|decision| matches!(decision, Decision::Degraded(_))));
    assert!(names[26..].iter().all(|decision| matches!(decision, Decision::Refused(_))));
}

#[test]
fn the_total_degrades_dear_requests_while_cheap_ones_pass() {
    let wide = Config { per_caller: Rate::new(500, 10_000).unwrap(), ..config() };
    let (governor, _) = governor(wide);
    // One caller after the other takes a little, until three quarters of the total are used.
    for caller in 0..38 {
        for _ in 0..10 {
            assert_eq!(governor.check(&caller, Exchange, LOCAL), Decision::Admitted);
        }
    }
    let decision = governor.check(&50, Exchange, RECURSIVE);
    let Decision::Degraded(limited) = decision else { panic!("{decision:?}") };
    assert_eq!(limited.limit, WhichLimit::Total);
    assert!(matches!(governor.check(&50, Probe, LOCAL), Decision::Refused(_)));
    assert_eq!(governor.check(&50, Exchange, LOCAL), Decision::Admitted);
}

#[test]
fn the_refused_are_charged_nothing() {
    let (total, per_caller) = (Rate::new(10, 10).unwrap(), Rate::new(10, 100).unwrap());
    let (governor, clock) = governor(Config { total, per_caller, ..config() });
    for caller in 0..10 {
        assert_eq!(governor.check(&caller, Exchange, LOCAL), Decision::Admitted);
    }
    for _ in 0..10_000 {
        assert_eq!(limited(governor.check(&20, Exchange, LOCAL)).limit, WhichLimit::Total);
    }
    clock.advance(Duration::from_secs(3));
    // Its own bucket is untouched by 10 000 refusals: it may use the whole total now.
    for _ in 0..10 {
        assert_eq!(governor.check(&20, Exchange, LOCAL), Decision::Admitted);
    }
}

#[test]
fn critical_requests_have_a_lane_that_no_load_takes() {
    let (governor, clock) = governor(config());
    overload(&governor);
    for caller in 0..60 {
        while governor.check(&caller, Exchange, LOCAL) == Decision::Admitted {}
    }
    // A caller that has used up everything else still gets its health check through, and so does a new one.
    assert_eq!(governor.check(&0, Critical, LOCAL), Decision::Admitted);
    assert_eq!(governor.check(&61, Critical, RECURSIVE), Decision::Admitted);
    // The lane is bounded too, per caller and in total.
    let burst =
        (0..1000).take_while(|_| governor.check(&0, Critical, LOCAL) == Decision::Admitted).count();
    assert_eq!(burst, 9);
    for caller in 0..60 {
        while governor.check(&caller, Critical, LOCAL) == Decision::Admitted {}
    }
    assert!(matches!(governor.check(&62, Critical, LOCAL), Decision::Refused(_)));
    clock.advance(Duration::from_millis(100));
    assert_eq!(governor.check(&62, Critical, LOCAL), Decision::Admitted);
}

#[test]
fn the_critical_lane_charges_nothing_for_a_refusal() {
    // The lane gets 10 a second, one caller's part of it 1.
    let (total, per_caller) = (Rate::new(100, 100).unwrap(), Rate::new(10, 100).unwrap());
    let (governor, clock) = governor(Config { total, per_caller, ..config() });
    overload(&governor);
    // One caller after the other empties the lane and, at the largest scale, the total.
    for caller in 0..20 {
        while governor.check(&caller, Critical, LOCAL) == Decision::Admitted {}
    }
    for _ in 0..1000 {
        assert!(matches!(governor.check(&50, Critical, LOCAL), Decision::Refused(_)));
    }
    // A second later the lane has room again, and the caller that was refused so often may use it all.
    clock.advance(Duration::from_secs(1));
    let burst = (0..1000)
        .take_while(|_| governor.check(&50, Critical, LOCAL) == Decision::Admitted)
        .count();
    assert!(burst >= 10, "{burst}");
}

#[test]
fn without_load_critical_is_never_worse_than_exchange() {
    let (governor, _) = governor(config());
    let burst =
        (0..1000).take_while(|_| governor.check(&1, Critical, LOCAL) == Decision::Admitted).count();
    assert_eq!(burst, 10 + 100);
}

#[test]
fn a_tenth_of_the_normal_rate_passes_at_the_largest_scale() {
    for callers in [1, 5, 40] {
        let (governor, clock) = governor(config());
        overload(&governor);
        let mut admitted = 0;
        for millisecond in 0..22_000 {
            clock.advance(MILLISECOND);
            for caller in 0..callers {
                let passed = governor.check(&caller, Exchange, LOCAL) == Decision::Admitted;
                // The first seconds spend the bursts.
                admitted += u32::from(passed && millisecond >= 2_000);
            }
        }
        let possible = f64::from(callers * config().per_caller.per_second()).min(500.0);
        let floor = possible * FLOOR * 20.0;
        assert!(
            (floor * 0.98..floor * 1.1).contains(&f64::from(admitted)),
            "{admitted} of {callers}, floor {floor}"
        );
    }
}

#[test]
fn a_cost_beyond_the_burst_passes_in_the_end() {
    let (governor, clock) = governor(config());
    overload(&governor);
    let huge = NonZeroU32::MAX;
    assert_eq!(governor.check(&1, Exchange, huge), Decision::Admitted);
    let refused = limited(governor.check(&1, Exchange, huge));
    clock.advance(refused.retry_after);
    assert_eq!(governor.check(&1, Exchange, huge), Decision::Admitted);
}

#[test]
fn at_the_cap_of_callers_the_rest_share_one_account() {
    let (governor, clock) =
        governor(Config { max_callers: NonZeroUsize::new(3).unwrap(), ..config() });
    for caller in 0..100 {
        let _ = governor.check(&caller, Exchange, LOCAL);
    }
    assert_eq!(governor.tracked_callers(), 3);
    assert_eq!(governor.active_callers(), 4);
    // 97 units of the shared account are used: 3 are left for all, and its limit has a name of its own.
    let refused =
        (200..210).map(|caller| governor.check(&caller, Exchange, LOCAL)).filter_map(|decision| {
            match decision {
                Decision::Refused(limited) => Some(limited.limit),
                _ => None,
            }
        });
    assert_eq!(refused.collect::<Vec<_>>(), [WhichLimit::EveryoneElse; 7]);
    assert_eq!(governor.check(&1, Exchange, LOCAL), Decision::Admitted);
    clock.advance(Duration::from_secs(5));
    assert_eq!(governor.sweep(), 3);
    assert_eq!(governor.check(&300, Exchange, LOCAL), Decision::Admitted);
    assert_eq!(governor.tracked_callers(), 1);
}

#[test]
fn sweep_keeps_whoever_owes_something() {
    let (governor, clock) = governor(config());
    assert_eq!(governor.check(&1, Exchange, LOCAL), Decision::Admitted);
    assert_eq!(governor.check(&2, Critical, LOCAL), Decision::Admitted);
    for _ in 0..50 {
        assert_eq!(governor.check(&3, Exchange, LOCAL), Decision::Admitted);
    }
    assert_eq!((governor.sweep(), governor.tracked_callers()), (0, 3));
    clock.advance(Duration::from_millis(200));
    // The two that asked once have it back, the third owes 30 units and is still held to its rate.
    assert_eq!((governor.sweep(), governor.tracked_callers()), (2, 1));
    let rest =
        (0..1000).take_while(|_| governor.check(&3, Exchange, LOCAL) == Decision::Admitted).count();
    assert_eq!(rest, 70);
}

#[test]
fn the_map_of_callers_stays_within_its_cap_between_threads() {
    let (governor, _) =
        governor(Config { max_callers: NonZeroUsize::new(50).unwrap(), ..config() });
    std::thread::scope(|scope| {
        for thread in 0..8_u32 {
            let governor = &governor;
            scope.spawn(move || {
                for caller in 0..2_000 {
                    let _ = governor.check(&(caller * 8 + thread), Exchange, LOCAL);
                    assert!(governor.tracked_callers() <= 50);
                    if caller % 97 == 0 {
                        governor.sweep();
                    }
                }
            });
        }
    });
    assert!(governor.tracked_callers() <= 50);
}

#[test]
fn callers_that_arrive_twice_at_once_are_counted_once() {
    let (governor, _) = governor(config());
    let barrier = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for caller in 0..60 {
                    barrier.wait();
                    let _ = governor.check(&caller, Exchange, LOCAL);
                }
            });
        }
    });
    assert_eq!((governor.tracked_callers(), governor.active_callers()), (60, 60));
}

#[test]
fn rates_outside_the_range_are_refused_with_their_number() {
    assert_eq!(Rate::new(0, 10), Err(InvalidRate::PerSecond { got: 0 }));
    assert_eq!(Rate::new(MAX_RATE + 1, 10), Err(InvalidRate::PerSecond { got: MAX_RATE + 1 }));
    assert_eq!(Rate::new(1, 9), Err(InvalidRate::Burst { got: 9 }));
    assert_eq!(Rate::new(1, MAX_RATE + 1), Err(InvalidRate::Burst { got: MAX_RATE + 1 }));
    for percent in [0.0, 0.49, 100.1, -5.0, f64::NAN, f64::INFINITY] {
        let error = CpuBudget::from_percent(percent).unwrap_err();
        assert!(error.to_string().contains("0.5 and 100"), "{error}");
    }
}

#[test]
fn the_budget_changes_while_running() {
    let (governor, _) = governor(config());
    let half = CpuBudget::from_percent(50.0).unwrap();
    governor.set_budget(half);
    assert_eq!(governor.budget(), half);
    assert!((governor.update(Some(0.4), crate::CONTROL_PERIOD).scale - 1.0).abs() < 1e-9);
    governor.set_budget(CpuBudget::DEFAULT);
    assert!(governor.update(Some(0.4), crate::CONTROL_PERIOD).scale > 1.5);
}

proptest! {
    /// Whoever waits as long as it was told gets in, at any rate, scale and cost, if nobody else asks meanwhile.
    #[test]
    fn a_retry_delay_obeyed_succeeds(
        per_second in 1..=MAX_RATE,
        burst in 10..=10_000_u32,
        share in 1..=20_u32,
        cost in 1..=50_u32,
        cpu in 0.0..2.0_f64,
        gaps in prop::collection::vec(0..50_u64, 1..50),
    ) {
        let total = Rate::new(per_second, burst).unwrap();
        let per_caller = Rate::new(per_second.div_ceil(share), burst).unwrap();
        let (governor, clock) = governor(Config { total, per_caller, ..config() });
        for _ in 0..20 {
            let _ = governor.update(Some(cpu), crate::CONTROL_PERIOD);
        }
        let cost = NonZeroU32::new(cost).unwrap();
        for gap in gaps {
            clock.advance(MILLISECOND * u32::try_from(gap).unwrap());
            if let Decision::Refused(limited) = governor.check(&1, Exchange, cost) {
                prop_assert!(limited.retry_after >= MILLISECOND);
                clock.advance(limited.retry_after);
                prop_assert_eq!(governor.check(&1, Exchange, cost), Decision::Admitted);
            }
        }
        prop_assert!(governor.scale() <= MAX_SCALE);
    }

    /// No sequence of calls gets more through than the total allows, bursts and the critical lane included.
    #[test]
    fn the_total_is_never_exceeded(
        calls in prop::collection::vec((0..30_u32, 0..3_u8, 1..6_u32, 0..30_u64), 1..500),
    ) {
        let (governor, clock) = governor(Config {
            total: Rate::new(100, 50).unwrap(),
            per_caller: Rate::new(80, 40).unwrap(),
            ..config()
        });
        let (mut admitted, mut elapsed) = (0, 0);
        for (caller, priority, cost, gap) in calls {
            clock.advance(MILLISECOND * u32::try_from(gap).unwrap());
            elapsed += gap;
            let priority = [Critical, Exchange, Probe][usize::from(priority)];
            admitted += match governor.check(&caller, priority, NonZeroU32::new(cost).unwrap()) {
                Decision::Admitted => u64::from(cost),
                Decision::Degraded(_) => 1,
                Decision::Refused(_) => 0,
            };
            let allowed = 50 + elapsed * 100 / 1000 + 10 + elapsed * 10 / 1000;
            prop_assert!(admitted <= allowed + 1, "{} of {} after {} ms", admitted, allowed, elapsed);
        }
    }
}
