//! Which records an answer holds.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::seq::index;
use unring_peer::{PeerId, SignedRecord};

use crate::config::MAX_ANSWER_RECORDS;
use crate::engine::{Engine, Now};
use crate::message::Answer;
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
        let is_topology = |record: &&SignedRecord| self.book.is_joined_to(&record.record().peer_id);
        let known = self.book.iter().filter(|record| Some(record.record().peer_id) != asker);
        let (mut topology, mut others): (Vec<_>, Vec<_>) = known.partition(is_topology);
        let room = MAX_ANSWER_RECORDS - 1 - askers_own.iter().count();
        // A tenth stays for the sample: whoever signs records that join each other must not displace it.
        let reserved = wanted.min(others.len()).min(room / 10);
        if topology.len() > room - reserved {
            // Those that really called first; of hearsay any part is as good as another.
            let (called, hearsay): (Vec<_>, Vec<_>) = topology
                .into_iter()
                .partition(|record| self.book.brought_itself(&record.record().peer_id));
            topology = sample(&mut self.rng, called, room - reserved);
            let left = room - reserved - topology.len();
            topology.extend(sample(&mut self.rng, hearsay, left));
        }
        others = sample(&mut self.rng, others, wanted.min(room - topology.len()));
        let records = self
            .own
            .record
            .iter()
            .chain(askers_own)
            .chain(topology)
            .chain(others)
            .cloned()
            .collect();
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

/// `count` of `records` at random, in their order; all of them when there are no more.
fn sample<'a>(
    rng: &mut StdRng,
    records: Vec<&'a SignedRecord>,
    count: usize,
) -> Vec<&'a SignedRecord> {
    if records.len() <= count {
        return records;
    }
    let chosen: BTreeSet<usize> = index::sample(rng, records.len(), count).into_iter().collect();
    chosen.into_iter().filter_map(|index| records.get(index).copied()).collect()
}
