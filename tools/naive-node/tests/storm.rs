//! What it does in topologies of joins, as K3s did.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use naive_node::{Caller, Config, Counters, Limit, Limits, Node, TlsFiles};
use tokio::task::JoinSet;

const LONG: Duration = Duration::from_secs(60);

const PEERS: [&str; 3] = [
    "/ip4/127.0.0.1/tcp/5001/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5",
    "/ip4/127.0.0.1/tcp/5002/p2p/12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo",
    "/ip4/127.0.0.1/tcp/5003/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
];

/// How the nodes of a test differ from those of K3s.
struct Setup {
    cap: Option<NonZeroUsize>,
    limits: Limits,
    give_up_after: Duration,
    node_list: bool,
}

const UNLIMITED: Setup = Setup {
    cap: None,
    limits: Limits { max_in_flight: 2_000, max_messages: 100_000 },
    give_up_after: LONG,
    node_list: false,
};

struct Nodes {
    at: Vec<SocketAddr>,
    counters: Vec<Box<dyn Fn() -> Counters>>,
    caller: Caller,
    _dir: tempfile::TempDir,
    _tasks: JoinSet<()>,
}

/// Starts three nodes, each joined to those that `joins` names.
async fn start(joins: [&[usize]; 3], setup: &Setup) -> Nodes {
    let dir = tempfile::tempdir().unwrap();
    let tls = TlsFiles::make(dir.path()).unwrap();
    let list = dir.path().join("nodes");
    let lines: String =
        PEERS.iter().enumerate().map(|(node, peer)| format!("node-{node} {peer}\n")).collect();
    std::fs::write(&list, lines).unwrap();
    let mut nodes = Vec::new();
    for (index, peer) in PEERS.iter().enumerate() {
        let config = Config {
            name: format!("node-{index}"),
            listen: ([127, 0, 0, 1], 0).into(),
            admin: ([127, 0, 0, 1], 0).into(),
            address: peer.parse().unwrap(),
            servers: Vec::new(),
            nodes: setup.node_list.then(|| list.clone()),
            tls: tls.clone(),
            token: Some("node:secret".into()),
            cap: setup.cap,
            limits: setup.limits,
            give_up_after: setup.give_up_after,
            bootstrap: false,
            quiet: true,
        };
        nodes.push(Node::bind(config).await.unwrap());
    }
    let at: Vec<SocketAddr> = nodes.iter().map(|node| node.listen).collect();
    let mut tasks = JoinSet::new();
    let mut counters: Vec<Box<dyn Fn() -> Counters>> = Vec::new();
    for (mut node, joins) in nodes.into_iter().zip(joins) {
        node.join(joins.iter().map(|&to| at[to]).collect());
        counters.push(Box::new(node.counters()));
        tasks.spawn(async move { match node.run().await.unwrap() {} });
    }
    let limits = Limits { max_in_flight: 9, max_messages: 9 };
    let caller = Caller::new(tls, limits, LONG).unwrap();
    Nodes { at, counters, caller, _dir: dir, _tasks: tasks }
}

impl Nodes {
    /// One request from outside to the first node.
    async fn ask(&self) -> Vec<String> {
        let addresses = self.caller.call(self.at[0]).addresses().await.unwrap();
        addresses.iter().map(ToString::to_string).collect()
    }

    fn all(&self, count: fn(&Counters) -> u64) -> Vec<u64> {
        self.counters.iter().map(|counters| count(&counters())).collect()
    }

    fn sum(&self, count: fn(&Counters) -> u64) -> u64 {
        self.all(count).iter().sum()
    }

