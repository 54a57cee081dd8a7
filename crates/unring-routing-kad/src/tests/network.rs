//! Real swarms on loopback. libp2p's timers ignore tokio's paused clock: each wait is for an event, with a deadline.

use std::collections::BTreeSet;
use std::future::pending;
use std::net::TcpListener;
use std::time::Duration;

use libp2p_identity::{Keypair, PeerId};
use multiaddr::{Multiaddr, Protocol};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::{
    BindError, Config, DEFAULT_MAX_CONNECTIONS, DialConfig, DialFailure, Event, EventReceiver,
    Handle, LimitKind, Limits, Network, WantedPeer,
};

pub(super) const DEADLINE: Duration = Duration::from_secs(20);

pub(super) struct Node {
    pub(super) handle: Handle,
    events: EventReceiver,
    pub(super) task: JoinHandle<()>,
}

fn loopback() -> Multiaddr {
    "/ip4/127.0.0.1/tcp/0".parse().unwrap()
}

fn config(listen: Multiaddr, limits: Limits) -> Config {
    let dial = DialConfig::for_limits(&limits);
    Config {
        listen: vec![listen],
        external: vec![],
        agent_version: "test/1".to_owned(),
        limits,
        dial,
        kad: None,
        network_key: None,
    }
}

async fn start_with(keypair: Keypair, config: Config) -> Node {
    let (network, handle, events) = Network::bind(keypair, config).await.unwrap();
    Node { handle, events, task: tokio::spawn(network.run()) }
}

pub(super) async fn start() -> Node {
    start_with(
        Keypair::generate_ed25519(),
        config(loopback(), Limits::new(DEFAULT_MAX_CONNECTIONS)),
    )
    .await
}

impl Node {
    fn as_wanted(&self) -> WantedPeer {
        WantedPeer {
            peer: self.handle.peer_id(),
            addresses: self.handle.listen_addresses(),
            hearsay: true,
        }
    }

    pub(super) async fn until_connected_to(&self, expected: &BTreeSet<PeerId>) {
        let mut connected = self.handle.watch_connected();
        let reached =
            timeout(DEADLINE, connected.wait_for(|connected| connected == expected)).await;
        reached
            .unwrap_or_else(|_| {
                panic!("connected to {:?}, not {expected:?}", self.handle.connected())
            })
            .unwrap();
    }

    async fn until<T>(&mut self, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        timeout(DEADLINE, async {
            loop {
                if let Some(found) = wanted(self.events.recv().await.expect("the network runs")) {
                    return found;
                }
            }
        })
        .await
        .expect("the event comes in time")
    }

    async fn stop(self) {
        self.handle.shutdown();
        timeout(DEADLINE, self.task).await.expect("the network ends").unwrap();
    }
}

/// Looks again and again; for what no event tells.
async fn until(mut reached: impl FnMut() -> bool) {
    let poll = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(DEADLINE, poll).await.expect("it is reached in time");
}

pub(super) fn ids<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> BTreeSet<PeerId> {
    nodes.into_iter().map(|node| node.handle.peer_id()).collect()
}

#[tokio::test]
async fn two_nodes_that_want_each_other_share_a_connection() {
    let (a, b) = (start().await, start().await);
    a.handle.set_peers(vec![b.as_wanted()]);
    b.handle.set_peers(vec![a.as_wanted()]);
    a.until_connected_to(&ids([&b])).await;
    b.until_connected_to(&ids([&a])).await;
    // One on a quiet machine; where a handshake takes longer than a second the greater id dials too.
    let dials = a.handle.counters().dials + b.handle.counters().dials;
    assert!((1..=2).contains(&dials) && a.handle.connections() <= 2, "{dials} dials");
}

