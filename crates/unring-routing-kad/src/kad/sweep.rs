//! When which of our keys is told again: a sweep through the key space, without clock or socket.
//!
//! A key's position is a hash, so positions are even; one that is told when the sweep comes by its position makes no bursts,
//! however many there are. Keys that are told together lie together, so one walk serves them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use unring_routing::Key;

use crate::kad::config::{MAX_BATCH, REPROVIDE_SLOTS};
use crate::kad::position::Position;

/// Which keys to tell, and when.
#[derive(Debug)]
pub(crate) struct Sweep {
    interval: Duration,
    /// Bounded by the router, which refuses further ones.
    keys: BTreeMap<Position, Key>,
    /// Of these, to be told as soon as can be: new, or failed, or passed by the sweep.
    pending: BTreeSet<Position>,
    /// Failed ones wait until then, and new ones with them.
    not_before: Option<Instant>,
    failures: u32,
    /// Keys that too few peers were told of, to be told again then; the others do not wait for them.
    few: BTreeSet<Position>,
    few_due: Option<Instant>,
    few_failures: u32,
    start: Instant,
    /// Slots begun since the start.
    slots: u64,
}

impl Sweep {
    /// Nothing to tell. Each key is told once in `interval`.
    pub(crate) fn new(interval: Duration, now: Instant) -> Self {
        let (keys, pending, not_before, failures) = Default::default();
        let (few, few_due, few_failures) = Default::default();
        let (start, slots) = (now, 0);
        Self {
            interval,
            keys,
            pending,
            not_before,
            failures,
            few,
            few_due,
            few_failures,
            start,
            slots,
        }
    }

    /// Tells these soon, and then again and again.
    pub(crate) fn add(&mut self, keys: &[Key]) {
        for key in keys {
            let position = Position(key.position());
            if self.keys.insert(position, *key).is_none() {
                self.pending.insert(position);
            }
        }
    }

    /// Tells these no more.
    pub(crate) fn remove(&mut self, keys: &[Key]) {
        for key in keys {
            let position = Position(key.position());
            self.keys.remove(&position);
            self.pending.remove(&position);
            self.few.remove(&position);
        }
    }

    /// Somebody came into reach: what failed is tried again now.
    pub(crate) fn retry(&mut self) {
        (self.failures, self.not_before) = (0, None);
        (self.few_failures, self.few_due) = (0, None);
        self.pending.append(&mut self.few);
    }

