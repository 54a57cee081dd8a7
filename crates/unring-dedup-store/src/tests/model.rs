//! The store against the plainest list that keeps the same promises.

use proptest::prelude::*;

use super::{T, at, store};
use crate::{Outcome, Standing};

#[derive(Debug, Clone)]
enum Step {
    Insert {
        key: u64,
        introducer: u8,
        standing: Standing,
    },
    Contains {
        key: u64,
    },
    Rotate,
    Advance {
        seconds: u64,
    },
    /// The clock is read as this much earlier, for one insert.
    InsertInThePast {
        key: u64,
        seconds: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let standing = prop_oneof![Just(Standing::Known), Just(Standing::Newcomer)];
    prop_oneof![
        8 => (0..20_u64, 0..4_u8, standing).prop_map(|(key, introducer, standing)| Step::Insert { key, introducer, standing }),
        2 => (0..20_u64).prop_map(|key| Step::Contains { key }),
        1 => Just(Step::Rotate),
        3 => (0..100_u64).prop_map(|seconds| Step::Advance { seconds }),
        1 => (0..20_u64, 0..300_u64).prop_map(|(key, seconds)| Step::InsertInThePast { key, seconds }),
    ]
}

const CAPACITY: usize = 12;
const PER_INTRODUCER: usize = 5;
const RESERVED: usize = 4;

/// What is alive, with no thought for speed. `latest` is the largest time told to it.
#[derive(Debug, Default)]
struct Model {
    entries: Vec<(u64, u8, Standing, u64)>,
    latest: u64,
}

impl Model {
    fn expire(&mut self, now: u64) {
        self.latest = self.latest.max(now);
        let generation = self.latest / T.as_secs();
        self.entries.retain(|&(.., seconds)| seconds / T.as_secs() + 1 >= generation);
    }

    fn insert(&mut self, key: u64, introducer: u8, standing: Standing, now: u64) -> Outcome {
        self.expire(now);
        if let Some(&(.., seconds)) = self.entries.iter().find(|entry| entry.0 == key) {
            return Outcome::Duplicate { first_seen: at(seconds) };
        }
        let held = self.entries.iter().filter(|entry| entry.1 == introducer).count();
        if held >= PER_INTRODUCER {
            return Outcome::IntroducerFull { held, limit: PER_INTRODUCER };
        }
        if self.entries.len() >= CAPACITY {
            return Outcome::Full { held: self.entries.len(), limit: CAPACITY };
        }
        let newcomers = self.entries.iter().filter(|entry| entry.2 == Standing::Newcomer).count();
        if standing == Standing::Newcomer && newcomers >= CAPACITY - RESERVED {
            return Outcome::Full { held: newcomers, limit: CAPACITY - RESERVED };
        }
        let start = self.latest / T.as_secs() * T.as_secs();
        self.entries.push((key, introducer, standing, now.max(start)));
        Outcome::New
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn behaves_as_the_model(start in 0..1000_u64, steps in prop::collection::vec(step(), 1..80)) {
        let store = store(CAPACITY, PER_INTRODUCER, RESERVED);
        let mut model = Model::default();
        let mut now = start;
        for step in steps {
            match step {
                Step::Insert { key, introducer, standing } => {
                    let outcome = store.check_and_insert(key, introducer, standing, at(now));
                    prop_assert_eq!(outcome, model.insert(key, introducer, standing, now));
                }
                Step::InsertInThePast { key, seconds } => {
                    let past = now.saturating_sub(seconds);
                    let outcome = store.check_and_insert(key, 0, Standing::Known, at(past));
                    prop_assert_eq!(outcome, model.insert(key, 0, Standing::Known, past));
                }
                Step::Contains { key } => {
                    let latest = now.max(model.latest);
                    let alive = model.entries.iter().any(|e| e.0 == key && e.3 / T.as_secs() + 1 >= latest / T.as_secs());
                    prop_assert_eq!(store.contains(&key, at(now)), alive);
                }
                Step::Rotate => {
                    store.rotate(at(now));
                    model.expire(now);
                    prop_assert_eq!(store.len(), model.entries.len());
                }
                Step::Advance { seconds } => now += seconds,
            }
            prop_assert!(store.len() <= CAPACITY);
            for introducer in 0..4 {
                let held = model.entries.iter().filter(|entry| entry.1 == introducer).count();
                prop_assert_eq!(store.held_by(&introducer), held);
            }
        }
    }
}
