//! From what a node sends to what another receives.

use std::collections::BTreeMap;

use unring_exchange::{Answer, OutboundRequest, RemoteAnswer, Request};
use unring_peer::{PeerId, SignedRecord, UnverifiedRecord};

/// Reads records as a receiver does. Each is read once: it is the same bytes every time, and a network of many nodes
/// would do little else.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    read: BTreeMap<(PeerId, u64), (SignedRecord, UnverifiedRecord)>,
}

impl Reader {
    #[expect(clippy::expect_used, reason = "what was signed can be read")]
    pub(crate) fn record(&mut self, record: &SignedRecord) -> UnverifiedRecord {
        let key = (record.record().peer_id, record.record().seq);
        if let Some((_, read)) = self.read.get(&key).filter(|(same, _)| same == record) {
            return read.clone();
        }
        let read =
            UnverifiedRecord::decode(record.envelope().clone(), record.membership_tag().clone())
                .expect("a signed record can be read");
        self.read.insert(key, (record.clone(), read.clone()));
        read
    }

    pub(crate) fn records<'a>(
        &mut self,
        records: impl IntoIterator<Item = &'a SignedRecord>,
    ) -> Vec<UnverifiedRecord> {
        records.into_iter().map(|record| self.record(record)).collect()
    }

    pub(crate) fn request(&mut self, request: OutboundRequest) -> Request {
        let OutboundRequest { scope, max_peers, trace, caller_record } = request;
        let caller_record = caller_record.map(|record| self.record(&record));
        Request { scope, max_peers, trace, caller_record }
    }

    pub(crate) fn answer(&mut self, responder: PeerId, answer: &Answer) -> RemoteAnswer {
        RemoteAnswer {
            responder,
            records: self.records(answer.records.iter()),
            refused: 0,
            incomplete: answer.incomplete.clone(),
            retry_after: answer.retry_after,
        }
    }
}
