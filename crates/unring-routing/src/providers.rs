//! The result of a look-up, shared by all who asked for the key, and how they are spread over it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libp2p_identity::PeerId;

use crate::provider::Provider;

/// Peers whose use at the moment is counted; those above it count as unused, so they are only chosen less evenly. More than
/// the requests that a node serves at once.
pub const MAX_LEASED_PEERS: usize = 4096;

/// How many leases there are on each peer at the moment, over all keys of a router.
#[derive(Debug, Default)]
pub(crate) struct Usage(Mutex<HashMap<PeerId, usize>>);

impl Usage {
    fn table(&self) -> MutexGuard<'_, HashMap<PeerId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, peer: PeerId) -> bool {
        let mut table = self.table();
        let counted = table.len() < MAX_LEASED_PEERS || table.contains_key(&peer);
        if counted {
            *table.entry(peer).or_default() += 1;
        }
        counted
    }

    fn give_back(&self, peer: PeerId) {
        let mut table = self.table();
        if let Some(count) = table.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                table.remove(&peer);
            }
        }
    }
}

/// Those who hold a key.
#[derive(Debug)]
pub struct Providers {
    slots: Mutex<Vec<Slot>>,
    usage: Arc<Usage>,
}

#[derive(Debug)]
struct Slot {
    provider: Arc<Provider>,
    /// Leases given out.
    uses: u64,
}

impl Providers {
    pub(crate) fn new(providers: Vec<Provider>, usage: Arc<Usage>) -> Self {
        let slot = |provider| Slot { provider: Arc::new(provider), uses: 0 };
        Self { slots: Mutex::new(providers.into_iter().map(slot).collect()), usage }
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The provider that has the least to do: the fewest leases of any key at the moment, then the fewest of this key so
    /// far. `None` when there is none, or none left.
    #[must_use]
    pub fn pick(self: &Arc<Self>) -> Option<Lease> {
        let mut slots = self.slots();
        let table = self.usage.table();
        let load = |slot: &Slot| (table.get(&slot.provider.peer).copied(), slot.uses);
        let least = slots.iter().enumerate().min_by_key(|(_, slot)| load(slot)).map(|(i, _)| i);
        drop(table);
        let slot = slots.get_mut(least?)?;
        slot.uses += 1;
        let provider = Arc::clone(&slot.provider);
        drop(slots);
        let counted = self.usage.take(provider.peer);
        Some(Lease { provider, set: Arc::clone(self), counted })
    }

    /// Leaves out those that `keep` does not say are to stay, until the key is looked up anew.
    pub fn retain(&self, keep: impl Fn(&Provider) -> bool) {
        self.slots().retain(|slot| keep(&slot.provider));
    }

    /// How many are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots().len()
    }

    /// Whether none is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All that are left.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Provider>> {
        self.slots().iter().map(|slot| Arc::clone(&slot.provider)).collect()
    }
}

/// A provider in use; dropping it says that it is no longer.
#[derive(Debug)]
pub struct Lease {
    provider: Arc<Provider>,
    set: Arc<Providers>,
    counted: bool,
}

impl Lease {
    /// The provider.
    #[must_use]
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// The provider was of no use: nobody is given it again until the key is looked up anew.
    pub fn failed(self) {
        self.set.slots().retain(|slot| slot.provider.peer != self.provider.peer);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.counted {
            self.set.usage.give_back(self.provider.peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider() -> Provider {
        Provider { peer: PeerId::random(), addresses: vec![[10, 0, 0, 1].into()] }
    }

    #[test]
    fn of_providers_that_are_free_all_are_used_as_often() {
        let all = vec![provider(), provider(), provider()];
        let providers = Arc::new(Providers::new(all.clone(), Arc::default()));
        let mut uses = HashMap::new();
        for _ in 0..30 {
            *uses.entry(providers.pick().unwrap().provider().peer).or_default() += 1;
        }
        assert_eq!(uses, all.iter().map(|provider| (provider.peer, 10)).collect());
    }

    #[test]
    fn peers_in_use_are_counted_up_to_a_bound() {
        let (usage, late) = (Arc::<Usage>::default(), provider());
        let others: Vec<_> = (0..MAX_LEASED_PEERS).map(|_| PeerId::random()).collect();
        assert!(others.iter().all(|peer| usage.take(*peer)));
        let providers = Arc::new(Providers::new(vec![late.clone()], Arc::clone(&usage)));
        let uncounted = providers.pick().unwrap();
        assert_eq!(usage.table().len(), MAX_LEASED_PEERS);
        assert!(usage.take(others[0]), "who is counted stays so");
        for times in [1, 0] {
            usage.give_back(others[0]);
            assert_eq!(usage.table().get(&others[0]).copied().unwrap_or(0), times);
        }
        // There is room now: who is counted is not taken back for one who was not.
        let counted = providers.pick().unwrap();
        drop(uncounted);
        assert_eq!(usage.table().get(&late.peer), Some(&1));
        drop(counted);
        others[1..].iter().for_each(|peer| usage.give_back(*peer));
        assert!(usage.table().is_empty(), "nobody is remembered");
    }
}
