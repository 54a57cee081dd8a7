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
