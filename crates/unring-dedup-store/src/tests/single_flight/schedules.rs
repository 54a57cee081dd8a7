//! Any order of calls, ends and drops.

use proptest::prelude::*;

use super::{Call, flights, settle};
use crate::FlightRefused;

#[derive(Debug, Clone)]
enum Step {
    Call { key: u8 },
    Finish(prop::sample::Index),
    Cancel(prop::sample::Index),
    Poll(prop::sample::Index),
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..4_u8).prop_map(|key| Step::Call { key }),
        2 => any::<prop::sample::Index>().prop_map(Step::Finish),
        3 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        4 => any::<prop::sample::Index>().prop_map(Step::Poll),
        1 => Just(Step::Settle),
    ]
}

const KEYS: usize = 3;
const CALLERS: usize = 4;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn one_works_per_key_none_is_left_asleep_and_nothing_leaks(steps in prop::collection::vec(step(), 1..60)) {
        let flights = flights(KEYS, CALLERS);
        let (mut calls, mut keys): (Vec<Call<'_>>, Vec<u8>) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Call { key } => {
                    calls.push(Call::new(&flights, key, calls.len()));
                    keys.push(key);
                }
                Step::Finish(index) if !calls.is_empty() => index.get(&calls).finish(),
                Step::Cancel(index) if !calls.is_empty() => calls[index.index(keys.len())].cancel(),
                Step::Poll(index) if !calls.is_empty() => {
                    calls[index.index(keys.len())].poll_if_woken();
                }
                _ => settle(&mut calls),
            }
            for key in 0..4 {
                let working = calls.iter().zip(&keys).filter(|(call, k)| **k == key && call.works());
                prop_assert!(working.count() <= 1, "two work for {key}");
            }
            prop_assert!(flights.keys() <= KEYS);
        }
        // Once all work may end, polling only those who are woken ends every call.
        for call in &calls {
            call.finish();
        }
        settle(&mut calls);
        for (call, key) in calls.iter().zip(&keys) {
            prop_assert!(!call.is_open(), "asleep");
            match call.outcome {
                Some(Ok(leader)) => prop_assert_eq!(keys[leader], *key, "the result of another key"),
                Some(Err(FlightRefused::Keys { limit })) => prop_assert_eq!(limit, KEYS),
                Some(Err(FlightRefused::Callers { limit })) => prop_assert_eq!(limit, CALLERS),
                None => {}
            }
        }
        prop_assert_eq!(flights.keys(), 0);
    }
}
