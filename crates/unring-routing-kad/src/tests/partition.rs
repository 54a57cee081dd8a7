//! Two sides of a network that lose each other and come together again.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use libp2p_identity::Keypair;
use multiaddr::Multiaddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use unring_routing::{Key, Router as _};

use super::kad::{Node, config, kad_config, start_as, until};
use crate::{DialConfig, KadConfig, StoreLimits, WantedPeer};

/// After the end of a partition everything is found again within this.
const HEALED_WITHIN: Duration = Duration::from_secs(15);

/// The only way from one side to a node of the other.
struct Door {
    address: SocketAddr,
    _task: JoinSet<()>,
}

impl Door {
    /// Leads to `node` while `open` says so.
    async fn new(node: watch::Receiver<SocketAddr>, open: watch::Receiver<bool>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut passing = JoinSet::new();
            while let Ok((from, _)) = listener.accept().await {
                let (node, mut open) = (*node.borrow(), open.clone());
                if *open.borrow_and_update() {
                    passing.spawn(async move {
                        let pass = async {
                            let (mut from, mut to) = (from, TcpStream::connect(node).await?);
                            tokio::io::copy_bidirectional(&mut from, &mut to).await
                        };
                        tokio::select! {
                            _ = pass => {}
                            _ = open.wait_for(|open| !open) => {}
                        }
                    });
                }
                while passing.try_join_next().is_some() {}
            }
        });
        Self { address, _task: task }
    }
}

fn as_multiaddr(address: SocketAddr) -> Multiaddr {
    format!("/ip4/{}/tcp/{}", address.ip(), address.port()).parse().unwrap()
}

fn as_socket(address: &Multiaddr) -> SocketAddr {
    crate::address::socket(address).unwrap()
}

#[tokio::test]
async fn a_partition_heals_and_what_was_forgotten_is_told_again() {
    let (open, doors_open) = watch::channel(true);
    let mut nodes: Vec<(Node, Door)> = Vec::new();
    for _ in 0..4 {
        let (leads_to, node) = watch::channel("127.0.0.1:1".parse().unwrap());
        let door = Door::new(node, doors_open.clone()).await;
        let kad = KadConfig {
            // Told by nothing else once they have come together.
            reprovide_interval: Duration::from_secs(64),
            store: StoreLimits { validity: Duration::from_secs(4), ..kad_config().store },
            ..kad_config()
        };
        let mut config = config(kad);
        config.external = vec![as_multiaddr(door.address)];
        config.dial = DialConfig { stable_after: Duration::from_millis(500), ..config.dial };
        let node = start_as(Keypair::generate_ed25519(), config, None, None).await;
        leads_to.send_replace(as_socket(&node.handle.listen_addresses()[0]));
        nodes.push((node, door));
    }
    let side = |node: usize| node / 2;
    for (n, (node, _)) in nodes.iter().enumerate() {
        let wanted = nodes.iter().enumerate().filter(|(m, _)| *m != n).map(|(m, (other, door))| {
            let direct = other.handle.listen_addresses().remove(0);
            let address = if side(n) == side(m) { direct } else { as_multiaddr(door.address) };
            WantedPeer { peer: other.handle.peer_id(), addresses: vec![address], hearsay: false }
        });
        node.handle.set_peers(wanted.collect());
    }
    for (node, _) in &nodes {
        node.until_knows(3).await;
    }
    let [a, b] = [&nodes[0].0, &nodes[2].0];
    let (of_a, of_b) = (BTreeSet::from([a.handle.peer_id()]), BTreeSet::from([b.handle.peer_id()]));
    let key = |name: &str| Key::new(name);
    a.router.advertise(&[key("before, a")]).unwrap();
    b.router.advertise(&[key("before, b")]).unwrap();
    a.until_finds(key("before, b"), &of_b).await;
    b.until_finds(key("before, a"), &of_a).await;
    // The connections are to count as stable.
    tokio::time::sleep(Duration::from_millis(600)).await;

    open.send_replace(false);
    for (node, _) in &nodes {
        until("only its own side is left", || node.handle.connected().len() == 1).await;
    }
    a.router.advertise(&[key("meanwhile, a")]).unwrap();
    b.router.advertise(&[key("meanwhile, b")]).unwrap();
    a.until_finds(key("before, b"), &BTreeSet::new()).await;
    b.until_finds(key("before, a"), &BTreeSet::new()).await;

    let kept: Vec<u64> =
        nodes.iter().map(|(node, _)| node.router.counters().records_kept).collect();
    open.send_replace(true);
    let healed = async {
        for (node, _) in &nodes {
            until("all are back", || node.handle.connected().len() == 3).await;
        }
        for name in ["before", "meanwhile"] {
            let keys = [key(&format!("{name}, a")), key(&format!("{name}, b"))];
            for (node, _) in &nodes {
                for (key, of) in keys.iter().zip([&of_a, &of_b]) {
                    if !of.contains(&node.handle.peer_id()) {
                        node.until_finds(*key, of).await;
                    }
                }
            }
        }
    };
    timeout(HEALED_WITHIN, healed).await.expect("it heals in time");
    // Those who had forgotten are told of both keys of the other side before its sweep comes by.
    for ((node, _), before) in nodes.iter().zip(kept) {
        until("it knows them itself", || node.router.counters().records_kept >= before + 2).await;
    }
}
