//! SIGHUP.

use std::time::Duration;

use unring_e2e::{Cluster, eventually};

#[test]
fn joins_are_taken_over_without_a_restart() {
    let mut cluster = Cluster::new(3);
    let urls: Vec<String> = cluster.iter().map(|node| node.url()).collect();
    cluster[0].join([urls[1].clone()]);
    let peer_ids = cluster.start();
    let knows_join = |cluster: &Cluster, at: usize, url: &str| {
        eventually("the join is known", || {
            let status = cluster[at].status()?;
            let joins = &status.peer(&peer_ids[0])?.joins;
            let found = joins.len() == 1 && joins[0].address == url;
            if found { Ok(()) } else { Err(format!("{joins:?}")) }
        });
    };
    knows_join(&cluster, 1, &urls[1]);

    cluster[0].join([urls[2].clone()]);
    cluster[0].reload();
    knows_join(&cluster, 2, &urls[2]);
    let status = eventually("the new join streams and the old one is gone", || {
        let status = cluster[0].status()?;
        match status.upstreams.as_slice() {
            [one] if one.address == urls[2] && one.state == "streaming" => Ok(status),
            other => Err(format!("{other:?}")),
        }
    });
    assert!(status.peer(&peer_ids[2]).is_ok(), "{status:?}");
    assert_eq!(cluster[0].events("started").len(), 1, "it was not started again");

    // Nodes that were joined once are still peers, and a join back makes a ring while all run.
    cluster[2].join([urls[0].clone()]);
    cluster[2].reload();
    for at in [0, 2] {
        let line = cluster[at].says("ring_found");
        assert_eq!((line.level.as_str(), line.field("kind")), ("WARN", "plain"), "{line:?}");
    }
    cluster[2].join([]);
    cluster[2].reload();
    for at in [0, 2] {
        assert_eq!(cluster[at].says("ring_gone").level, "INFO");
    }
}

#[test]
fn a_configuration_that_is_not_accepted_changes_nothing() {
    let mut cluster = Cluster::ring(1);
    let before = cluster.start();
    cluster[0].reload_text("upstreams = [\"ftp://nowhere\"]\n");
    let line = eventually("the mistake is named", || {
        let mut lines = cluster[0].log();
        lines.retain(|line| line.level == "ERROR");
        lines.pop().ok_or_else(|| "no line".to_owned())
    });
    let error = line.field("error");
    assert!(error.contains("upstreams") && error.contains("ftp://nowhere"), "{line:?}");
    let status = cluster[0].has_run_for(Duration::from_secs(1));
    assert_eq!((status.peer_id, status.upstreams.len()), (before[0].clone(), 1));
}
