//! Who belongs to a cluster, and who is kept out.

use std::time::Duration;

use unring_e2e::{Caller, Cluster, Node, eventually, throughout};
use unring_exchange::Scope;
use unring_peer_addr::CallError;

const ASK: Duration = Duration::from_secs(10);
const TOKEN: &str = "correct-horse-battery-staple-0001";
const NEXT: &str = "correct-horse-battery-staple-0002";

/// Gives a node this join token, as of its next start.
fn token(node: &mut Node, token: &str) {
    let file = node.write("token", token);
    node.set("security", "token_file", file);
}

/// Nodes in a star round the first, each with this token.
fn star(nodes: usize, text: &str) -> Cluster {
    let mut cluster = Cluster::new(nodes);
    let hub = cluster[0].url();
    cluster.iter_mut().for_each(|node| token(node, text));
    cluster[1..].iter_mut().for_each(|node| node.join([hub.clone()]));
    cluster
}

fn reason(error: CallError) -> String {
    let CallError::Refused { reason: Some(reason), .. } = error else { panic!("{error:?}") };
    reason
}

fn grows(node: &Node, metric: &str) {
    eventually(&format!("{metric} of {} grows", node.name()), || {
        let value = node.metric(metric)?;
        if value > 0.0 { Ok(()) } else { Err("still 0".into()) }
    });
}

#[test]
fn only_who_knows_the_token_takes_part_and_nobody_tells_it() {
    let mut cluster = star(4, TOKEN);
    // The third node was given another token, the fourth none.
    token(&mut cluster[2], NEXT);
    cluster[3].unset("security", "token_file");
    let peer_ids = cluster.start();
    eventually("the two members know each other", || {
        cluster[0].status()?.peer(&peer_ids[1])?;
        cluster[1].status()?.peer(&peer_ids[0]).map(drop)
    });
    grows(&cluster[0], "security_calls_wrong_token_total");
    grows(&cluster[0], "security_calls_without_token_total");
    for node in &cluster[..2] {
        let status = node.status().unwrap();
        assert_eq!(status.peers.len(), 1, "{:?}", status.peers);
    }
    for node in &cluster[2..] {
        assert!(node.status().unwrap().peers.is_empty(), "{} knows somebody", node.name());
    }
    let url = cluster[0].url();
    let refused = |caller: &Caller| reason(caller.ask(&url, Scope::Local, ASK).unwrap_err());
    assert_eq!(refused(&Caller::default()), "NO_TOKEN");
    assert_eq!(refused(&Caller::with_token(NEXT)), "OTHER_TOKEN");
    let answer = Caller::with_token(TOKEN).ask(&url, Scope::Local, ASK).unwrap();
    assert_eq!(answer.records.len(), 2);
    for node in cluster.iter() {
        let said = node.all_that_it_says();
        assert!(!said.contains("correct-horse"), "{} tells a token", node.name());
        assert!(said.contains("security_calls_wrong_token"), "metrics were read");
    }
}

#[test]
fn a_new_token_comes_without_a_restart_or_a_lost_stream() {
    let mut cluster = star(2, TOKEN);
    let peer_ids = cluster.start();
    cluster.connected(&peer_ids);
    let (url, old, new) = (cluster[0].url(), Caller::with_token(TOKEN), Caller::with_token(NEXT));
    let accepted = cluster[0].metric("grpc_connections_accepted_total").unwrap();
    assert_eq!(reason(new.ask(&url, Scope::Local, ASK).unwrap_err()), "OTHER_TOKEN");

    // Not read: the one that was read before goes on to hold.
    cluster[0].write("token", "short");
    cluster[0].reload();
    assert_eq!(cluster[0].says("secrets_kept").level, "ERROR");
    old.ask(&url, Scope::Local, ASK).unwrap();

    // One node notices by itself, the other is told. Between the two both tokens are in use.
    cluster[0].write("token", NEXT);
    cluster[0].says("token_changed");
    new.ask(&url, Scope::Local, ASK).unwrap();
    old.ask(&url, Scope::Local, ASK).unwrap();
    let knows_newer = |cluster: &Cluster, at: usize, other: usize| {
        let seq = cluster[other].status().unwrap().record.seq;
        eventually("a newer record is heard", || {
            let known = cluster[at].status()?.peer(&peer_ids[other])?.seq;
            if known >= seq { Ok(()) } else { Err(format!("{known} < {seq}")) }
        });
    };
    knows_newer(&cluster, 1, 0);
    cluster[1].write("token", NEXT);
    cluster[1].reload();
    cluster[1].says("token_changed");
    knows_newer(&cluster, 0, 1);
    let streams = cluster[1].status().unwrap();
    assert_eq!(streams.upstreams[0].state, "streaming");
    // The calls above had connections of their own: four.
    let now = cluster[0].metric("grpc_connections_accepted_total").unwrap();
    assert!(now - accepted <= 4.0, "{accepted} then {now}: nodes connected again");

    // Restarted, it has never heard of the old one.
    cluster[0].restart();
    assert_eq!(reason(old.ask(&url, Scope::Local, ASK).unwrap_err()), "OTHER_TOKEN");
    new.ask(&url, Scope::Local, ASK).unwrap();
    cluster.connected(&peer_ids);
}

