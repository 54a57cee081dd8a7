//! Routers on a network that is a map in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// Keys that one router advertises.
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
    /// Bounded by [`MemoryConfig::advertised`] per member.
    records: BTreeMap<Key, BTreeMap<PeerId, Record>>,
    fetches: BTreeMap<PeerId, u64>,
}

#[derive(Debug)]
struct Record {
    addresses: Vec<Multiaddr>,
    /// `None` while it is advertised.
    expires: Option<Instant>,
}

impl MemoryNetwork {
    /// Nobody in it. `now` is where its time begins.
    #[must_use]
    pub fn new(config: MemoryConfig, now: Instant) -> Self {
        let (members, records, fetches) = Default::default();
        Self { config, world: Arc::new(Mutex::new(World { now, members, records, fetches })) }
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
            providers.retain(|_, record| record.expires.is_none_or(|expires| now < expires));
            !providers.is_empty()
        });
    }

    /// A router for `peer`, which others find at `addresses`. It leaves the network when it is dropped.
    #[must_use]
    pub fn join(&self, peer: PeerId, addresses: Vec<Multiaddr>, seed: u64) -> MemoryRouter {
        self.world().members.insert(peer);
        let lookups = Lookups::new(peer, self.config.lookup, seed);
        let network = self.clone();
        MemoryRouter { peer, addresses, network, lookups, advertised: Mutex::default() }
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
    /// At most [`MemoryConfig::advertised`].
    advertised: Mutex<BTreeSet<Key>>,
}

impl MemoryRouter {
    /// Whose router this is.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.peer
    }

    fn advertised(&self) -> MutexGuard<'_, BTreeSet<Key>> {
        self.advertised.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fetch(&self, key: &Key) -> Vec<Provider> {
        let mut world = self.network.world();
        *world.fetches.entry(self.peer).or_default() += 1;
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
        let now = self.network.world().now;
        self.lookups.get(now, key, async || Ok(self.fetch(&key))).await
    }

    fn advertise(&self, keys: &[Key]) -> Result<(), AdvertiseError> {
        let mut advertised = self.advertised();
        let new: BTreeSet<Key> =
            keys.iter().filter(|key| !advertised.contains(key)).copied().collect();
        let (held, limit) = (advertised.len(), self.network.config.advertised);
        if held + new.len() > limit {
            return Err(AdvertiseError::TooMany { new: new.len(), held, limit });
        }
        let mut world = self.network.world();
        for key in new {
            advertised.insert(key);
            let record = Record { addresses: self.addresses.clone(), expires: None };
            world.records.entry(key).or_default().insert(self.peer, record);
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
        let mut advertised = self.advertised();
        let mut world = self.network.world();
        let expires = Some(world.now + self.network.config.validity);
        advertised.retain(|key| {
            let withdrawn = which(key);
            let record = world.records.get_mut(key).and_then(|peers| peers.get_mut(&self.peer));
            if let Some(record) = record.filter(|_| withdrawn) {
                record.expires = expires;
            }
            !withdrawn
        });
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
