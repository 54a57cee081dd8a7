//! Which records an answer holds.

use std::collections::BTreeSet;
use std::hint::black_box;

use rand::Rng as _;
use rand::rngs::StdRng;
use unring_peer::{PeerId, SignedRecord};

use crate::config::MAX_ANSWER_RECORDS;
use crate::engine::Engine;
use crate::message::Answer;
use crate::now::Now;
use crate::verifier::Verifier;

impl<V: Verifier> Engine<V> {
    /// An answer from the book: our own record, the asker's newest (a node whose database was lost hears of its `seq`),
    /// those of all nodes that others join to (they carry the topology), then a random sample of the others up to
    /// `max_peers`.
    pub(crate) fn answer(&mut self, now: Now, asker: Option<PeerId>, max_peers: usize) -> Answer {
        self.expire(now);
        self.poll_detector(now);
        let wanted = if max_peers == 0 { self.config.default_max_peers } else { max_peers };
        let askers_own = asker.and_then(|asker| self.book.get(&asker));
        let topology = Choice::all_but(self.book.topology(asker));
        let others = Choice::all_but(self.book.others(asker));
        let room = MAX_ANSWER_RECORDS - 1 - askers_own.iter().count();
        // A tenth stays for the sample: whoever signs records that join each other must not displace it.
        let reserved = wanted.min(others.len()).min(room / 10);
        let mut records = Vec::with_capacity(
            (2 + topology.len() + wanted.min(others.len())).min(MAX_ANSWER_RECORDS),
        );
        records.extend(self.own.record.iter().chain(askers_own).cloned());
        let before = records.len();
        if topology.len() > room - reserved {
            // Those that really called first; of hearsay any part is as good as another.
            let (called, hearsay): (Vec<_>, Vec<_>) = topology
                .iter()
                .partition(|record| self.book.brought_itself(&record.record().peer_id));
            let called = sample(&mut self.rng, called, room - reserved);
            let left = room - reserved - called.len();
            records.extend(called.into_iter().cloned());
            records.extend(sample(&mut self.rng, hearsay, left).into_iter().cloned());
        } else {
            records.extend(topology.iter().cloned());
        }
        let left = room - (records.len() - before);
        others.sample(&mut self.rng, wanted.min(left), &mut records);
        Answer {
            responder: self.me(),
            records,
            incomplete: BTreeSet::new(),
            upstreams: Vec::new(),
            request_id: None,
            retry_after: None,
        }
    }
}

/// Records to choose from: a shelf of the book, but for one place on it.
struct Choice<'a> {
    shelf: &'a [SignedRecord],
    but: Option<usize>,
}

impl<'a> Choice<'a> {
    fn all_but((shelf, but): (&'a [SignedRecord], Option<usize>)) -> Self {
        Self { shelf, but }
    }

    fn len(&self) -> usize {
        self.shelf.len() - usize::from(self.but.is_some())
    }

    fn iter(&self) -> impl Iterator<Item = &'a SignedRecord> {
        let (before, behind) = match self.but {
            Some(but) => (&self.shelf[..but], &self.shelf[but + 1..]),
            None => (self.shelf, &[][..]),
        };
        before.iter().chain(behind)
    }

    /// Adds `count` at random, all of them when there are no more. Takes time for those alone, not for the whole shelf.
    fn sample(&self, rng: &mut StdRng, count: usize, into: &mut Vec<SignedRecord>) {
        if self.len() <= count {
            into.extend(self.iter().cloned());
            return;
        }
        let behind = |index: usize| index + usize::from(self.but.is_some_and(|but| index >= but));
        let chosen: Vec<_> = distinct(rng, self.len(), count)
            .filter_map(|index| self.shelf.get(behind(index)))
            .collect();
        // They lie anywhere in memory. Read side by side, they come into the cache together; to share them raises a count
        // of each, and those wait for one another.
        black_box(chosen.iter().filter_map(|record| record.envelope().first()).max());
        into.extend(chosen.into_iter().cloned());
    }
}

/// `count` different numbers below `among`, each set of them as likely: Floyd's algorithm (Bentley and Floyd, CACM 30(9),
/// 1987), with a bit for each number that may be taken.
fn distinct(rng: &mut StdRng, among: usize, count: usize) -> impl Iterator<Item = usize> {
    let mut taken = vec![0_u64; among.div_ceil(64)];
    (among - count..among).map(move |last| {
        let number = rng.random_range(0..=last);
        let is_taken = |number: usize| taken[number / 64] >> (number % 64) & 1 == 1;
        let number = if is_taken(number) { last } else { number };
        taken[number / 64] |= 1 << (number % 64);
        number
    })
}

/// `count` of `records` at random; all of them when there are no more.
fn sample<'a>(
    rng: &mut StdRng,
    records: Vec<&'a SignedRecord>,
    count: usize,
) -> Vec<&'a SignedRecord> {
    if records.len() <= count {
        return records;
    }
    distinct(rng, records.len(), count).filter_map(|index| records.get(index).copied()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::distinct;

    #[test]
    fn every_set_of_numbers_is_as_likely() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut seen = BTreeMap::<BTreeSet<usize>, u32>::new();
        for _ in 0..10_000 {
            let set: BTreeSet<_> = distinct(&mut rng, 5, 2).collect();
            assert!(set.len() == 2 && set.last() < Some(&5), "{set:?}");
            *seen.entry(set).or_default() += 1;
        }
        // 1000 of each of the ten; 150 are five standard deviations.
        assert_eq!(seen.len(), 10);
        assert!(seen.values().all(|count| count.abs_diff(1000) < 150), "{seen:?}");
        assert_eq!(distinct(&mut rng, 130, 130).collect::<BTreeSet<_>>().len(), 130);
        assert_eq!(distinct(&mut rng, 3, 0).count(), 0);
    }
}
