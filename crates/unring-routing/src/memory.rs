//! Routers on a network that is a map in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::key::Key;
use crate::lookups::{LookupConfig, Lookups};
use crate::provider::Provider;
use crate::providers::Providers;
use crate::router::{AdvertiseError, LookupError, Readiness, Router, WithdrawError};

/// Times and bounds of a [`MemoryNetwork`] and its routers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryConfig {
    /// How long after its provider stopped advertising a record is found.
    pub validity: Duration,
    /// Keys that one router advertises. As many that it withdrew are found until their validity ends; of more, the one
    /// withdrawn first is forgotten at once.
    pub advertised: usize,
    /// How each router looks up.
    pub lookup: LookupConfig,
}

/// A network of routers in one process, with a time that it is told. Clones are the same network.
#[derive(Debug, Clone)]
pub struct MemoryNetwork {
    config: MemoryConfig,
    world: Arc<Mutex<World>>,
}

#[derive(Debug)]
struct World {
    now: Instant,
    members: BTreeSet<PeerId>,
    /// At most twice [`MemoryConfig::advertised`] of each provider; of those that left, until their validity ends.
    records: BTreeMap<Key, BTreeMap<PeerId, Record>>,
    fetches: BTreeMap<PeerId, u64>,
    /// Withdrawals since the start.
    withdrawals: u64,
}

#[derive(Debug)]
struct Record {
    addresses: Vec<Multiaddr>,
    /// `None` while it is advertised.
    withdrawn: Option<Withdrawn>,
}

#[derive(Debug, Clone, Copy)]
struct Withdrawn {
    expires: Instant,
    /// Which withdrawal it was.
    turn: u64,
}

/// What one router advertises and what it withdrew.
#[derive(Debug, Default)]
struct Own {
    /// At most [`MemoryConfig::advertised`].
    keys: BTreeSet<Key>,
    /// By the time of their withdrawal; at most [`MemoryConfig::advertised`].
    withdrawn: BTreeMap<u64, Key>,
}

impl MemoryNetwork {
    /// Nobody in it. `now` is where its time begins.
    #[must_use]
    pub fn new(config: MemoryConfig, now: Instant) -> Self {
        let (members, records, fetches, withdrawals) = Default::default();
        let world = World { now, members, records, fetches, withdrawals };
        Self { config, world: Arc::new(Mutex::new(world)) }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `time` pass; what expired by then is forgotten.
    pub fn advance(&self, time: Duration) {
        let mut world = self.world();
        world.now += time;
        let now = world.now;
        world.records.retain(|_, providers| {
            providers.retain(|_, record| record.withdrawn.is_none_or(|gone| now < gone.expires));
            !providers.is_empty()
        });
    }

    /// A router for `peer`, which others find at `addresses`. It leaves the network when it is dropped.
    #[must_use]
    pub fn join(&self, peer: PeerId, addresses: Vec<Multiaddr>, seed: u64) -> MemoryRouter {
        self.world().members.insert(peer);
        let lookups = Lookups::new(peer, self.config.lookup, seed);
        let network = self.clone();
        MemoryRouter { peer, addresses, network, lookups, own: Mutex::default() }
    }

    /// How often the router of `peer` asked the network.
    #[must_use]
    pub fn fetches(&self, peer: &PeerId) -> u64 {
        self.world().fetches.get(peer).copied().unwrap_or(0)
    }
}

/// A member of a [`MemoryNetwork`].
#[derive(Debug)]
pub struct MemoryRouter {
    peer: PeerId,
    addresses: Vec<Multiaddr>,
    network: MemoryNetwork,
    lookups: Lookups,
    own: Mutex<Own>,
}

impl MemoryRouter {
    /// Whose router this is.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.peer
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a turn of the executor, as a network would: only then can look-ups be under way at the same time.
    async fn fetch(&self, key: &Key) -> Vec<Provider> {
        *self.network.world().fetches.entry(self.peer).or_default() += 1;
        let mut waited = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        let world = self.network.world();
        let providers = world.records.get(key).into_iter().flatten();
        providers.filter_map(|(peer, record)| Provider::new(*peer, &record.addresses)).collect()
    }
}

impl Router for MemoryRouter {
    fn ready(&self) -> Readiness {
        match self.network.world().members.len() {
            0 | 1 => Readiness::Alone,
            members => Readiness::Connected { peers: members - 1 },
        }
    }

