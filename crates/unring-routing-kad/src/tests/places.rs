//! More peers than places, over real swarms.

use std::collections::BTreeSet;
use std::time::Duration;

use libp2p_identity::Keypair;
use unring_routing::{Key, Router as _};

use super::kad::{Node, config, kad_config, start_as, until};
use crate::{Config, DialConfig, KadConfig, Limits, StoreLimits, WantedPeer};

/// Eight places for those it chose, eight for others, of which six are for strangers.
const FEW: u32 = 16;

/// A node that keeps nothing of others, so that whoever provides a key is the only one who knows.
fn forgetful(max_connections: u32) -> Config {
    let kad = KadConfig {
        reprovide_interval: Duration::from_secs(600),
        refresh_interval: Duration::from_secs(600),
        store: StoreLimits { records: 0, validity: Duration::from_secs(900), ..kad_config().store },
        ..kad_config()
    };
    let limits = Limits::new(max_connections);
    Config { limits, dial: DialConfig::for_limits(&limits), ..config(kad) }
}

async fn start(config: Config, via: Option<WantedPeer>) -> Node {
    start_as(Keypair::generate_ed25519(), config, None, via).await
}

/// A hub, and nodes that know each other through it and advertise a key each.
async fn network(count: usize) -> (Node, Vec<(Node, Key)>) {
    let hub = start(forgetful(192), None).await;
    let mut nodes = Vec::new();
    for n in 0..count {
        let node = start(forgetful(192), Some(hub.as_wanted())).await;
        let key = Key::new(&format!("of node {n}"));
        node.router.advertise(&[key]).unwrap();
        nodes.push((node, key));
    }
    hub.until_knows(count).await;
    (hub, nodes)
}

async fn finds_all(asker: &Node, nodes: &[(Node, Key)]) {
    for (node, key) in nodes {
        asker.until_finds(*key, &BTreeSet::from([node.handle.peer_id()])).await;
    }
}

#[tokio::test]
async fn with_more_peers_than_places_all_are_reached() {
    let (hub, nodes) = network(17).await;
    let asker = start(forgetful(FEW), Some(hub.as_wanted())).await;
    asker.until_knows(1).await;
    finds_all(&asker, &nodes).await;
    // One that is chosen, eight others, and such as are closing.
    until("those that were of no use are gone", || asker.handle.connections() <= 9).await;
    assert!(asker.handle.counters().closed > 5, "{:?}", asker.handle.counters());
}

#[tokio::test]
async fn strangers_that_take_every_place_do_not_end_look_ups() {
    let (hub, nodes) = network(3).await;
    let asker = start(forgetful(FEW), None).await;
    let mut strangers = Vec::new();
    for _ in 0..12 {
        let config = Config { kad: None, ..forgetful(192) };
        let bound = crate::Network::bind(Keypair::generate_ed25519(), config).await.unwrap();
        let (network, handle, _events) = bound;
        handle.set_peers(vec![asker.as_wanted()]);
        tokio::spawn(network.run());
        strangers.push(handle);
    }
    until("they have all that they get", || asker.handle.counters().denied >= 12).await;
    // Nothing has led it to the others before.
    asker.handle.set_peers(vec![hub.as_wanted()]);
    asker.until_knows(1).await;
    finds_all(&asker, &nodes).await;
}
