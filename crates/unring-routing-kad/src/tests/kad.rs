//! Kademlia over real swarms on loopback. Intervals are short; each wait is for a state, with a deadline.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use libp2p::core::upgrade::Version;
use libp2p::swarm::SwarmEvent;
use libp2p::{Swarm, Transport as _, noise, ping, tcp, tls, yamux};
use libp2p_identity::{Keypair, PeerId};
use multiaddr::Multiaddr;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use unring_routing::conformance::{self, Expected, Harness, Member};
use unring_routing::{Key, LookupConfig, LookupError, Readiness, Router as _};

use crate::{
    BindError, Config, DEFAULT_MAX_CONNECTIONS, DialConfig, DialFailure, Event, EventReceiver,
    Handle, KadConfig, KadRouter, Limits, Network, NetworkKey, StoreLimits, WantedPeer,
};

const DEADLINE: Duration = Duration::from_secs(60);

pub(super) fn kad_config() -> KadConfig {
    let many = NonZeroUsize::new(64).unwrap();
    let lookup = LookupConfig {
        found_for: Duration::from_secs(2),
        missing_for: Duration::from_millis(50),
        cached: many,
        keys: many,
        callers_per_key: many,
    };
    let config = KadConfig::spegel(lookup);
    KadConfig {
        reprovide_interval: Duration::from_secs(2),
        max_advertised: 100,
        refresh_interval: Duration::from_secs(2),
        store: StoreLimits { validity: Duration::from_secs(6), ..config.store },
        ..config
    }
}

pub(super) struct Node {
    pub(super) handle: Handle,
    pub(super) router: Arc<KadRouter>,
    events: EventReceiver,
    task: JoinHandle<()>,
}

pub(super) fn config(kad: KadConfig) -> Config {
    let limits = Limits::new(DEFAULT_MAX_CONNECTIONS);
    Config {
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        external: vec![],
        agent_version: "test/1".to_owned(),
        limits,
        dial: DialConfig::for_limits(&limits),
        kad: Some(kad),
        network_key: None,
    }
}

pub(super) async fn start_as(
    keypair: Keypair,
    config: Config,
    announced: Option<Vec<Multiaddr>>,
    via: Option<WantedPeer>,
) -> Node {
    let (mut network, handle, events) = Network::bind(keypair, config).await.unwrap();
    if let Some(addresses) = announced {
        network.provide_at(addresses);
    }
    let router = network.router().unwrap();
    handle.set_peers(via.into_iter().collect());
    Node { handle, router, events, task: tokio::spawn(network.run()) }
}

async fn start(kad: KadConfig, via: Option<&Node>) -> Node {
    let via = via.map(Node::as_wanted);
    start_as(Keypair::generate_ed25519(), config(kad), None, via).await
}

impl Node {
    pub(super) fn as_wanted(&self) -> WantedPeer {
        let addresses = self.handle.listen_addresses();
        WantedPeer { peer: self.handle.peer_id(), addresses, hearsay: false }
    }

    pub(super) async fn until_knows(&self, peers: usize) {
        until(&format!("{} knows {peers}", self.handle.peer_id()), || {
            self.router.counters().peers >= peers
        })
        .await;
    }

    pub(super) async fn finds(&self, key: Key) -> BTreeSet<PeerId> {
        // For a moment it may know only somebody who has just gone.
        let found = match self.router.lookup(key).await {
            Err(LookupError::Unreachable { .. }) => return BTreeSet::new(),
            found => found.unwrap(),
        };
        found.all().iter().map(|provider| provider.peer).collect()
    }

    pub(super) async fn until_finds(&self, key: Key, wanted: &BTreeSet<PeerId>) {
        let looking = async {
            while self.finds(key).await != *wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(DEADLINE, looking).await.expect("it is found in time");
    }
}

/// Looks again and again; for what no event tells.
pub(super) async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let poll = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, poll).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// Nodes that know one of them; how they find the others is the network's business.
struct Swarms(Vec<Node>);

