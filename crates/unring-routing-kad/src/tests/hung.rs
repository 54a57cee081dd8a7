//! A node that hangs: its system still takes connections and bytes, and nobody answers.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use libp2p_identity::Keypair;
use unring_routing::{Key, Router as _};

use super::kad::{Node, config, kad_config, start_as, until};
use crate::{KadConfig, PATIENCE, StoreLimits, WantedPeer};

/// A node on a thread of its own, which stands still until this is dropped.
struct Hung {
    _wake: mpsc::Sender<()>,
}

fn calm() -> KadConfig {
    KadConfig {
        reprovide_interval: Duration::from_secs(600),
        refresh_interval: Duration::from_secs(600),
        store: StoreLimits { validity: Duration::from_secs(900), ..kad_config().store },
        ..kad_config()
    }
}

/// Starts a node, lets `then` wait for something, and hangs it.
async fn hang(via: WantedPeer, then: impl AsyncFnOnce()) -> Hung {
    let (wake, woken) = mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (started, ready) = tokio::sync::oneshot::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let node = start_as(Keypair::generate_ed25519(), config(calm()), None, Some(via)).await;
            node.until_knows(2).await;
            started.send(()).unwrap();
            stopped.await.unwrap();
            // In its only thread: nothing of it goes on.
            _ = woken.recv();
        });
    });
    ready.await.unwrap();
    then().await;
    stop.send(()).unwrap();
    Hung { _wake: wake }
}

async fn start(via: Option<WantedPeer>) -> Node {
    start_as(Keypair::generate_ed25519(), config(calm()), None, via).await
}

#[tokio::test]
async fn a_node_that_hangs_is_waited_for_once() {
    let hub = start(None).await;
    let (asker, provider) =
        (start(Some(hub.as_wanted())).await, start(Some(hub.as_wanted())).await);
    let key = Key::new("x");
    let _hung = hang(hub.as_wanted(), async || {
        asker.until_knows(3).await;
        provider.until_knows(3).await;
        provider.router.advertise(&[key]).unwrap();
        until("all are told", || provider.router.counters().records_sent >= 3).await;
        until("it is connected", || asker.router.counters().connected >= 1).await;
    })
    .await;
    let missing = 20;
    let began = Instant::now();
    for n in 0..missing {
        let found = asker.router.lookup(Key::new(&format!("nobody's {n}"))).await.unwrap();
        assert!(found.is_empty());
    }
    let took = began.elapsed();
    // Of 20, most that wait for it in vain would take 12 s; it is a tenth of a second each.
    assert!(took < PATIENCE * missing * 2 / 3, "{took:?}");
    asker.until_finds(key, &BTreeSet::from([provider.handle.peer_id()])).await;
}