    async fn lookup(&self, key: Key) -> Result<Arc<Providers>, LookupError> {
        let now = || self.network.world().now;
        self.lookups.get(now, key, async || Ok(self.fetch(&key).await)).await
    }

    fn advertise(&self, keys: &[Key]) -> Result<(), AdvertiseError> {
        let mut own = self.own();
        let new: BTreeSet<Key> =
            keys.iter().filter(|key| !own.keys.contains(key)).copied().collect();
        let (held, limit) = (own.keys.len(), self.network.config.advertised);
        if held.saturating_add(new.len()) > limit {
            return Err(AdvertiseError::TooMany { new: new.len(), held, limit });
        }
        let mut world = self.network.world();
        for key in new {
            own.keys.insert(key);
            let record = Record { addresses: self.addresses.clone(), withdrawn: None };
            let before = world.records.entry(key).or_default().insert(self.peer, record);
            if let Some(Withdrawn { turn, .. }) = before.and_then(|record| record.withdrawn) {
                own.withdrawn.remove(&turn);
            }
        }
        Ok(())
    }

    fn withdraw(&self, keys: &[Key]) -> Result<(), WithdrawError> {
        self.stop_advertising(|key| keys.contains(key));
        Ok(())
    }
}

impl MemoryRouter {
    fn stop_advertising(&self, which: impl Fn(&Key) -> bool) {
        let mut own = self.own();
        let mut world = self.network.world();
        let config = self.network.config;
        let Own { keys, withdrawn } = &mut *own;
        let gone: Vec<Key> = keys.iter().filter(|key| which(key)).copied().collect();
        for key in gone {
            keys.remove(&key);
            let (expires, turn) = (world.now + config.validity, world.withdrawals);
            let record = world.records.get_mut(&key).and_then(|peers| peers.get_mut(&self.peer));
            if let Some(record) = record {
                record.withdrawn = Some(Withdrawn { expires, turn });
                world.withdrawals += 1;
                withdrawn.insert(turn, key);
            }
            if withdrawn.len() > config.advertised
                && let Some((_, oldest)) = withdrawn.pop_first()
            {
                world.forget(&oldest, &self.peer);
            }
        }
    }
}

impl World {
    fn forget(&mut self, key: &Key, peer: &PeerId) {
        if let Some(providers) = self.records.get_mut(key) {
            providers.remove(peer);
            if providers.is_empty() {
                self.records.remove(key);
            }
        }
    }
}

impl Drop for MemoryRouter {
    fn drop(&mut self) {
        self.stop_advertising(|_| true);
        let mut world = self.network.world();
        world.members.remove(&self.peer);
        world.fetches.remove(&self.peer);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    #[test]
    fn nothing_is_left_of_who_left() {
        let one = NonZeroUsize::MIN;
        let (found_for, missing_for) = (Duration::ZERO, Duration::ZERO);
        let lookup =
            LookupConfig { found_for, missing_for, cached: one, keys: one, callers_per_key: one };
        let config = MemoryConfig { validity: Duration::from_secs(60), advertised: 1, lookup };
        let network = MemoryNetwork::new(config, Instant::now());
        let (peer, keys) = (PeerId::random(), ["a", "b"].map(Key::new));
        let router = network.join(peer, Vec::new(), 1);
        for key in keys {
            router.advertise(&[key]).unwrap();
            router.withdraw(&[key]).unwrap();
        }
        assert_eq!(network.world().records.len(), 1, "as many as it may have withdrawn");
        futures::executor::block_on(router.lookup(keys[0])).unwrap();
        assert_eq!(network.fetches(&peer), 1);
        drop(router);
        network.advance(config.validity);
        let world = network.world();
        assert!(world.fetches.is_empty() && world.records.is_empty() && world.members.is_empty());
    }
}
