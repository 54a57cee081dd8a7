mod faults;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::conformance::{self, Expected, Harness, Member};
use crate::{Key, LookupConfig, MemoryConfig, MemoryNetwork, MemoryRouter, Readiness, Router};

const CONFIG: MemoryConfig = MemoryConfig {
    validity: Duration::from_secs(60),
    advertised: 10,
    lookup: LookupConfig {
        found_for: Duration::from_secs(5),
        missing_for: Duration::from_millis(500),
        cached: NonZeroUsize::new(3).unwrap(),
        keys: NonZeroUsize::new(2).unwrap(),
        callers_per_key: NonZeroUsize::new(8).unwrap(),
    },
};

struct Memory {
    network: MemoryNetwork,
    seed: u64,
    planted: Vec<MemoryRouter>,
}

fn memory() -> Memory {
    Memory { network: MemoryNetwork::new(CONFIG, Instant::now()), seed: 0, planted: Vec::new() }
}

impl Harness for Memory {
    type Router = MemoryRouter;

    async fn join(&mut self) -> Member<MemoryRouter> {
        self.seed += 1;
        let address = format!("/ip4/10.0.0.{}/tcp/5001", self.seed).parse().unwrap();
        let peer = PeerId::random();
        // Each rule has at least two; a member that is there alone is ready too.
        Member { peer, router: Arc::new(self.network.join(peer, vec![address], self.seed)) }
    }

    async fn plant(&mut self, key: Key, addresses: Vec<Multiaddr>) -> PeerId {
        let router = self.network.join(PeerId::random(), addresses, 0);
        router.advertise(&[key]).unwrap();
        self.planted.push(router);
        self.planted.last().unwrap().peer_id()
    }

    async fn pass(&mut self, time: Duration) {
        self.network.advance(time);
    }

    fn expected(&self) -> Expected {
        Expected {
            found_within: CONFIG.lookup.missing_for * 20,
            gone_within: CONFIG.validity,
            cached_for: CONFIG.lookup.found_for,
            advertised: CONFIG.advertised,
        }
    }

    fn fetches(&self, router: &MemoryRouter) -> u64 {
        self.network.fetches(&router.peer_id())
    }
}

#[test]
fn the_memory_router_conforms() {
    block_on(conformance::run(&mut memory())).unwrap();
}

#[test]
fn a_member_alone_is_ready_and_says_so() {
    let network = memory().network;
    let alone = network.join(PeerId::random(), vec![], 1);
    assert_eq!((alone.ready(), alone.ready().is_ready()), (Readiness::Alone, true));
    let second = network.join(PeerId::random(), vec![], 2);
    assert_eq!(alone.ready(), Readiness::Connected { peers: 1 });
    drop(second);
    assert_eq!(alone.ready(), Readiness::Alone);
    assert!(!Readiness::Starting.is_ready());
}

#[test]
fn a_record_outlives_its_provider_by_its_validity() {
    let network = memory().network;
    let address: Multiaddr = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
    let (provider, asker) = (
        network.join(PeerId::random(), vec![address], 1),
        network.join(PeerId::random(), vec![], 2),
    );
    let key = Key::new("x");
    provider.advertise(&[key]).unwrap();
    network.advance(CONFIG.validity * 2);
    drop(provider);
    network.advance(CONFIG.validity - Duration::from_millis(1));
    assert_eq!(block_on(asker.lookup(key)).unwrap().len(), 1);
    network.advance(CONFIG.lookup.found_for);
    assert_eq!(block_on(asker.lookup(key)).unwrap().len(), 0);
}

#[test]
fn what_was_withdrawn_is_bounded_while_no_time_passes() {
    let network = memory().network;
    let address: Multiaddr = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
    let provider = network.join(PeerId::random(), vec![address], 1);
    let keys: Vec<Key> = (0..25).map(|n| Key::new(&n.to_string())).collect();
    for key in &keys {
        provider.advertise(&[*key]).unwrap();
        provider.withdraw(&[*key]).unwrap();
    }
    let asker = network.join(PeerId::random(), vec![], 2);
    let found = |key: &Key| !block_on(asker.lookup(*key)).unwrap().is_empty();
    let held = CONFIG.advertised;
    assert_eq!(keys.iter().filter(|key| found(key)).count(), held);
    assert!(keys[25 - held..].iter().all(found), "those withdrawn last");
    // What is advertised again is no longer among them, however many follow.
    provider.advertise(&keys[24..]).unwrap();
    for key in &keys[..2 * held] {
        provider.advertise(&[*key]).unwrap();
        provider.withdraw(&[*key]).unwrap();
    }
    network.advance(CONFIG.validity);
    assert!(found(&keys[24]) && !found(&keys[23]));
}
