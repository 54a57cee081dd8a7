//! How many messages each request cost, from what all nodes say of their recent requests.

use std::collections::BTreeMap;

use crate::statusz::Recent;

/// A request: the peer id of its origin and its id, which is random but chosen by the origin alone.
pub type RequestKey = (String, String);

/// The messages of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestCost {
    /// Which.
    pub request: RequestKey,
    /// Messages by the index of the node that sent them.
    pub sent_by: BTreeMap<usize, u64>,
}

impl RequestCost {
    /// All its messages.
    pub fn messages(&self) -> u64 {
        self.sent_by.values().sum()
    }
}

/// Adds up the messages of every request that a node lists.
///
/// A request is forgotten once no node lists it any more: it cannot grow then. So at most the length of a node's list
/// times the nodes are kept, beside the dearest one ever.
#[derive(Debug, Default)]
pub struct MessageTally {
    open: BTreeMap<RequestKey, BTreeMap<usize, u64>>,
    dearest: Option<RequestCost>,
}

impl MessageTally {
    /// Takes one round of lists, by the index of the node.
    pub fn record<'a>(&mut self, round: impl IntoIterator<Item = (usize, &'a [Recent])>) {
        let mut listed = BTreeMap::new();
        for (node, recent) in round {
            for request in recent {
                let key = (request.origin.clone(), request.request_id.clone());
                // One node may drop it from its list before another does; what it sent still counts.
                let known = self.open.remove(&key).unwrap_or_default();
                let sent_by = listed.entry(key).or_insert(known);
                let sent: &mut u64 = sent_by.entry(node).or_default();
                *sent = request.sent.max(*sent);
            }
        }
        self.open = listed;
        let dearest = self.open.iter().max_by_key(|(_, sent_by)| sent_by.values().sum::<u64>());
        if let Some((request, sent_by)) = dearest {
            let cost = RequestCost { request: request.clone(), sent_by: sent_by.clone() };
            if self.dearest.as_ref().is_none_or(|known| cost.messages() > known.messages()) {
                self.dearest = Some(cost);
            }
        }
    }

    /// The request that cost most, of all that were ever listed.
    pub fn dearest(&self) -> Option<&RequestCost> {
        self.dearest.as_ref()
    }

    /// The requests of this origin that are still listed: their ids and messages.
    pub fn requests_of(&self, origin: &str) -> BTreeMap<&str, u64> {
        let own = self.open.iter().filter(|((from, _), _)| from == origin);
        own.map(|((_, id), sent_by)| (id.as_str(), sent_by.values().sum())).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::MessageTally;
    use crate::statusz::Recent;

    fn recent(origin: &str, id: &str, sent: u64) -> Recent {
        Recent { origin: origin.into(), request_id: id.into(), sent }
    }

    #[test]
    fn messages_of_a_request_are_added_over_nodes() {
        let mut tally = MessageTally::default();
        let (a, b) = ([recent("a", "1", 2), recent("b", "2", 1)], [recent("a", "1", 1)]);
        tally.record([(0, &a[..]), (1, &b[..])]);
        assert_eq!(tally.requests_of("a"), BTreeMap::from([("1", 3)]));
        assert_eq!(tally.requests_of("b"), BTreeMap::from([("2", 1)]));
        let dearest = tally.dearest().unwrap();
        assert_eq!((dearest.request.1.as_str(), dearest.messages()), ("1", 3));
        assert_eq!(Vec::from_iter(&dearest.sent_by), [(&0, &2), (&1, &1)]);
    }

    #[test]
    fn a_node_that_drops_a_request_from_its_list_still_sent_it() {
        let mut tally = MessageTally::default();
        tally.record([(0, &[recent("a", "1", 2)][..]), (1, &[recent("a", "1", 1)])]);
        tally.record([(0, &[][..]), (1, &[recent("a", "1", 3)])]);
        assert_eq!(tally.requests_of("a"), BTreeMap::from([("1", 5)]));
        tally.record([(0, &[][..]), (1, &[])]);
        assert!(tally.requests_of("a").is_empty());
        assert_eq!(tally.dearest().unwrap().messages(), 5, "the dearest one is never forgotten");
    }

    #[test]
    fn one_id_used_by_two_origins_is_two_requests() {
        let mut tally = MessageTally::default();
        tally.record([(0, &[recent("a", "1", 2)][..]), (1, &[recent("b", "1", 3)])]);
        assert_eq!(tally.dearest().unwrap().messages(), 3);
    }
}
