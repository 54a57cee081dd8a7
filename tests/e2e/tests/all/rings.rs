//! Rings of one node, and rings that exist only through a shared address.

use std::time::Duration;

use unring_e2e::{Caller, Cluster, Proxy, eventually};
use unring_exchange::Scope;

/// A ring is announced after 2 s; as long again shows whether it is announced once.
const TWICE_THE_SETTLE_TIME: Duration = Duration::from_secs(6);

/// The node of `cluster` finds that it joins itself, says so once, and goes on answering.
fn finds_itself(mut cluster: Cluster) {
    let peer_id = cluster.start().remove(0);
    let node = &cluster[0];
    let line = node.says("ring_found");
    assert_eq!((line.level.as_str(), line.field("kind")), ("WARN", "self-join"), "{line:?}");
    assert_eq!(line.field("witness"), "node-1 -> node-1");
    assert!(line.field("cut").starts_with("node-1 -> node-1 (https://"), "{line:?}");
    let status = node.has_run_for(TWICE_THE_SETTLE_TIME);
    assert_eq!(status.rings(), [("self-join", ["node-1"].into())]);
    assert_eq!(status.peers.len(), 0, "it is no peer of its own");
    assert_eq!(node.ring_warnings().len(), 1, "{:?}", node.ring_warnings());
    let answer = Caller::default().ask(&node.url(), Scope::Recursive, Duration::from_secs(5));
    assert_eq!(answer.unwrap().responder.to_base58(), peer_id);
}

#[test]
fn a_node_that_joins_its_own_address() {
    finds_itself(Cluster::ring(1));
}

#[test]
fn a_node_that_joins_itself_by_name() {
    let mut cluster = Cluster::new(1);
    let port = cluster[0].ports().grpc.port();
    cluster[0].join([format!("https://localhost:{port}")]);
    finds_itself(cluster);
}

#[test]
fn a_node_that_joins_itself_through_a_proxy() {
    let mut cluster = Cluster::new(1);
    let proxy = Proxy::start(vec![cluster[0].ports().grpc]);
    cluster[0].join([proxy.url()]);
    finds_itself(cluster);
    assert!(proxy.accepted() > 0);
}

#[test]
fn three_servers_behind_one_address_are_told_and_not_warned() {
    let mut cluster = Cluster::new(3);
    let proxy = Proxy::start(cluster.iter().map(|node| node.ports().grpc).collect());
    for node in cluster.iter_mut() {
        node.join([proxy.url()]);
    }
    let peer_ids = cluster.start();
    for status in cluster.connected(&peer_ids) {
        assert_eq!(status.peers.len(), 2, "{status:?}");
    }
    for node in cluster.iter() {
        let line = node.says("ring_found");
        assert_eq!((line.level.as_str(), line.field("kind")), ("INFO", "shared"), "{line:?}");
        let status = node.has_run_for(TWICE_THE_SETTLE_TIME);
        assert_eq!(status.rings(), [("shared", ["node-1", "node-2", "node-3"].into())]);
        assert!(status.upstreams[0].shared, "{status:?}");
        assert_eq!(node.ring_warnings().len(), 0, "{:?}", node.ring_warnings());
        assert_eq!(node.events("ring_found").len(), 1);
    }
    let caller = Caller::default();
    for node in cluster.iter() {
        let answer = eventually("an answer with every record", || {
            let answer = caller.ask(&node.url(), Scope::Recursive, Duration::from_secs(10));
            answer.map_err(|error| error.to_string())
        });
        assert_eq!(answer.records.len(), 3, "{answer:?}");
    }
}