#[tokio::test]
async fn one_side_is_enough() {
    let (a, b) = (start().await, start().await);
    let (small, great) = if a.handle.peer_id() < b.handle.peer_id() { (a, b) } else { (b, a) };
    great.handle.set_peers(vec![small.as_wanted()]);
    great.until_connected_to(&ids([&small])).await;
    small.until_connected_to(&ids([&great])).await;
}

#[tokio::test]
async fn five_nodes_form_a_mesh() {
    let mut nodes = Vec::new();
    for _ in 0..5 {
        nodes.push(start().await);
    }
    let everyone: Vec<_> = nodes.iter().map(Node::as_wanted).collect();
    for node in &nodes {
        node.handle.set_peers(everyone.clone());
    }
    for node in &nodes {
        let mut others = ids(&nodes);
        others.remove(&node.handle.peer_id());
        node.until_connected_to(&others).await;
    }
}

#[tokio::test]
async fn another_peer_at_the_address_is_a_typed_failure_and_is_not_connected() {
    let (mut a, b) = (start().await, start().await);
    let wanted = PeerId::random();
    let addresses = b.handle.listen_addresses();
    a.handle.set_peers(vec![WantedPeer {
        peer: wanted,
        addresses: addresses.clone(),
        hearsay: true,
    }]);
    let failure = a
        .until(|event| match event {
            Event::DialFailed { peer, failure } if peer == wanted => Some(failure),
            _ => None,
        })
        .await;
    assert_eq!(
        failure,
        DialFailure::WrongPeer { obtained: b.handle.peer_id(), address: addresses[0].clone() }
    );
    assert_eq!(a.handle.connected(), BTreeSet::new());
}

#[tokio::test]
async fn a_stale_address_beside_a_right_one_does_not_hide_the_peer() {
    let (a, b, c) = (start().await, start().await, start().await);
    let mut wanted = c.as_wanted();
    wanted.addresses.splice(0..0, b.handle.listen_addresses());
    a.handle.set_peers(vec![wanted]);
    a.until_connected_to(&ids([&c])).await;
}

#[tokio::test]
async fn nobody_at_the_address_is_unreachable() {
    let mut a = start().await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/{}", free.port()).parse().unwrap();
    a.handle.set_peers(vec![WantedPeer {
        peer: PeerId::random(),
        addresses: vec![address.clone()],
        hearsay: true,
    }]);
    let failure = a
        .until(
            |event| {
                if let Event::DialFailed { failure, .. } = event { Some(failure) } else { None }
            },
        )
        .await;
    let DialFailure::Unreachable { detail } = &failure else { panic!("{failure:?}") };
    assert!(detail.starts_with(&address.to_string()) && detail.contains("refused"), "{detail}");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let a = start().await;
    let taken = a.handle.listen_addresses().remove(0);
    let second =
        Network::bind(Keypair::generate_ed25519(), config(taken.clone(), Limits::new(8))).await;
    assert!(
        matches!(&second, Err(BindError::InUse { address, .. }) if *address == taken),
        "{second:?}"
    );

    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken: Multiaddr =
        format!("/ip4/127.0.0.1/tcp/{}", foreign.local_addr().unwrap().port()).parse().unwrap();
    let third =
        Network::bind(Keypair::generate_ed25519(), config(taken.clone(), Limits::new(8))).await;
    assert!(
        matches!(&third, Err(BindError::InUse { address, .. }) if *address == taken),
        "{third:?}"
    );
}

