//! Records of who is kept out.

use std::collections::HashSet;

use libp2p_identity::PeerId;

use super::Records;

impl Records {
    /// Forgets all records of the providers of which `gone` says so.
    pub(crate) fn forget_providers(&mut self, gone: impl Fn(&PeerId) -> bool) {
        let places = self.places.iter().filter(|(peer, _)| gone(peer));
        let places: HashSet<u32> = places.map(|(_, place)| *place).collect();
        if places.is_empty() {
            return;
        }
        let mut forgotten = Vec::new();
        self.keys.retain(|_, at_key| {
            at_key.retain(|held| {
                let goes = places.contains(&held.provider);
                if goes {
                    forgotten.push(held.provider);
                }
                !goes
            })
        });
        forgotten.into_iter().for_each(|place| self.forget_one(place));
    }
}
