//! How time is shared out: each node answers before its own caller gives up.

use std::time::Duration;

use proptest::prelude::*;
use unring_peer::Identity;

use super::support::*;
use crate::config::{MAX_REQUEST_TIME, MIN_CALL_TIMEOUT};
use crate::engine::deadline::{answer_within, call_timeout};
use crate::{Admission, Disposition, Incomplete};

proptest! {
    #[test]
    fn a_child_gives_up_before_its_parent_answers_who_answers_in_time(nanos in 0..=u64::MAX) {
        let budget = Duration::from_nanos(nanos);
        prop_assert!(answer_within(budget) <= budget);
        if let Some(timeout) = call_timeout(budget) {
            prop_assert!(timeout >= MIN_CALL_TIMEOUT);
            prop_assert!(timeout < answer_within(budget));
            prop_assert!(answer_within(budget) < budget);
        } else {
            prop_assert!(budget < MIN_CALL_TIMEOUT * 2, "{budget:?} is worth asking with");
        }
    }
}

#[test]
fn ten_seconds_last_for_64_hops() {
    let mut budget = BUDGET;
    for hop in 1..=64 {
        budget = call_timeout(budget).unwrap_or_else(|| panic!("nothing left at hop {hop}"));
    }
    assert!(budget >= MIN_CALL_TIMEOUT, "{budget:?}");
}

#[test]
fn too_little_time_is_answered_at_once() {
    let mut node = Harness::new(&["a"]);
    let budgets = [Duration::ZERO, Duration::from_nanos(1), MIN_CALL_TIMEOUT];
    for budget in budgets {
        match node.request_within(None, recursive(None), budget) {
            Ok(Disposition::Answered(answer)) => {
                assert_eq!(answer.incomplete, [Incomplete::Deadline].into(), "{budget:?}");
            }
            other => panic!("{budget:?}: {other:?}"),
        }
    }
    assert!(node.actions().is_empty());
}

#[test]
fn the_answer_comes_before_the_caller_gives_up() {
    for budget in [millis(80), millis(500), seconds(1), BUDGET, seconds(50)] {
        let mut node = Harness::new(&["a", "b"]);
        let peer = Identity::generate();
        let Ok(Disposition::Pending(inbound)) = node.request_within(None, recursive(None), budget)
        else {
            panic!("not forwarded")
        };
        let calls = calls(node.actions());
        assert!(calls.iter().all(|call| call.timeout < budget));
        node.call_done(calls[0].call, &peer, &[record(&peer, 1)]);
        assert!(answers(node.actions()).is_empty(), "it waits for the other");

        assert!(answers(node.run(calls[1].timeout)).is_empty(), "it may still come");
        let rest = budget - calls[1].timeout - Duration::from_nanos(1);
        let (done, answer) = answers(node.run(rest)).pop().expect("an answer in time");
        assert_eq!(done, inbound);
        assert_eq!(answer.incomplete, [Incomplete::UpstreamFailed].into());
        assert_eq!(answer.records.len(), 2, "with what there is");
        let late = answer.upstreams.iter().find(|upstream| upstream.error.is_some());
        assert_eq!(late.expect("the one that said nothing").address, "b");
        assert_eq!(answer.upstreams.len(), 2);
        assert!(answers(node.run(budget)).is_empty(), "once");
    }
}

#[test]
fn no_caller_can_make_a_request_wait_for_long() {
    let mut node = Harness::new(&["a"]);
    let Ok(Disposition::Pending(_)) = node.request_within(None, recursive(None), Duration::MAX)
    else {
        panic!("not forwarded")
    };
    assert!(calls(node.actions())[0].timeout < MAX_REQUEST_TIME);
    assert_eq!(answers(node.run(MAX_REQUEST_TIME)).len(), 1);
}

#[test]
fn a_used_up_cpu_budget_answers_from_the_book() {
    let origin = Identity::generate();
    let caller = Some(origin.peer_id());
    let mut node = Harness::new(&["a"]);
    let degraded = Admission::Degraded { retry_after: seconds(3) };
    let request = recursive(Some(trace(&origin, 1)));
    let answered = node.engine.on_request(node.now, caller, request.clone(), degraded, BUDGET);
    let Ok(Disposition::Answered(answer)) = answered else { panic!("{answered:?}") };
    assert_eq!(answer.incomplete, [Incomplete::Degraded].into());
    assert!(!answer.is_complete());
    assert_eq!(answer.retry_after, Some(seconds(3)));
    assert_eq!(answer.request_id, Some(trace(&origin, 1).request_id));
    assert!(node.actions().is_empty());
    assert_eq!((node.engine.counters().degraded, node.verified.traces.get()), (1, 0));
    // It was not entered as seen, and a local request is not degraded by it.
    node.forwarded(caller, request);
    let answered = node.engine.on_request(node.now, caller, local(), degraded, BUDGET);
    let Ok(Disposition::Answered(answer)) = answered else { panic!("{answered:?}") };
    assert!(answer.is_complete() && answer.retry_after.is_none());
}

#[test]
fn what_upstreams_say_is_passed_on() {
    let peer = Identity::generate();
    let mut node = Harness::new(&["a", "b"]);
    let (_, calls) = node.forwarded(None, recursive(None));
    let mut answer = remote(&peer, &[]);
    answer.incomplete = [Incomplete::Degraded, Incomplete::Loop].into();
    answer.retry_after = Some(DAY);
    node.engine.on_call_done(node.now, calls[0].call, Ok(answer), true);
    node.call_done(calls[1].call, &peer, &[]);
    let (_, answer) = answers(node.actions()).pop().expect("an answer");
    assert_eq!(answer.incomplete, [Incomplete::Degraded, Incomplete::Loop].into());
    assert_eq!(answer.retry_after, Some(seconds(300)), "nobody can send callers away for a day");
}
