//! A stranger who picks ids and names, against a hasher that may be good, weak or no hasher at all.

use std::hash::{BuildHasher, DefaultHasher, Hasher};
use std::time::Duration;

use proptest::prelude::*;

use super::{T, at, config};
use crate::store::ACCOUNT_BYTES;
use crate::sync::EMPTY_MAP_BYTES;
use crate::{DedupStore, Outcome, Standing};

/// Keeps so many bits of a hash: with 0 all keys fall into one bucket.
#[derive(Debug, Clone, Copy)]
struct Weak(u64);

struct WeakHasher(DefaultHasher, u64);

impl BuildHasher for Weak {
    type Hasher = WeakHasher;

    fn build_hasher(&self) -> WeakHasher {
        WeakHasher(DefaultHasher::new(), self.0)
    }
}

impl Hasher for WeakHasher {
    fn finish(&self) -> u64 {
        self.0.finish() & self.1
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }
}

const CAPACITY: usize = 64;
const PER_INTRODUCER: usize = 8;
const RESERVED: usize = 24;
/// Known callers; as many as their own caps let the reserved room hold.
const HONEST: u64 = 3;

/// The most that tables of so many entries can take: an eighth stays free, growth doubles, and each shard starts with 4.
fn most_slots(entries: usize) -> usize {
    64 * 4 + entries * 8 / 7 * 4
}

#[derive(Debug, Clone)]
enum Step {
    /// A stranger calls, under a name and with an id of its choice, which may be one that somebody else has used.
    Attack {
        id: u64,
        name: u64,
    },
    /// A known caller asks for something new.
    Honest {
        caller: u64,
    },
    Pass {
        seconds: u64,
    },
    Shrink,
}

fn step() -> impl Strategy<Value = Step> {
    let id = prop_oneof![3 => any::<u64>(), 1 => 0..200_u64];
    prop_oneof![
        12 => (id, prop_oneof![0..4_u64, any::<u64>()]).prop_map(|(id, name)| Step::Attack { id, name }),
        2 => (0..HONEST).prop_map(|caller| Step::Honest { caller }),
        1 => (0..40_u64).prop_map(|seconds| Step::Pass { seconds }),
        1 => Just(Step::Shrink),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn strangers_neither_exceed_the_memory_nor_push_out_a_known_caller(
        bits in prop_oneof![Just(0), Just(0xff), Just(0xff << 56), Just(u64::MAX)],
        steps in prop::collection::vec(step(), 1..400),
    ) {
        let store: DedupStore<u64, (bool, u64), Duration, Weak> =
            DedupStore::with_hasher(config(CAPACITY, PER_INTRODUCER, RESERVED), at(0), Weak(bits));
        let (mut now, mut next_id) = (0, 1 << 40);
        // What known callers have entered, and when; and every id that was ever taken as new.
        let mut entered: Vec<(u64, u64, u64)> = Vec::new();
        let mut taken = std::collections::HashSet::new();
        for step in steps {
            match step {
                Step::Attack { id, name } => {
                    match store.check_and_insert(id, (false, name), Standing::Newcomer, at(now)) {
                        Outcome::New => drop(taken.insert(id)),
                        Outcome::Duplicate { .. } => prop_assert!(taken.contains(&id), "a false duplicate"),
                        Outcome::IntroducerFull { held, limit } => prop_assert!(held == limit && limit == PER_INTRODUCER),
                        Outcome::Full { held, limit } => prop_assert!(held >= limit && [CAPACITY - RESERVED, CAPACITY].contains(&limit)),
                    }
                }
                Step::Honest { caller } => {
                    next_id += 1;
                    let outcome = store.check_and_insert(next_id, (true, caller), Standing::Known, at(now));
                    let generation = now / T.as_secs();
                    let held = entered.iter().filter(|(_, by, when)| *by == caller && when / T.as_secs() + 1 >= generation);
                    match held.count() {
                        PER_INTRODUCER => prop_assert_eq!(outcome, Outcome::IntroducerFull { held: PER_INTRODUCER, limit: PER_INTRODUCER }),
                        _ => prop_assert_eq!(outcome, Outcome::New),
                    }
                    if outcome == Outcome::New {
                        entered.push((next_id, caller, now));
                        taken.insert(next_id);
                    }
                }
                Step::Pass { seconds } => now += seconds,
                Step::Shrink => store.shrink(),
            }
            prop_assert!(store.len() <= CAPACITY && store.introducers() <= 2 * CAPACITY);
            let entry = size_of::<(u64, u64)>() + 1;
            let account = size_of::<((bool, u64), crate::account::SharedAccount)>() + 1;
            let accounts = most_slots(2 * CAPACITY) * account + 2 * CAPACITY * ACCOUNT_BYTES;
            let most = most_slots(CAPACITY) * entry + accounts + 2 * EMPTY_MAP_BYTES;
            prop_assert!(store.memory_estimate() <= most, "{} bytes", store.memory_estimate());
        }
        // Nothing that a known caller entered within T is forgotten, whatever came between.
        for (id, _, when) in entered {
            if now - when <= T.as_secs() {
                let outcome = store.check_and_insert(id, (false, 0), Standing::Newcomer, at(now));
                prop_assert_eq!(outcome, Outcome::Duplicate { first_seen: at(when) });
            }
        }
    }
}
