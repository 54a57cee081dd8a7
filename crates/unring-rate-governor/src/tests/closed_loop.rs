//! The governor itself in the loop: callers flood it, what it admits uses CPU, what it refuses uses a little.

use super::{LOCAL, MILLISECOND, RECURSIVE, config, governor};
use crate::{CONTROL_PERIOD, Config, Decision, Priority, Rate};

/// CPU seconds of an answer from what is at hand, of a recursive one, and of a refusal.
const ANSWER: f64 = 300e-6;
const RECURSION: f64 = 1_200e-6;
const REFUSAL: f64 = 2e-6;

/// Seconds `from..to` of a run: CPU as a part of the budget for each second, and the honest caller's success.
struct Seen {
    cpu: Vec<f64>,
    asked: u32,
    answered: u32,
}

/// 16 callers offer `times` what the budget of 5 % can answer, one honest caller asks twice a second.
fn flood(times: f64, seconds: u32) -> Seen {
    let (governor, clock) = governor(Config {
        total: Rate::new(1_000, 500).unwrap(),
        per_caller: Rate::new(250, 100).unwrap(),
        ..config()
    });
    let budget = governor.budget().share();
    let offered_per_ms = budget * times / ANSWER / 1000.0;
    let mut seen = Seen { cpu: Vec::new(), asked: 0, answered: 0 };
    let (mut owed, mut period_cpu, mut second_cpu, mut turn) = (0.0, 0.0, 0.0, 0_u32);
    for millisecond in 1..=seconds * 1000 {
        clock.advance(MILLISECOND);
        owed += offered_per_ms;
        let mut ask = |caller: u32, dear: bool| {
            let cost = if dear { RECURSIVE } else { LOCAL };
            let decision = governor.check(&caller, Priority::Exchange, cost);
            period_cpu += match decision {
                Decision::Admitted if dear => RECURSION,
                Decision::Admitted | Decision::Degraded(_) => ANSWER,
                Decision::Refused(_) => REFUSAL,
            };
            !matches!(decision, Decision::Refused(_))
        };
        while owed >= 1.0 {
            owed -= 1.0;
            turn += 1;
            ask(1 + turn % 16, turn % 5 == 0);
        }
        if millisecond % 500 == 0 {
            seen.asked += 1;
            seen.answered += u32::from(ask(0, millisecond % 1000 == 0));
        }
        if u128::from(millisecond) % CONTROL_PERIOD.as_millis() == 0 {
            let _ =
                governor.update(Some(period_cpu / CONTROL_PERIOD.as_secs_f64()), CONTROL_PERIOD);
            second_cpu += period_cpu;
            period_cpu = 0.0;
        }
        if millisecond % 1000 == 0 {
            seen.cpu.push(second_cpu / budget);
            second_cpu = 0.0;
        }
    }
    seen
}

#[test]
fn a_flood_is_held_at_the_budget_and_the_honest_caller_is_answered() {
    for times in [2.0, 5.0, 20.0] {
        let seen = flood(times, 30);
        let settled = &seen.cpu[5..];
        let mean = settled.iter().sum::<f64>() / settled.len() as f64;
        assert!((mean - 1.0).abs() < 0.1, "{times} times: mean {mean}, {:.2?}", seen.cpu);
        assert!(
            settled.iter().all(|cpu| (0.8..1.2).contains(cpu)),
            "{times} times: {:.2?}",
            seen.cpu
        );
        assert_eq!(seen.answered, seen.asked, "{times} times");
    }
}

#[test]
fn below_the_budget_nothing_is_limited() {
    let seen = flood(0.3, 20);
    assert_eq!(seen.answered, seen.asked);
    let mean = seen.cpu.iter().sum::<f64>() / seen.cpu.len() as f64;
    // One in five is recursive at four times the cost: 0.3 * 1.6, and the honest caller's 1.5 %.
    assert!((mean - 0.51).abs() < 0.05, "{mean}");
}
