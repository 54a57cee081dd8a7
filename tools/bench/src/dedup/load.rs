//! Who asks for what, and when: half of the calls bring a key for the first time, half one of the last `T / 2`.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::contenders::Seen;

/// How long a key is to be remembered.
pub(super) const T: Duration = Duration::from_secs(60);

/// Callers, each as often as the others.
pub(super) const CALLERS: u64 = 64;

/// Parts of `T` between two points at which the threads wait for each other, so that their clocks stay together.
pub(super) const CHUNKS: u64 = 4;

/// One question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) key: [u8; 16],
    pub(super) caller: u64,
    pub(super) now: Duration,
}

/// A load that goes on for as long as one asks. The same for each contender: it is a function of how far it has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    threads: u64,
    /// New keys within `T`.
    keys: u64,
    chunk: u64,
    pub(super) new: u64,
    pub(super) asked: u64,
}

impl Load {
    pub(super) fn new(threads: u64, keys: u64) -> Self {
        Self { threads, keys, chunk: 0, new: 0, asked: 0 }
    }

    /// Questions of a chunk, by all threads.
    pub(super) fn calls(&self) -> u64 {
        2 * (self.keys / CHUNKS / self.threads) * self.threads
    }

    /// Puts the questions of the next chunk, and says how long the answers took.
    pub(super) fn run(&mut self, seen: &impl Seen) -> Duration {
        let plans: Vec<Vec<Call>> = (0..self.threads).map(|thread| self.plan(thread)).collect();
        self.chunk += 1;
        let ask = |plan: &[Call]| {
            let started = Instant::now();
            let new = plan.iter().filter(|call| seen.is_new(call)).count();
            (started, Instant::now(), new as u64)
        };
        let answers = match plans.as_slice() {
            [plan] => vec![ask(plan)],
            plans => {
                let barrier = Barrier::new(plans.len());
                let ask_together = |plan: &[Call]| {
                    barrier.wait();
                    ask(plan)
                };
                thread::scope(|scope| {
                    let threads: Vec<_> =
                        plans.iter().map(|plan| scope.spawn(|| ask_together(plan))).collect();
                    threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
                })
            }
        };
        self.new += answers.iter().map(|(.., new)| new).sum::<u64>();
        self.asked += self.calls();
        let first = answers.iter().map(|(started, ..)| *started).min();
        let last = answers.iter().map(|(_, ended, _)| *ended).max();
        first.zip(last).map_or(Duration::ZERO, |(first, last)| last - first)
    }

    /// The questions of one thread. Made beforehand: to make them is no part of what is measured.
    fn plan(&self, thread: u64) -> Vec<Call> {
        let each = self.calls() / self.threads;
        let step = T / u32::try_from(each * CHUNKS).unwrap_or(u32::MAX);
        let start = (T / 4).saturating_mul(u32::try_from(self.chunk).unwrap_or(u32::MAX));
        let plan = (0..each).map(|index| {
            let dice = mix(self.chunk << 40 | thread << 32 | index);
            let newest = (self.chunk * each / 2 + index / 2) * self.threads + thread;
            // Chosen with the same probability from the keys of the last T / 2, so that every contender has them still.
            let number = match index % 2 {
                0 => newest,
                _ => newest.saturating_sub(dice % (self.keys / 2)),
            };
            let now = start + step * u32::try_from(index).unwrap_or(u32::MAX);
            Call { key: key(number), caller: (dice >> 32) % CALLERS, now }
        });
        plan.collect()
    }
}

/// Key number `number`: 16 bytes as random as those of a request id.
pub(super) fn key(number: u64) -> [u8; 16] {
    (u128::from(mix(number)) << 64 | u128::from(mix(!number))).to_ne_bytes()
}

/// SplitMix64's output function (Steele, Lea and Flood 2014): a permutation, so that no key comes twice.
fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Mutex;

    use super::*;

    struct All(Mutex<HashSet<[u8; 16]>>);

    impl Seen for All {
        fn is_new(&self, call: &Call) -> bool {
            self.0.lock().unwrap().insert(call.key)
        }
    }

    #[test]
    fn half_of_the_calls_bring_a_new_key() {
        for threads in [1, 2] {
            let mut load = Load::new(threads, 1000);
            let all = All(Mutex::default());
            for _ in 0..40 {
                load.run(&all);
            }
            let share = load.new as f64 / load.asked as f64;
            // A thread may ask for a key of the other one before that one does; only the very first has no earlier one.
            assert!((0.5..0.52).contains(&share), "{share} with {threads} threads");
        }
    }
}