    /// All keys, by position.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (Position, Key)> {
        self.keys.iter().map(|(position, key)| (*position, *key))
    }

    pub(crate) fn slot(&self) -> Duration {
        self.interval / REPROVIDE_SLOTS
    }

    /// The keys to tell now: at most [`MAX_BATCH`], next to one another. They are out of the sweep's hands until it comes by again
    /// or [`failed`](Self::failed) brings them back.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Key> {
        self.advance(now);
        if self.few_due.is_some_and(|due| due <= now) {
            self.few_due = None;
            self.pending.append(&mut self.few);
        }
        if self.not_before.is_some_and(|then| now < then) {
            return Vec::new();
        }
        let mut due = Vec::new();
        while due.len() < MAX_BATCH
            && let Some(position) = self.pending.pop_first()
        {
            due.extend(self.keys.get(&position));
        }
        due
    }

    fn advance(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.start).as_nanos();
        let begun = passed / self.slot().as_nanos().max(1);
        let begun = u64::try_from(begun).unwrap_or(u64::MAX);
        // After a pause of a whole round everything is due, once.
        let from = self.slots.max(begun.saturating_sub(u64::from(REPROVIDE_SLOTS)));
        for slot in from..begun {
            let [first, last] = range(slot % u64::from(REPROVIDE_SLOTS));
            self.pending.extend(self.keys.range(first..=last).map(|(position, _)| position));
        }
        self.slots = begun.max(self.slots);
    }

    /// When to ask again.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        if self.keys.is_empty() {
            return None;
        }
        if !self.pending.is_empty() {
            return Some(self.not_before.unwrap_or(self.start));
        }
        let slots = u32::try_from(self.slots % u64::from(u32::MAX)).unwrap_or(u32::MAX);
        let passed = self.slot().checked_mul(slots.saturating_add(1))?;
        self.start.checked_add(passed).into_iter().chain(self.few_due).min()
    }

    /// Somebody was told of keys: those that fail are no fault of the network.
    pub(crate) fn succeeded(&mut self) {
        (self.failures, self.not_before) = (0, None);
    }

    /// There was no time for these: they come to their turn when the others have.
    pub(crate) fn left(&mut self, keys: &[Key]) {
        let known: Vec<Position> = keys.iter().filter_map(|key| self.position(key)).collect();
        self.pending.extend(known);
    }

    /// Too few were told of these, none if there is none: again after a time that doubles as that of [`failed`](Self::failed),
    /// while all other keys go on.
    pub(crate) fn told_few(&mut self, now: Instant, keys: &[Key]) {
        let few: Vec<Position> = keys.iter().filter_map(|key| self.position(key)).collect();
        if few.is_empty() {
            if self.few.is_empty() {
                self.few_failures = 0;
            }
            return;
        }
        self.few.extend(few);
        if self.few_due.is_none() {
            self.few_due = Some(now + self.delay(self.few_failures));
            self.few_failures = self.few_failures.saturating_add(1);
        }
    }

    /// The position of a key that is not withdrawn.
    fn position(&self, key: &Key) -> Option<Position> {
        Some(Position(key.position())).filter(|position| self.keys.contains_key(position))
    }

    fn delay(&self, failures: u32) -> Duration {
        (self.interval / 512) * (1 << failures.min(6))
    }

    /// Nobody was told these: again after a time that doubles from a 512th of the interval (1.4 s of 12 min) to an eighth.
    pub(crate) fn failed(&mut self, now: Instant, keys: &[Key]) {
        self.left(keys);
        self.not_before = Some(now + self.delay(self.failures));
        self.failures = self.failures.saturating_add(1);
    }

    /// Keys that are told again and again.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Of these, those that wait to be told now.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len() + self.few.len()
    }
}

