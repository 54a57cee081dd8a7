//! Crashes, and joins that are cut.

use std::time::{Duration, Instant};

use unring_e2e::{Caller, Cluster, Node, eventually, throughout};
use unring_exchange::Scope;

const ASK: Duration = Duration::from_secs(5);

#[test]
fn a_killed_node_leaves_every_book_and_comes_back_as_itself() {
    let mut cluster = Cluster::ring(3);
    for node in cluster.iter_mut() {
        node.set("timing", "record_ttl", "5s");
    }
    let peer_ids = cluster.start();
    cluster.connected(&peer_ids);
    let (dead, caller) = (&peer_ids[1], Caller::default());
    let before = cluster[1].status().unwrap().record.seq;
    let killed = Instant::now();
    cluster[1].kill();
    let serve = |node: &Node| caller.ask(&node.url(), Scope::Recursive, ASK);
    for node in [&cluster[0], &cluster[2]] {
        assert!(serve(node).unwrap().records.len() >= 2, "{} still serves", node.name());
        eventually(&format!("{} forgets the dead", node.name()), || {
            let known = node.status()?.peer(dead).is_ok();
            if known { Err("its record is still there".into()) } else { Ok(()) }
        });
    }
    // Its last record was valid for 5 s; the rest is how long a busy machine may take to look.
    assert!(killed.elapsed() < Duration::from_secs(15), "{:?}", killed.elapsed());
    throughout(Duration::from_secs(4), "the dead stay dead", || {
        for (node, other) in [(&cluster[0], &peer_ids[2]), (&cluster[2], &peer_ids[0])] {
            let status = node.status()?;
            status.peer(other)?;
            if status.peer(dead).is_ok() {
                return Err(format!("{} has its record again", node.name()));
            }
        }
        Ok(())
    });
    for node in [&cluster[0], &cluster[2]] {
        let answer = serve(node).unwrap();
        assert_eq!(answer.records.len(), 2, "{} still serves the living", node.name());
    }

    cluster[1].start();
    let after = cluster[1].ready();
    assert_eq!((&after.peer_id, after.record.seq > before), (dead, true), "{after:?}");
    for status in cluster.connected(&peer_ids) {
        if status.peer_id != *dead {
            assert!(status.peer(dead).unwrap().seq > before, "{status:?}");
        }
    }
}

/// Lines that say that a ring is gone, per node.
fn gone(cluster: &Cluster) -> Vec<usize> {
    cluster.iter().map(|node| node.events("ring_gone").len()).collect()
}

fn warnings(cluster: &Cluster) -> Vec<usize> {
    cluster.iter().map(|node| node.ring_warnings().len()).collect()
}

/// Longer than a ring that is new, changed or gone takes to be spoken of.
const SPOKEN: Duration = Duration::from_secs(5);

#[test]
fn a_ring_is_warned_of_once_and_said_to_be_gone_once_across_restarts() {
    let mut cluster = Cluster::ring(3);
    let peer_ids = cluster.start();
    cluster.warned();

    cluster[0].restart();
    cluster.connected(&peer_ids);
    let restarted = cluster[0].has_run_for(SPOKEN);
    assert_eq!(restarted.rings(), [("plain", ["node-1", "node-2", "node-3"].into())]);
    assert_eq!((warnings(&cluster), gone(&cluster)), (vec![1; 3], vec![0; 3]));

    cluster[1].join([]);
    cluster[1].restart();
    for node in cluster.iter() {
        let line = node.says("ring_gone");
        assert_eq!(line.level, "INFO", "{line:?}");
        assert!(line.field("witness").contains("node-2"), "{line:?}");
        assert_eq!(node.status().unwrap().rings().len(), 0, "{}", node.name());
    }
    cluster[1].restart();
    cluster[0].restart();
    cluster[0].has_run_for(SPOKEN);
    assert_eq!((warnings(&cluster), gone(&cluster)), (vec![1; 3], vec![1; 3]));
}

#[test]
fn a_restart_while_the_upstream_is_down_does_not_say_that_the_ring_is_gone() {
    let mut cluster = Cluster::ring(3);
    cluster.start();
    cluster.warned();
    cluster[1].kill();
    cluster[0].restart();
    cluster[0].has_run_for(SPOKEN);
    // Nobody has removed a join: neither the restarted node nor the one that heard its new record says so.
    let alive = [&cluster[0], &cluster[2]];
    assert_eq!(alive.map(|node| node.events("ring_gone").len()), [0, 0]);
    assert_eq!(alive.map(|node| node.ring_warnings().len()), [1, 1]);
}
