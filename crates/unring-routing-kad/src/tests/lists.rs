//! Lists of who is let in, over real swarms on loopback.

use std::collections::BTreeSet;

use libp2p_identity::{Keypair, PeerId};
use unring_routing::{Key, LookupError, Router as _};

use super::kad::{Node, config, kad_config, start_as, until};
use crate::{DialFailure, KeptOut, Lists, Network, WantedPeer};

fn deny(peer: PeerId) -> Lists {
    Lists { deny: [peer].into(), ..Lists::default() }
}

async fn start(via: Option<&Node>) -> Node {
    let via = via.map(wanted);
    start_as(Keypair::generate_ed25519(), config(kad_config()), None, via).await
}

fn wanted(node: &Node) -> WantedPeer {
    let addresses = node.handle.listen_addresses();
    WantedPeer { peer: node.handle.peer_id(), addresses, hearsay: false }
}

fn is_connected(a: &Node, b: &Node) -> bool {
    a.handle.connected().contains(&b.handle.peer_id())
}

async fn found(node: &Node, key: Key) -> BTreeSet<PeerId> {
    match node.router.lookup(key).await {
        Err(LookupError::Unreachable { .. }) => BTreeSet::new(),
        found => found.unwrap().all().iter().map(|provider| provider.peer).collect(),
    }
}

#[tokio::test]
async fn a_list_closes_connections_and_opens_again_without_a_restart() {
    let (a, b) = (start(None).await, start(None).await);
    a.handle.set_peers(vec![wanted(&b)]);
    b.handle.set_peers(vec![wanted(&a)]);
    until("they are connected", || is_connected(&a, &b) && is_connected(&b, &a)).await;
    let peer = b.handle.peer_id();
    a.handle.set_lists(deny(peer));
    until("it is closed", || a.handle.connected().is_empty()).await;
    assert_eq!(a.handle.counters().kept_out_closed, 1);
    // It calls again, and is refused each time; we do not call it, whatever we were told to want.
    until("it is refused", || a.handle.counters().kept_out > 0).await;
    assert!(a.handle.connected().is_empty() && a.handle.counters().denied == 0);
    let [address] = &b.handle.listen_addresses()[..] else { panic!("one address") };
    let why = DialFailure::KeptOut(KeptOut::Denied { peer });
    let named = address.clone().with_p2p(peer).unwrap();
    assert_eq!(a.handle.connect(named).await, Err(why.clone()));
    let dials = a.handle.counters().kept_out_dials;
    assert_eq!(a.handle.connect(address.clone()).await, Err(why), "who answers is known then");
    // Its own dial to the other may have ended after the list came, too.
    assert!(dials >= 1 && a.handle.counters().kept_out_dials > dials);

    a.handle.set_lists(Lists::default());
    until("they are connected again", || is_connected(&a, &b) && is_connected(&b, &a)).await;
}

#[tokio::test]
async fn who_is_not_allowed_is_kept_out() {
    let a = start(None).await;
    let friend = Keypair::generate_ed25519();
    let allow = [friend.public().to_peer_id()].into();
    a.handle.set_lists(Lists { allow, ..Lists::default() });
    let friend = start_as(friend, config(kad_config()), None, Some(wanted(&a))).await;
    let stranger = start(Some(&a)).await;
    until("one of the two is connected", || is_connected(&a, &friend)).await;
    until("the other is refused", || a.handle.counters().kept_out > 0).await;
    assert!(!is_connected(&a, &stranger));
}

#[tokio::test]
async fn nothing_is_kept_or_found_of_who_is_kept_out() {
    let hub = start(None).await;
    let (a, b) = (start(Some(&hub)).await, start(Some(&hub)).await);
    for node in [&hub, &a, &b] {
        node.until_knows(2).await;
    }
    let key = Key::new("sha256:1");
    b.router.advertise(&[key]).unwrap();
    let peer = b.handle.peer_id();
    a.until_finds(key, &[peer].into()).await;
    let records = || [&hub, &a].map(|node| node.router.counters().records);
    until("both keep its record", || records() == [1, 1]).await;

    // Neither what was told, nor what was found a moment ago, nor what the hub still tells.
    a.handle.set_lists(deny(peer));
    until("its record is gone", || a.router.counters().records == 0).await;
    assert_eq!(found(&a, key).await, BTreeSet::new());
    assert_eq!(found(&hub, key).await, [peer].into(), "others tell of it");
    for _ in 0..3 {
        // A look-up that finds nobody serves for 50 ms.
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        let lookups = a.router.counters().lookups;
        assert_eq!(found(&a, key).await, BTreeSet::new());
        assert!(a.router.counters().lookups > lookups, "the others were asked");
    }
    until("it is out of the routing table", || a.router.counters().peers == 1).await;

    a.handle.set_lists(Lists::default());
    a.until_finds(key, &[peer].into()).await;
}

#[tokio::test]
async fn a_record_of_a_provider_that_somebody_else_tells_is_refused_and_counted() {
    let (hub, key) = (start(None).await, Key::new("sha256:1"));
    let keypair = Keypair::generate_ed25519();
    let (mut network, handle, _events) =
        Network::bind(keypair, config(kad_config())).await.unwrap();
    let victim = PeerId::random();
    network.speak_for(victim);
    let router = network.router().unwrap();
    handle.set_peers(vec![wanted(&hub)]);
    let task = tokio::spawn(network.run());
    router.advertise(&[key]).unwrap();
    until("it is refused", || hub.router.counters().records_refused > 0).await;
    let counters = hub.router.counters();
    assert_eq!((counters.records, counters.records_kept, counters.providers), (0, 0, 0));
    assert!(!found(&hub, key).await.contains(&victim));
    task.abort();
}