#[tokio::test]
async fn bad_configurations_are_refused() {
    let check = async |change: fn(&mut Config), expected: &str| {
        let mut config = config(loopback(), Limits::new(8));
        change(&mut config);
        let error = Network::bind(Keypair::generate_ed25519(), config)
            .await
            .expect_err("it must be refused");
        assert_eq!(error.to_string(), expected);
    };
    let quic = "/ip4/127.0.0.1/udp/1/quic-v1 is not of the form /ip4|ip6/ADDRESS/tcp/PORT";
    check(|config| config.listen = vec!["/ip4/127.0.0.1/udp/1/quic-v1".parse().unwrap()], quic)
        .await;
    let name = "/dns4/server1/tcp/1 is not of the form /ip4|ip6/ADDRESS/tcp/PORT";
    check(|config| config.external = vec!["/dns4/server1/tcp/1".parse().unwrap()], name).await;
    let wildcard = "/ip4/0.0.0.0/tcp/1 cannot be announced: port 0, unspecified or multicast";
    check(|config| config.external = vec!["/ip4/0.0.0.0/tcp/1".parse().unwrap()], wildcard).await;
    check(|config| config.listen = vec![loopback(); 17], "17 addresses, at most 16 are allowed")
        .await;
    check(
        |config| config.limits.max_connections = 1,
        "1 connections are too few, at least 2 are needed",
    )
    .await;
    let foreign = "failed to listen on /ip4/192.0.2.1/tcp/1";
    check(|config| config.listen = vec!["/ip4/192.0.2.1/tcp/1".parse().unwrap()], foreign).await;
}

#[tokio::test]
async fn a_wildcard_listens_on_real_addresses() {
    let node = start_with(
        Keypair::generate_ed25519(),
        config("/ip4/0.0.0.0/tcp/0".parse().unwrap(), Limits::new(DEFAULT_MAX_CONNECTIONS)),
    )
    .await;
    let addresses = node.handle.listen_addresses();
    assert!(!addresses.is_empty());
    for address in addresses {
        assert!(!address.to_string().starts_with("/ip4/0.0.0.0"), "{address}");
        assert!(!address.iter().any(|part| part == Protocol::Tcp(0)), "{address}");
    }
}

#[tokio::test]
async fn strangers_take_at_most_their_share_and_leave_room_for_chosen_peers() {
    let hub = start_with(Keypair::generate_ed25519(), config(loopback(), Limits::new(4))).await;
    let mut strangers = Vec::new();
    for _ in 0..4 {
        let stranger = start().await;
        stranger.handle.set_peers(vec![hub.as_wanted()]);
        strangers.push(stranger);
    }
    let mut connected = hub.handle.watch_connected();
    timeout(DEADLINE, connected.wait_for(|connected| connected.len() == 2)).await.unwrap().unwrap();
    // The others keep trying; each try is seen and denied.
    until(|| {
        assert!(hub.handle.connections() <= 2, "two of four places are for strangers");
        hub.handle.counters().denied >= 3
    })
    .await;

    let chosen = start().await;
    hub.handle.set_peers(vec![chosen.as_wanted()]);
    let id = chosen.handle.peer_id();
    timeout(DEADLINE, connected.wait_for(|connected| connected.contains(&id)))
        .await
        .unwrap()
        .unwrap();
    assert!(hub.handle.connections() <= 3);
}

#[tokio::test]
async fn the_dialler_sees_its_own_limit_as_such() {
    let limits = Limits { max_pending_outgoing: 0, ..Limits::new(8) };
    let (mut a, b) =
        (start_with(Keypair::generate_ed25519(), config(loopback(), limits)).await, start().await);
    a.handle.set_peers(vec![b.as_wanted()]);
    let failure = a
        .until(
            |event| {
                if let Event::DialFailed { failure, .. } = event { Some(failure) } else { None }
            },
        )
        .await;
    assert!(
        matches!(failure, DialFailure::Limit(limit) if limit.kind == LimitKind::PendingOutgoing),
        "{failure:?}"
    );
}

#[tokio::test]
async fn idle_connections_end_unless_they_are_wanted() {
    let limits = Limits { idle_timeout: Duration::from_millis(50), ..Limits::new(8) };
    let mut hub = start_with(Keypair::generate_ed25519(), config(loopback(), limits)).await;
    let (wanted, stranger) = (start().await, start().await);
    hub.handle.set_peers(vec![wanted.as_wanted()]);
    hub.until_connected_to(&ids([&wanted])).await;
    stranger.handle.set_peers(vec![hub.as_wanted()]);
    let gone = hub
        .until(|event| if let Event::Disconnected { peer, .. } = event { Some(peer) } else { None })
        .await;
    assert_eq!(gone, stranger.handle.peer_id(), "the wanted peer came first and stays");
    assert!(hub.handle.connected().contains(&wanted.handle.peer_id()));
}

