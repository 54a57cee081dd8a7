//! Who is kept out is known of no more.

use super::{Server, count_records};
use crate::lists::Lists;
use crate::swarm::Behaviour;

impl Server {
    /// Forgets the peers that `lists` keep out, and what they told.
    pub(crate) fn take_lists(&self, behaviour: &mut Behaviour, lists: &Lists) {
        let Some(kad) = behaviour.kad.as_mut() else { return };
        let mut gone = Vec::new();
        for bucket in kad.kbuckets() {
            let peers = bucket.iter().map(|entry| *entry.node.key.preimage());
            gone.extend(peers.filter(|peer| !lists.let_in(peer)));
        }
        for peer in &gone {
            kad.remove_peer(peer);
        }
        kad.store_mut().forget_providers(|peer| !lists.let_in(peer));
        self.count_peers(kad);
        count_records(&self.gauges, kad.store_mut());
    }
}