#[test]
fn an_old_token_is_accepted_for_the_overlap_and_no_longer() {
    let mut cluster = star(1, TOKEN);
    cluster[0].set("security", "token_overlap", "3s");
    cluster.start();
    let (url, old) = (cluster[0].url(), Caller::with_token(TOKEN));
    cluster[0].write("token", NEXT);
    cluster[0].reload();
    cluster[0].says("token_changed");
    cluster[0].says("token_retired");
    assert_eq!(reason(old.ask(&url, Scope::Local, ASK).unwrap_err()), "OTHER_TOKEN");
}

#[test]
fn who_is_denied_is_kept_out_and_let_in_again_without_a_restart() {
    let mut cluster = Cluster::new(3);
    let hub = cluster[0].url();
    cluster[1..].iter_mut().for_each(|node| node.join([hub.clone()]));
    let peer_ids = cluster.start();
    cluster.connected(&peer_ids);
    let knows = |cluster: &Cluster, want: bool| {
        eventually("the list holds", || {
            let known = cluster[0].status()?.peer(&peer_ids[2]).is_ok();
            if known == want { Ok(()) } else { Err(format!("known: {known}")) }
        });
    };
    // On both lists: deny wins.
    cluster[0].set("security", "deny", vec![peer_ids[2].clone()]);
    cluster[0].set("security", "allow", peer_ids.clone());
    cluster[0].reload();
    knows(&cluster, false);
    // Without the list it would else be back after a restart.
    eventually("it is not on disk either", || match cluster[0].metric("database_records")? {
        1.0 => Ok(()),
        records => Err(format!("{records} records")),
    });
    grows(&cluster[0], "security_records_denied_total");
    grows(&cluster[0], "security_calls_denied_total");
    // Who is on neither is not allowed.
    let stranger = Caller::default().ask(&hub, Scope::Local, ASK);
    assert_eq!(reason(stranger.unwrap_err()), "NOT_ALLOWED");
    assert_eq!(cluster[0].events("started").len(), 1);

    cluster[0].unset("security", "deny");
    cluster[0].reload();
    knows(&cluster, true);
}

#[test]
fn who_is_denied_has_no_libp2p_connection_until_it_is_let_in_again() {
    let mut cluster = Cluster::new(3);
    let hub = cluster[0].url();
    cluster[1..].iter_mut().for_each(|node| node.join([hub.clone()]));
    let peer_ids = cluster.start();
    cluster.connected(&peer_ids);
    let connected = |cluster: &Cluster| -> Result<bool, String> {
        Ok(cluster[0].status()?.libp2p.connected_peers.contains(&peer_ids[2]))
    };
    cluster[0].set("security", "deny", vec![peer_ids[2].clone()]);
    cluster[0].reload();
    eventually("its connection is closed", || match connected(&cluster)? {
        true => Err("it is open".into()),
        false => Ok(()),
    });
    // It tries again, for it has been told of no list; and nobody dials it on the word of the third node.
    grows(&cluster[0], "security_libp2p_refused_total");
    throughout(Duration::from_secs(2), "it stays closed", || match connected(&cluster)? {
        true => Err("it is open".into()),
        false => Ok(()),
    });
    assert_eq!(cluster[0].metric("security_libp2p_closed_total"), Ok(1.0));
    let others = cluster[1].status().unwrap().libp2p.connected_peers;
    assert_eq!(
        others,
        [peer_ids[0].clone(), peer_ids[2].clone()].into(),
        "one node's list is its own"
    );

    cluster[0].unset("security", "deny");
    cluster[0].reload();
    cluster.connected(&peer_ids);
}
