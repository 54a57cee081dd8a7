//! A database that is lost, and a key that is copied.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use unring_e2e::{Cluster, eventually, throughout};
use unring_node::{database, identity};

/// Two nodes, the second of which joins the first.
fn pair() -> Cluster {
    let mut cluster = Cluster::new(2);
    let url = cluster[0].url();
    cluster[1].join([url]);
    cluster
}

/// Waits until `hub` has a version of `peer_id` above `seq`; that version.
fn heard_above(cluster: &Cluster, hub: usize, peer_id: &str, seq: u64) -> u64 {
    eventually(&format!("a version above {seq} is heard"), || {
        let heard = cluster[hub].status()?.peer(peer_id)?.seq;
        if heard > seq { Ok(heard) } else { Err(format!("still {heard}")) }
    })
}

#[test]
fn without_its_database_a_node_is_heard_again() {
    let mut cluster = pair();
    let peer_ids = cluster.start();
    for at in [0, 1] {
        let (me, other) = (&peer_ids[at], 1 - at);
        let before = heard_above(&cluster, other, me, 0);
        cluster[at].stop();
        fs::remove_file(cluster[at].data_dir().join(database::FILE)).unwrap();
        cluster[at].start();
        assert_eq!(cluster[at].ready().peer_id, *me);
        heard_above(&cluster, other, me, before);
        assert_eq!(cluster[at].events("cloned_identity").len(), 0);
    }
}

#[test]
fn without_its_database_a_node_is_heard_again_even_if_its_clock_was_set_back() {
    let mut cluster = pair();
    let hour_ahead =
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(3600);
    let ahead = u64::try_from(hour_ahead.as_millis()).unwrap();
    for node in cluster.iter() {
        // What a run with a wrong clock leaves behind.
        identity::load_or_create(&node.data_dir()).unwrap();
        database::Database::open(&node.data_dir()).unwrap().0.set_seq(ahead).unwrap();
    }
    let peer_ids = cluster.start();
    for at in [0, 1] {
        let (me, other) = (&peer_ids[at], 1 - at);
        let before = heard_above(&cluster, other, me, ahead);
        cluster[at].stop();
        fs::remove_file(cluster[at].data_dir().join(database::FILE)).unwrap();
        cluster[at].start();
        let after = heard_above(&cluster, other, me, before);
        let line = cluster[at].says("seq_adopted");
        assert!(line.fields["seq"].as_u64().unwrap() <= after, "{line:?}, {after}");
        // What it adopted is kept: it is no news at the next start.
        let restarted = cluster[at].restart();
        assert!(restarted.record.seq > after, "{restarted:?}");
        assert_eq!(cluster[at].events("seq_adopted").len(), 1);
        assert_eq!(cluster[at].events("cloned_identity").len(), 0);
    }
}

#[test]
fn a_copied_identity_is_warned_of_and_does_not_duel() {
    let mut cluster = Cluster::new(3);
    let hub = cluster[0].url();
    for node in &mut cluster[1..] {
        node.join([hub.clone()]);
    }
    let original = identity::load_or_create(&cluster[1].data_dir()).unwrap();
    fs::create_dir_all(cluster[2].data_dir()).unwrap();
    fs::copy(
        cluster[1].data_dir().join(identity::FILE),
        cluster[2].data_dir().join(identity::FILE),
    )
    .unwrap();
    let peer_ids = cluster.start();
    let clone = original.peer_id().to_base58();
    assert_eq!(peer_ids[1..], [clone.clone(), clone.clone()]);

    eventually("one of the two warns", || {
        let lines = cluster[1..].iter().flat_map(|node| node.events("cloned_identity"));
        match lines.collect::<Vec<_>>().as_slice() {
            [] => Err("no line".into()),
            lines => {
                assert!(lines.iter().all(|line| line.level == "WARN"), "{lines:?}");
                Ok(())
            }
        }
    });
    let before = cluster[0].status().unwrap().exchange.records_kept;
    let mut versions = BTreeSet::new();
    throughout(Duration::from_secs(10), "the hub knows the identity", || {
        versions.insert(cluster[0].status()?.peer(&clone)?.seq);
        Ok(())
    });
    let kept = cluster[0].status().unwrap().exchange.records_kept - before;
    // One that has not noticed yet may raise its version once more, and may be answered once.
    assert!(kept <= 4 && versions.len() <= 4, "{kept} records in 10 s, versions {versions:?}");
    for node in &cluster[1..] {
        let warnings = node.events("cloned_identity").len();
        assert!(warnings <= 1, "{} warned {warnings} times", node.name());
    }
}