/// A TCP proxy to `target` that passes everything on until `freeze`, then nothing, with both connections open.
async fn freezable_proxy(target: &Multiaddr) -> (Multiaddr, oneshot::Sender<()>, JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address =
        format!("/ip4/127.0.0.1/tcp/{}", listener.local_addr().unwrap().port()).parse().unwrap();
    let Some(Protocol::Tcp(port)) = target.iter().nth(1) else { panic!("{target}") };
    let (freeze, frozen) = oneshot::channel();
    let task = tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
            _ = frozen => pending().await,
        }
    });
    (address, freeze, task)
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_given_up() {
    let ping = 100 * Duration::from_millis(1);
    let limits = Limits { ping_interval: ping, ping_timeout: ping, ..Limits::new(8) };
    let mut a = start_with(Keypair::generate_ed25519(), config(loopback(), limits)).await;
    let b = start().await;
    let (address, freeze, proxy) = freezable_proxy(&b.handle.listen_addresses()[0]).await;
    a.handle.set_peers(vec![WantedPeer { addresses: vec![address], ..b.as_wanted() }]);
    a.until_connected_to(&ids([&b])).await;
    until(|| a.handle.counters().pings > 0).await;
    freeze.send(()).unwrap();
    // The second ping opens a stream, for which libp2p allows 10 s whatever the ping's own timeout is.
    let gone = a
        .until(|event| if let Event::Disconnected { peer, .. } = event { Some(peer) } else { None })
        .await;
    assert_eq!(gone, b.handle.peer_id());
    assert!(!proxy.is_finished(), "its connections are still open");
}

#[tokio::test]
async fn a_peer_that_restarts_at_its_address_is_connected_again() {
    let a = start().await;
    let keypair = Keypair::generate_ed25519();
    let b = start_with(keypair.clone(), config(loopback(), Limits::new(8))).await;
    let (wanted, address, expected) =
        (b.as_wanted(), b.handle.listen_addresses().remove(0), ids([&b]));
    a.handle.set_peers(vec![wanted]);
    a.until_connected_to(&expected).await;

    b.stop().await;
    a.until_connected_to(&BTreeSet::new()).await;
    let b = start_with(keypair, config(address, Limits::new(8))).await;
    a.until_connected_to(&expected).await;
    b.until_connected_to(&ids([&a])).await;
}

#[tokio::test]
async fn shutdown_closes_connections_and_frees_the_port() {
    let (a, mut b) = (start().await, start().await);
    a.handle.set_peers(vec![b.as_wanted()]);
    let id = a.handle.peer_id();
    b.until_connected_to(&ids([&a])).await;
    let address = a.handle.listen_addresses().remove(0);
    let watcher = a.handle.watch_connected();
    a.stop().await;
    let event = b.until(|event| matches!(event, Event::Disconnected { .. }).then_some(event)).await;
    assert!(matches!(event, Event::Disconnected { peer, .. } if peer == id), "{event:?}");
    assert!(watcher.has_changed().is_err(), "watchers see the end");
    start_with(Keypair::generate_ed25519(), config(address, Limits::new(8))).await;
}

#[tokio::test]
async fn it_ends_when_every_handle_is_dropped() {
    let Node { handle, mut events, task } = start().await;
    let second = handle.clone();
    drop(handle);
    drop(second);
    timeout(DEADLINE, task).await.expect("the network ends").unwrap();
    let last = async { while events.recv().await.is_some() {} };
    timeout(DEADLINE, last).await.expect("the events end");
}
