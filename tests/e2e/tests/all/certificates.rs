//! Certificates of a cluster's own authority, beside those that are bound to peer ids.

use std::time::Duration;

use unring_e2e::{Authority, Caller, Cluster, eventually};
use unring_exchange::Scope;

const ASK: Duration = Duration::from_secs(10);

/// Nodes in a star round the first, each with a certificate of this authority.
fn star(nodes: usize, authority: &Authority) -> Cluster {
    let mut cluster = Cluster::new(nodes);
    let hub = cluster[0].url();
    cluster.iter_mut().for_each(|node| authority.equips(node));
    cluster[1..].iter_mut().for_each(|node| node.join([hub.clone()]));
    cluster
}

fn upstream_error(cluster: &Cluster, at: usize) -> Result<String, String> {
    let status = cluster[at].status()?;
    status.upstreams[0].last_error.clone().ok_or_else(|| "no error yet".to_owned())
}

#[test]
fn only_certificates_of_the_clusters_authority_are_taken() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let mut cluster = star(4, &ours);
    theirs.equips(&mut cluster[2]);
    // The last one has no authority, so it is content with anybody: the hub is not.
    for key in ["ca_file", "cert_file", "key_file"] {
        cluster[3].unset("security", key);
    }
    let peer_ids = cluster.start();
    eventually("the two of one authority know each other", || {
        cluster[0].status()?.peer(&peer_ids[1])?;
        cluster[1].status()?.peer(&peer_ids[0]).map(drop)
    });
    let why = eventually("the one of another says why not", || upstream_error(&cluster, 2));
    assert!(why.contains("another authority"), "{why}");
    eventually("the one of none has failed", || upstream_error(&cluster, 3));
    assert_eq!(cluster[0].status().unwrap().peers.len(), 1);

    let url = cluster[0].url();
    let counted = |name: &str| {
        let name = format!("security_certificates_{name}_total");
        cluster[0].metric(&name).unwrap()
    };
    let ask = |caller: &Caller| caller.ask(&url, Scope::Local, ASK);
    ask(&Caller::in_cluster(ours.cluster())).unwrap();
    let before = (counted("other_authority"), counted("expired"));
    assert!(before.0 > 0.0, "the last node was counted: {before:?}");
    // Each verifies first: whoever trusts another authority never gets as far as to show a certificate.
    ask(&Caller::in_cluster(theirs.cluster())).unwrap_err();
    ask(&Caller::default()).unwrap_err();
    ask(&Caller::in_cluster(ours.expired())).unwrap_err();
    // A client hears of it a moment before it is counted.
    eventually("both are counted", || {
        let now = (counted("other_authority"), counted("expired"));
        if now.0 > before.0 && now.1 == before.1 + 1.0 { Ok(()) } else { Err(format!("{now:?}")) }
    });
    for node in cluster.iter() {
        assert!(!node.all_that_it_says().contains("PRIVATE KEY"));
    }
}

#[test]
fn a_certificate_is_renewed_and_an_authority_added_under_open_connections() {
    let (ours, next) = (Authority::new("ours"), Authority::new("next"));
    let mut cluster = star(2, &ours);
    let peer_ids = cluster.start();
    cluster.connected(&peer_ids);
    let url = cluster[0].url();
    let ask = |caller: &Caller| caller.ask(&url, Scope::Local, ASK);
    let accepted = cluster[0].metric("grpc_connections_accepted_total").unwrap();

    // Certificate and key do not fit yet: what was read before goes on to hold.
    let issued = next.issue();
    cluster[0].write("key.pem", &issued.key);
    assert_eq!(cluster[0].says("secrets_kept").level, "ERROR");
    ask(&Caller::in_cluster(ours.cluster())).unwrap();

    cluster[0].write("ca.pem", &(ours.pem() + &next.pem()));
    cluster[0].write("cert.pem", &issued.certificate);
    cluster[0].says("certificate_changed");
    // A client that trusts the new one alone reaches a node whose certificate is by it, and the old ones still come in.
    ask(&Caller::in_cluster(next.cluster())).unwrap();
    let now = cluster[0].metric("grpc_connections_accepted_total").unwrap();
    assert!(now - accepted <= 2.0, "{accepted} then {now}: the node connected again");
    assert_eq!(cluster[1].status().unwrap().upstreams[0].state, "streaming");
}