/// The first and last position of a slot: its number is in the leading bits.
fn range(slot: u64) -> [Position; 2] {
    let bits = REPROVIDE_SLOTS.trailing_zeros();
    let leading = u8::try_from(slot << (8 - bits)).unwrap_or(0);
    let (mut first, mut last) = ([0; 32], [0xff; 32]);
    first[0] = leading;
    last[0] = leading | (0xff >> bits);
    [Position(first), Position(last)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(640);
    const SLOT: Duration = Duration::from_secs(10);

    fn keys(count: usize) -> Vec<Key> {
        (0..count).map(|n| Key::new(&n.to_string())).collect()
    }

    fn drain(sweep: &mut Sweep, now: Instant) -> Vec<Key> {
        let mut all = Vec::new();
        loop {
            let due = sweep.take_due(now);
            if due.is_empty() {
                return all;
            }
            assert!(due.len() <= MAX_BATCH);
            all.extend(due);
        }
    }

    #[test]
    fn slots_cover_the_key_space() {
        let ranges: Vec<_> = (0..u64::from(REPROVIDE_SLOTS)).map(range).collect();
        assert_eq!((ranges[0][0], ranges[63][1]), (Position([0; 32]), Position([0xff; 32])));
        for pair in ranges.windows(2) {
            assert_eq!(pair[0][1].0[0] + 1, pair[1][0].0[0]);
        }
    }

    #[test]
    fn new_keys_are_told_at_once_and_then_each_once_in_an_interval_evenly() {
        let start = Instant::now();
        let mut sweep = Sweep::new(INTERVAL, start);
        assert_eq!(sweep.next_due(), None);
        let keys = keys(6400);
        sweep.add(&keys);
        assert_eq!(sweep.next_due(), Some(start));
        assert_eq!(drain(&mut sweep, start).len(), 6400);
        for round in 0..3_u32 {
            let mut told = BTreeSet::new();
            for slot in 1..=REPROVIDE_SLOTS {
                let now = start + SLOT * (round * REPROVIDE_SLOTS + slot);
                assert_eq!(sweep.next_due(), Some(now));
                assert!(sweep.take_due(now - Duration::from_millis(1)).is_empty());
                let due = drain(&mut sweep, now);
                // 100 are expected; a deviation of 6 standard deviations would be no chance.
                assert!((40..=160).contains(&due.len()), "{} in a slot", due.len());
                let common = Position(due[0].position())
                    .common_bits(&Position(due[due.len() - 1].position()));
                assert!(common >= 6, "one walk serves them");
                told.extend(due);
            }
            assert_eq!(told.len(), 6400);
        }
    }

    #[test]
    fn a_key_added_on_the_way_is_told_again_within_an_interval() {
        let start = Instant::now();
        for n in 0..64 {
            let mut sweep = Sweep::new(INTERVAL, start);
            let now = start + SLOT * n + SLOT / 3;
            assert_eq!(drain(&mut sweep, now), []);
            let key = Key::new(&format!("late {n}"));
            sweep.add(&[key]);
            assert_eq!(drain(&mut sweep, now), [key]);
            let mut passed = Duration::ZERO;
            while drain(&mut sweep, now + passed) != [key] {
                passed += SLOT;
                assert!(passed <= INTERVAL + SLOT);
            }
            sweep.remove(&[key]);
            assert_eq!((sweep.len(), sweep.pending()), (0, 0));
        }
    }

    #[test]
    fn a_long_pause_tells_each_once() {
        let start = Instant::now();
        let mut sweep = Sweep::new(INTERVAL, start);
        sweep.add(&keys(100));
        assert_eq!(drain(&mut sweep, start).len(), 100);
        assert_eq!(drain(&mut sweep, start + INTERVAL * 1000).len(), 100);
    }

    #[test]
    fn failures_are_tried_again_ever_later_and_withdrawn_keys_never() {
        let start = Instant::now();
        let mut sweep = Sweep::new(INTERVAL, start);
        let keys = keys(2);
        sweep.add(&keys);
        let mut now = start;
        let mut last = Duration::ZERO;
        for _ in 0..10 {
            let due = sweep.take_due(now);
            assert_eq!(due.len(), 2);
            sweep.failed(now, &due);
            assert!(sweep.take_due(now).is_empty());
            let then = sweep.next_due().unwrap();
            assert!(then - now >= last && then - now <= INTERVAL / 8);
            (last, now) = (then - now, then);
        }
        assert_eq!(last, INTERVAL / 8);
        sweep.remove(&keys[..1]);
        assert_eq!(sweep.take_due(now), keys[1..]);
        sweep.failed(now, &keys);
        sweep.succeeded();
        assert_eq!(sweep.take_due(now), keys[1..], "what was withdrawn does not come back");
        sweep.failed(now, &keys);
        assert!(sweep.take_due(now).is_empty());
        sweep.retry();
        assert_eq!(sweep.take_due(now), keys[1..]);
    }

    #[test]
    fn what_too_few_were_told_of_is_tried_again_and_holds_up_nothing() {
        let start = Instant::now();
        let mut sweep = Sweep::new(INTERVAL, start);
        let keys = keys(3);
        sweep.add(&keys[..1]);
        let (mut now, mut delays) = (start, Vec::new());
        assert_eq!(sweep.take_due(now), keys[..1]);
        for _ in 0..9 {
            sweep.succeeded();
            sweep.told_few(now, &keys[..1]);
            let told = now;
            while sweep.take_due(now).is_empty() {
                now = sweep.next_due().unwrap();
            }
            delays.push(now - told);
        }
        assert!(delays[0] <= SLOT / 2 && delays[1] == delays[0] * 2, "{delays:?}");
        assert!(delays.iter().all(|delay| *delay <= INTERVAL / 8), "{delays:?}");
        sweep.told_few(now, &keys[..1]);
        sweep.add(&keys[1..2]);
        assert_eq!(sweep.next_due(), Some(start), "a new key does not wait");
        assert_eq!(sweep.take_due(now), keys[1..2]);
        assert_eq!((sweep.pending(), sweep.take_due(now)), (1, vec![]));
        sweep.retry();
        assert_eq!(sweep.take_due(now), keys[..1], "somebody came into reach");
        sweep.told_few(now, &keys[..1]);
        sweep.remove(&keys[..1]);
        assert_eq!(sweep.pending(), 0);
        sweep.left(&keys);
        assert_eq!(sweep.take_due(now), keys[1..2], "what is withdrawn does not come back");
    }
}
