//! Which records an answer holds.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::sync::Arc;

use rand::Rng as _;
use rand::rngs::StdRng;
use unring_peer::{PeerId, SignedRecord};

use crate::config::MAX_ANSWER_RECORDS;
use crate::engine::Engine;
use crate::message::Answer;
use crate::now::Now;
use crate::records::{Records, Sample};
use crate::verifier::Verifier;

impl<V: Verifier> Engine<V> {
    /// An answer from the book: the asker's own newest record (a node whose database was lost hears of its `seq`), and a
    /// [sample](Self::draw) that other answers may share.
    pub(crate) fn answer(&mut self, now: Now, asker: Option<PeerId>, max_peers: usize) -> Answer {
        self.expire(now);
        self.poll_detector(now);
        let shared = self.sample(now, max_peers);
        let askers_own = asker.and_then(|asker| self.book.get(&asker));
        let askers_own = askers_own.filter(|own| !shared.holds(&own.record().peer_id)).cloned();
        Answer {
            responder: self.me(),
            records: Records::new(askers_own, shared),
            incomplete: BTreeSet::new(),
            upstreams: Vec::new(),
            request_id: None,
            retry_after: None,
        }
    }

    /// A sample for an answer; a kept one, if it is of the usual size and there are enough of those.
    fn sample(&mut self, now: Now, max_peers: usize) -> Arc<Sample> {
        let others = self.book.others().len();
        let usual = self.config.default_max_peers.min(others);
        let wanted = if max_peers == 0 { usual } else { max_peers.min(others) };
        if wanted != usual {
            return Arc::new(Sample::new(self.draw(wanted)));
        }
        if let Some(kept) = self.samples.next(now.mono, self.book.revision()) {
            return kept;
        }
        let drawn = self.draw(wanted);
        let is_all = drawn.len() == usize::from(self.own.record.is_some()) + self.book.len();
        let drawn = Arc::new(Sample::new(drawn));
        self.samples.keep(now.mono, &drawn, is_all);
        drawn
    }

    /// Our own record, those of all nodes that others join to (they carry the topology), then `wanted` of the others at
    /// random. It leaves room for the asker's own.
    fn draw(&mut self, wanted: usize) -> Vec<SignedRecord> {
        let (topology, others) = (self.book.topology(), self.book.others());
        let room = MAX_ANSWER_RECORDS - 2;
        // A tenth stays for the sample: whoever signs records that join each other must not displace it.
        let reserved = wanted.min(room / 10);
        let mut records = Vec::with_capacity((1 + topology.len() + wanted).min(MAX_ANSWER_RECORDS));
        records.extend(self.own.record.clone());
        let before = records.len();
        if topology.len() > room - reserved {
            // Those that really called first; of hearsay any part is as good as another.
            let (called, hearsay): (Vec<_>, Vec<_>) = topology
                .iter()
                .partition(|record| self.book.brought_itself(&record.record().peer_id));
            sample(&mut self.rng, &called, room - reserved, &mut records);
            let left = room - reserved - (records.len() - before);
            sample(&mut self.rng, &hearsay, left, &mut records);
        } else {
            records.extend_from_slice(topology);
        }
        let left = room - (records.len() - before);
        sample(&mut self.rng, others, wanted.min(left), &mut records);
        records
    }
}

/// Adds `count` of `among` at random; all of them when there are no more.
fn sample<R: Borrow<SignedRecord>>(
    rng: &mut StdRng,
    among: &[R],
    count: usize,
    into: &mut Vec<SignedRecord>,
) {
    let shared = |record: &R| record.borrow().clone();
    if among.len() <= count {
        into.extend(among.iter().map(shared));
        return;
    }
    let chosen = distinct(rng, among.len(), count);
    into.extend(chosen.filter_map(|index| among.get(index)).map(shared));
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