impl Swarms {
    async fn add(&mut self, announced: Option<Vec<Multiaddr>>) -> &Node {
        let via = self.0.first().map(Node::as_wanted);
        let keypair = Keypair::generate_ed25519();
        let node = start_as(keypair, config(kad_config()), announced, via).await;
        self.0.push(node);
        // All know all: fewer than fit in a bucket.
        for node in &self.0 {
            node.until_knows((self.0.len() - 1).min(18)).await;
        }
        self.0.last().unwrap()
    }
}

impl Harness for Swarms {
    type Router = KadRouter;

    async fn join(&mut self) -> Member<KadRouter> {
        let node = self.add(None).await;
        Member { peer: node.handle.peer_id(), router: Arc::clone(&node.router) }
    }

    async fn plant(&mut self, key: Key, addresses: Vec<Multiaddr>) -> PeerId {
        let node = self.add(Some(addresses)).await;
        node.router.advertise(&[key]).unwrap();
        node.handle.peer_id()
    }

    async fn pass(&mut self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn expected(&self) -> Expected {
        let config = kad_config();
        Expected {
            found_within: Duration::from_secs(20),
            gone_within: config.store.validity + Duration::from_secs(1),
            cached_for: config.lookup.found_for,
            advertised: config.max_advertised,
        }
    }

    fn fetches(&self, router: &KadRouter) -> u64 {
        router.counters().lookups
    }
}

#[tokio::test]
async fn the_kademlia_router_conforms() {
    conformance::run(&mut Swarms(Vec::new())).await.unwrap();
}

#[tokio::test]
async fn in_a_network_of_twenty_each_key_is_found_by_everybody() {
    // Nothing is told twice meanwhile: a walk for each key in each two seconds would take all of a small machine.
    let calm = KadConfig {
        reprovide_interval: Duration::from_secs(600),
        store: StoreLimits { validity: Duration::from_secs(900), ..kad_config().store },
        ..kad_config()
    };
    let first = start(calm, None).await;
    assert_eq!(first.router.ready(), Readiness::Alone);
    let mut nodes = vec![first];
    for _ in 1..20 {
        nodes.push(start(calm, nodes.first()).await);
    }
    for node in &nodes {
        node.until_knows(10).await;
    }
    let key = |n: usize| Key::new(&format!("of node {n}"));
    for (n, node) in nodes.iter().enumerate() {
        node.router.advertise(&[key(n), Key::new("of all")]).unwrap();
    }
    for (n, provider) in nodes.iter().enumerate() {
        let wanted = BTreeSet::from([provider.handle.peer_id()]);
        // Each key by a third of the others.
        for (_, asker) in nodes.iter().enumerate().filter(|(m, _)| m % 3 == (n + 1) % 3) {
            asker.until_finds(key(n), &wanted).await;
        }
    }
    // More provide it than a look-up waits for.
    assert!(nodes[0].finds(Key::new("of all")).await.len() >= crate::ENOUGH_PROVIDERS);
}

#[tokio::test]
async fn thousands_of_keys_are_told_in_a_few_walks() {
    let roomy = KadConfig {
        max_advertised: 5000,
        reprovide_interval: Duration::from_secs(600),
        store: StoreLimits { validity: Duration::from_secs(900), ..kad_config().store },
        ..kad_config()
    };
    let hub = start(roomy, None).await;
    let (provider, asker) = (start(roomy, Some(&hub)).await, start(roomy, Some(&hub)).await);
    for node in [&hub, &provider, &asker] {
        node.until_knows(2).await;
    }
    let keys: Vec<Key> = (0..5000).map(|n| Key::new(&format!("layer {n}"))).collect();
    provider.router.advertise(&keys).unwrap();
    until("all are told", || hub.router.counters().records == 5000).await;
    until("to each", || asker.router.counters().records == 5000).await;
    until("both have said so", || provider.router.counters().records_sent >= 10_000).await;
    // One for each batch of 512, some more where a machine is so slow that a batch has to be told again.
    let counters = provider.router.counters();
    assert!((10..=20).contains(&counters.walks), "{counters:?}");
    for key in keys.iter().step_by(500) {
        assert_eq!(asker.finds(*key).await, [provider.handle.peer_id()].into());
    }
}

#[tokio::test]
async fn a_store_that_fills_is_told_of_before_it_is_full() {
    let small = KadConfig {
        store: StoreLimits { records: 10, ..kad_config().store },
        reprovide_interval: Duration::from_secs(600),
        ..kad_config()
    };
    let mut hub = start(small, None).await;
    let provider = start(small, Some(&hub)).await;
    provider.until_knows(1).await;
    let keys: Vec<Key> = (0..20).map(|n| Key::new(&n.to_string())).collect();
    provider.router.advertise(&keys).unwrap();
    let told = async {
        loop {
            if let Event::StoreAlmostFull { records, limit } = hub.events.recv().await.unwrap() {
                return (records, limit);
            }
        }
    };
    assert_eq!(timeout(DEADLINE, told).await.unwrap(), (8, 10));
    until("further ones are refused", || hub.router.counters().records_refused == 10).await;
    assert_eq!(hub.router.counters().records, 10);
}

#[tokio::test]
async fn peers_with_any_kind_of_key_are_spoken_to() {
    let hub = start(kad_config(), None).await;
    let rsa = Keypair::rsa_from_pkcs8(&mut include_bytes!("../../testdata/rsa-2048.pk8").to_vec())
        .unwrap();
    let kinds = [rsa, Keypair::generate_ecdsa(), Keypair::generate_secp256k1()];
    for keypair in kinds {
        let kind = format!("{:?}", keypair.key_type());
        let node = start_as(keypair, config(kad_config()), None, Some(hub.as_wanted())).await;
        node.until_knows(1).await;
        let key = Key::new(&kind);
        node.router.advertise(&[key]).unwrap();
        hub.until_finds(key, &[node.handle.peer_id()].into()).await;
    }
}

#[tokio::test]
async fn a_private_network_is_closed_to_others() {
    let private = |digits: &str| {
        let network_key = Some(NetworkKey::from_hex(&digits.repeat(32)).unwrap());
        Config { network_key, ..config(kad_config()) }
    };
    let new = Keypair::generate_ed25519;
    let hub = start_as(new(), private("0a"), None, None).await;
    let via = Some(hub.as_wanted());
    let member = start_as(new(), private("0a"), None, via.clone()).await;
    let mut strangers = [
        start_as(new(), private("0b"), None, via.clone()).await,
        start_as(new(), config(kad_config()), None, via).await,
    ];
    member.until_knows(1).await;
    let key = Key::new("private");
    member.router.advertise(&[key]).unwrap();
    hub.until_finds(key, &[member.handle.peer_id()].into()).await;
    for stranger in &mut strangers {
        let failed = async {
            loop {
                if let Event::DialFailed { failure, .. } = stranger.events.recv().await.unwrap() {
                    return failure;
                }
            }
        };
        let failure = timeout(DEADLINE, failed).await.unwrap();
        assert!(matches!(failure, DialFailure::NoGreeting { .. }), "{failure:?}");
        assert_eq!(stranger.handle.connected(), BTreeSet::new());
        assert_eq!(stranger.router.ready(), Readiness::Starting);
    }
    until("both are counted", || hub.handle.counters().other_network >= 2).await;
}

#[tokio::test]
async fn peers_that_have_only_tls_or_only_noise_are_spoken_to() {
    let hub = start(kad_config(), None).await;
    let address = hub.handle.listen_addresses()[0].clone();
    for only in [Only::Tls, Only::Noise] {
        let keypair = Keypair::generate_ed25519();
        let tcp = tcp::tokio::Transport::default().upgrade(Version::V1);
        let transport = match only {
            Only::Tls => tcp
                .authenticate(tls::Config::new(&keypair).unwrap())
                .multiplex(yamux::Config::default())
                .boxed(),
            Only::Noise => tcp
                .authenticate(noise::Config::new(&keypair).unwrap())
                .multiplex(yamux::Config::default())
                .boxed(),
        };
        let peer = keypair.public().to_peer_id();
        let settings = libp2p::swarm::Config::with_tokio_executor();
        let mut swarm = Swarm::new(transport, ping::Behaviour::default(), peer, settings);
        swarm.dial(address.clone()).unwrap();
        let answered = async {
            // A ping that is answered: it went through the muxer both ways.
            while !matches!(
                swarm.select_next_some().await,
                SwarmEvent::Behaviour(ping::Event { result: Ok(_), .. })
            ) {}
        };
        timeout(DEADLINE, answered).await.unwrap();
        assert!(hub.handle.connected().contains(&peer));
    }
}

/// What a peer can secure a connection with.
enum Only {
    Tls,
    Noise,
}

#[tokio::test]
async fn a_provider_that_died_is_passed_over_until_it_is_forgotten() {
    let hub = start(kad_config(), None).await;
    let (gone, asker) =
        (start(kad_config(), Some(&hub)).await, start(kad_config(), Some(&hub)).await);
    asker.until_knows(2).await;
    gone.until_knows(2).await;
    let key = Key::new("x");
    gone.router.advertise(&[key]).unwrap();
    asker.until_finds(key, &[gone.handle.peer_id()].into()).await;
    gone.handle.shutdown();
    timeout(DEADLINE, gone.task).await.unwrap().unwrap();
    asker.until_finds(key, &BTreeSet::new()).await;
    until("it is taken out of the table", || asker.router.counters().peers == 1).await;
    assert_eq!(asker.router.counters().connected, 1);
    let counters = asker.handle.counters();
    assert_eq!((counters.dials, counters.dial_failures), (1, 0), "only the hub was wanted");
}

#[tokio::test]
async fn what_was_advertised_alone_is_told_when_somebody_comes() {
    let first = start(kad_config(), None).await;
    let key = Key::new("early");
    first.router.advertise(&[key]).unwrap();
    until("it waits", || first.router.counters().walks > 0).await;
    assert_eq!(first.finds(key).await, BTreeSet::new());
    let second = start(kad_config(), Some(&first)).await;
    second.until_finds(key, &[first.handle.peer_id()].into()).await;
}

#[tokio::test]
async fn a_router_ends_with_its_network() {
    let node = start(kad_config(), None).await;
    node.handle.shutdown();
    timeout(DEADLINE, node.task).await.unwrap().unwrap();
    let key = Key::new("x");
    assert_eq!(node.router.lookup(key).await.unwrap_err(), LookupError::Ended);
    assert_eq!(node.router.advertise(&[key]), Err(unring_routing::AdvertiseError::Ended));
    assert_eq!(node.router.withdraw(&[key]), Err(unring_routing::WithdrawError::Ended));
}

#[tokio::test]
async fn a_node_on_two_addresses_advertises_when_it_is_told_which() {
    let hub = start(kad_config(), None).await;
    let mut two = config(kad_config());
    two.listen.push("/ip4/127.0.0.2/tcp/0".parse().unwrap());
    let key = Key::new("x");
    for told in [false, true] {
        let new = Keypair::generate_ed25519();
        let (mut network, handle, _events) = Network::bind(new, two.clone()).await.unwrap();
        let router = network.router().unwrap();
        if told {
            network.announce(handle.listen_addresses().remove(0));
        }
        handle.set_peers(vec![hub.as_wanted()]);
        tokio::spawn(network.run());
        router.advertise(&[key]).unwrap();
        until("it knows the other", || router.counters().peers == 1).await;
        let wanted = if told { BTreeSet::from([handle.peer_id()]) } else { BTreeSet::new() };
        hub.until_finds(key, &wanted).await;
        assert_eq!(router.counters().walks > 0, told);
    }
}

#[tokio::test]
async fn exactly_one_address_is_announced() {
    let two = ["/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.2/tcp/1"].map(|text| text.parse().unwrap());
    let refused = async |change: fn(&mut Config)| {
        let mut config = config(kad_config());
        config.external = two.to_vec();
        change(&mut config);
        Network::bind(Keypair::generate_ed25519(), config).await.unwrap_err()
    };
    assert!(matches!(refused(|_| {}).await, BindError::ExternalAddresses { got: 2 }));
    let nameless = |config: &mut Config| {
        config.external.pop();
        config.kad = Some(KadConfig { protocol: "spegel", ..kad_config() });
    };
    assert!(matches!(refused(nameless).await, BindError::Protocol(_)));
}
