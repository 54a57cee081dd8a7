//! Routers of which each breaks one rule: the suite must name it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::executor::block_on;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use super::CONFIG;
use crate::conformance::{self, Expected, Harness, Member};
use crate::providers::{Providers, Usage};
use crate::{
    AdvertiseError, Key, LookupError, MemoryConfig, MemoryNetwork, MemoryRouter, Provider,
    Readiness, Router, WithdrawError,
};

/// What is wrong with a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Its network has other times or bounds than it says.
    Config(MemoryConfig),
    NeverReady,
    AdvertisesNothing,
    NoAddresses,
    FindsSelf,
    FindsAnything,
    SkipsPeersWithNames,
    NoSingleFlight,
    OwnSetForEach,
    KnownKeysNeedRoom,
    TakesWhatFits,
    WithdrawsNothing,
    WithdrawsEverything,
}

struct Faulty {
    fault: Fault,
    network: MemoryNetwork,
    router: MemoryRouter,
    /// One for each look-up, where they do not share flights.
    others: Mutex<Vec<Arc<MemoryRouter>>>,
    /// It was given as many keys as may be.
    filled: AtomicBool,
}

impl Faulty {
    fn providers(found: Vec<Provider>) -> Arc<Providers> {
        Arc::new(Providers::new(found, Arc::<Usage>::default()))
    }
}

fn changed(found: &Providers, change: impl Fn(&mut Provider)) -> Arc<Providers> {
    let mut found: Vec<_> = found.all().iter().map(|provider| (**provider).clone()).collect();
    found.iter_mut().for_each(change);
    Faulty::providers(found)
}

fn someone(peer: PeerId) -> Provider {
    Provider { peer, addresses: vec![[10, 0, 0, 1].into()] }
}

impl Router for Faulty {
    fn ready(&self) -> Readiness {
        match self.fault {
            Fault::NeverReady => Readiness::Starting,
            _ => self.router.ready(),
        }
    }

    async fn lookup(&self, key: Key) -> Result<Arc<Providers>, LookupError> {
        if self.fault == Fault::NoSingleFlight {
            // With the name of the first one, for which fetches are counted.
            let one = Arc::new(self.network.join(self.router.peer_id(), Vec::new(), 1));
            self.others.lock().unwrap().push(Arc::clone(&one));
            return one.lookup(key).await;
        }
        let found = self.router.lookup(key).await?;
        Ok(match self.fault {
            Fault::NoAddresses => changed(&found, |provider| provider.addresses.clear()),
            Fault::FindsSelf if found.is_empty() => {
                Self::providers(vec![someone(self.router.peer_id())])
            }
            Fault::FindsAnything if key == Key::new("conformance: nobody has it") => {
                Self::providers(vec![someone(PeerId::random())])
            }
            Fault::SkipsPeersWithNames if key == Key::new("conformance: addresses") => {
                Self::providers(Vec::new())
            }
            Fault::OwnSetForEach => changed(&found, |_| {}),
            _ => found,
        })
    }

    fn advertise(&self, keys: &[Key]) -> Result<(), AdvertiseError> {
        if self.fault == Fault::AdvertisesNothing {
            return Ok(());
        }
        let limit = CONFIG.advertised;
        match (self.fault, self.router.advertise(keys)) {
            (Fault::KnownKeysNeedRoom, Ok(())) if keys.len() == limit => {
                match self.filled.swap(true, Ordering::Relaxed) {
                    false => Ok(()),
                    true => Err(AdvertiseError::TooMany { new: keys.len(), held: limit, limit }),
                }
            }
            (Fault::TakesWhatFits, Err(refused)) => {
                let _ = keys.iter().try_for_each(|key| self.router.advertise(&[*key]));
                Err(refused)
            }
            (_, taken) => taken,
        }
    }

    fn withdraw(&self, keys: &[Key]) -> Result<(), WithdrawError> {
        match self.fault {
            Fault::WithdrawsNothing => Ok(()),
            Fault::WithdrawsEverything => {
                self.router.withdraw(keys)?;
                self.router.withdraw(&[Key::new("conformance: kept")])
            }
            _ => self.router.withdraw(keys),
        }
    }
}

struct Network {
    fault: Fault,
    network: MemoryNetwork,
    joined: u8,
    planted: Vec<MemoryRouter>,
}

impl Harness for Network {
    type Router = Faulty;

    async fn join(&mut self) -> Member<Faulty> {
        self.joined += 1;
        let address = format!("/ip4/10.0.0.{}/tcp/5001", self.joined).parse().unwrap();
        let peer = PeerId::random();
        let router = self.network.join(peer, vec![address], self.joined.into());
        let (fault, network) = (self.fault, self.network.clone());
        let (others, filled) = Default::default();
        let router = Faulty { fault, network, router, others, filled };
        Member { peer, router: Arc::new(router) }
    }

    async fn plant(&mut self, key: Key, addresses: Vec<Multiaddr>) -> PeerId {
        let router = self.network.join(PeerId::random(), addresses, 0);
        router.advertise(&[key]).unwrap();
        let peer = router.peer_id();
        self.planted.push(router);
        peer
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

    fn fetches(&self, router: &Faulty) -> u64 {
        self.network.fetches(&router.router.peer_id())
    }
}

/// The rule that a router with this fault breaks.
fn broken(fault: Fault) -> Option<&'static str> {
    let config = if let Fault::Config(config) = fault { config } else { CONFIG };
    let network = MemoryNetwork::new(config, Instant::now());
    let mut network = Network { fault, network, joined: 0, planted: Vec::new() };
    block_on(conformance::run(&mut network)).err().map(|violation| violation.rule)
}

#[test]
fn the_suite_names_the_rule_that_a_router_breaks() {
    let lookup = CONFIG.lookup;
    let keeps =
        |found_for| MemoryConfig { lookup: crate::LookupConfig { found_for, ..lookup }, ..CONFIG };
    let hour = Duration::from_secs(3600);
    for (fault, rule) in [
        (Fault::NeverReady, "a member is ready"),
        (Fault::AdvertisesNothing, "advertised is found, by others than the provider"),
        (Fault::NoAddresses, "a provider has an address"),
        (Fault::FindsSelf, "self is skipped"),
        (Fault::FindsAnything, "what nobody has is found nowhere"),
        (Fault::SkipsPeersWithNames, "addresses that are not IP are skipped one by one"),
        (Fault::NoSingleFlight, "concurrent look-ups of one key are one"),
        (Fault::OwnSetForEach, "all callers of one look-up get the same providers"),
        (Fault::Config(keeps(Duration::ZERO)), "a result serves for a time"),
        (Fault::Config(keeps(hour)), "a result serves no longer than its time"),
        (Fault::Config(MemoryConfig { advertised: 1000, ..CONFIG }), "advertising is bounded"),
        (Fault::KnownKeysNeedRoom, "what is advertised already needs no room"),
        (Fault::TakesWhatFits, "keys are taken"),
        (Fault::WithdrawsNothing, "all are taken or none"),
        (Fault::Config(MemoryConfig { validity: hour, ..CONFIG }), "withdrawn is forgotten"),
        (Fault::WithdrawsEverything, "what is advertised stays so beyond the validity"),
    ] {
        assert_eq!(broken(fault), Some(rule), "{fault:?}");
    }
    assert_eq!(broken(Fault::None), None);
}
