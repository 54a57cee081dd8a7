//! Which records an answer holds.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::seq::index;
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
        let chosen = index::sample(rng, self.len(), count).into_iter();
        into.extend(chosen.filter_map(|index| self.shelf.get(behind(index)).cloned()));
    }
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
    let chosen = index::sample(rng, records.len(), count).into_iter();
    chosen.filter_map(|index| records.get(index).copied()).collect()
}
