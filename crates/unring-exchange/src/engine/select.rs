//! Which records an answer holds.

use std::collections::BTreeSet;

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
        // Before all others, so that none of the bounds cuts it off.
        topology.splice(..0, askers_own);
        topology.truncate(MAX_ANSWER_RECORDS - 1);
        let sample = wanted.min(others.len()).min(MAX_ANSWER_RECORDS - 1 - topology.len());
        if sample < others.len() {
            let chosen: BTreeSet<usize> =
                index::sample(&mut self.rng, others.len(), sample).into_iter().collect();
            others = chosen.into_iter().filter_map(|index| others.get(index).copied()).collect();
        }
        let records = self.own.record.iter().chain(topology).chain(others).cloned().collect();
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