    async fn until(&self, what: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !what(self) {
            assert!(began.elapsed() < LONG, "{:?}", self.all(|counters| counters.sent));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

const RING: [&[usize]; 3] = [&[1], &[2], &[0]];
const LINE: [&[usize]; 3] = [&[1], &[2], &[]];

#[tokio::test]
async fn one_request_circles_in_a_ring_without_end() {
    let nodes = start(RING, &UNLIMITED).await;
    let storm = nodes.until(|nodes| nodes.sum(|counters| counters.sent) >= 150);
    tokio::select! {
        () = storm => {}
        answer = nodes.ask() => panic!("it ended with {answer:?}"),
    }
    let sent = nodes.all(|counters| counters.sent);
    assert!(sent.iter().max().unwrap() - sent.iter().min().unwrap() <= 1, "in turn: {sent:?}");
    assert_eq!(nodes.sum(|counters| counters.succeeded + counters.failed), 0);
}

#[tokio::test]
async fn it_goes_on_when_whoever_asked_has_gone_and_every_call_is_given_up() {
    let setup = Setup { give_up_after: Duration::from_millis(500), ..UNLIMITED };
    let nodes = start(RING, &setup).await;
    let gone = tokio::time::timeout(Duration::from_millis(1), nodes.ask()).await;
    assert!(gone.is_err() || nodes.sum(|counters| counters.sent) > 0);
    nodes.until(|nodes| nodes.sum(|counters| counters.failed) >= 50).await;
    let then = nodes.sum(|counters| counters.sent);
    nodes.until(|nodes| nodes.sum(|counters| counters.sent) > then + 50).await;
    assert!(nodes.sum(|counters| counters.log_lines) >= 30, "a line for each request answered");
}

#[tokio::test]
async fn a_line_ends_with_the_addresses_of_all() {
    let nodes = start(LINE, &UNLIMITED).await;
    assert_eq!(nodes.ask().await, [PEERS[2], PEERS[1], PEERS[0]], "the farthest first");
    assert_eq!(nodes.all(|counters| counters.sent), [1, 1, 0]);
    assert_eq!(nodes.all(|counters| counters.log_lines), [1, 1, 1]);
}

#[tokio::test]
async fn a_node_list_is_added_to_every_answer_and_nothing_is_merged() {
    let nodes = start(LINE, &Setup { node_list: true, ..UNLIMITED }).await;
    let [a, b, c] = PEERS;
    assert_eq!(nodes.ask().await, [b, c, a, c, a, b, c, b, a]);
}

#[tokio::test]
async fn as_fixed_a_ring_nests_until_the_cap_and_ends() {
    let setup = Setup { cap: NonZeroUsize::new(20), ..UNLIMITED };
    let nodes = start(RING, &setup).await;
    assert_eq!(nodes.ask().await, [PEERS[2]], "of the last node that was refused");
    assert_eq!(nodes.all(|counters| counters.sent), [20, 20, 20]);
    assert_eq!(nodes.all(|counters| counters.refused), [1, 0, 0]);
    assert_eq!(nodes.sum(|counters| counters.log_lines), 60);
}

#[tokio::test]
async fn as_fixed_a_node_with_a_node_list_asks_nobody() {
    let setup = Setup { cap: NonZeroUsize::new(20), node_list: true, ..UNLIMITED };
    let nodes = start(RING, &setup).await;
    assert_eq!(nodes.ask().await, [PEERS[1], PEERS[2]]);
    assert_eq!(nodes.sum(|counters| counters.sent), 0);
}

#[tokio::test]
async fn both_limits_hold_and_say_so() {
    let limits = Limits { max_in_flight: 5, max_messages: 20 };
    let setup = Setup { limits, give_up_after: Duration::from_millis(300), ..UNLIMITED };
    let nodes = start(RING, &setup).await;
    tokio::spawn({
        let call = nodes.caller.call(nodes.at[0]);
        async move { call.addresses().await }
    });
    nodes.until(|nodes| nodes.sum(|counters| counters.sent) == 60).await;
    let both = [Limit::InFlight, Limit::Messages];
    nodes.until(|nodes| nodes.counters.iter().any(|counters| counters().limits_met == both)).await;
    nodes.until(|nodes| nodes.sum(|counters| counters.in_flight) == 0).await;
    assert_eq!(nodes.all(|counters| counters.sent), [20, 20, 20]);
    assert_eq!(nodes.all(|counters| counters.peak_in_flight), [5, 5, 5]);
}

#[tokio::test]
async fn only_loopback_is_served_and_joined() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        name: "a".into(),
        listen: ([127, 0, 0, 1], 0).into(),
        admin: ([127, 0, 0, 1], 0).into(),
        address: PEERS[0].parse().unwrap(),
        servers: vec!["192.0.2.1:6443".parse().unwrap()],
        nodes: None,
        tls: TlsFiles::make(dir.path()).unwrap(),
        token: None,
        cap: None,
        limits: UNLIMITED.limits,
        give_up_after: LONG,
        bootstrap: false,
        quiet: true,
    };
    let error = Node::bind(config).await.unwrap_err();
    assert_eq!(error.to_string(), "192.0.2.1:6443 is not on loopback");
}
