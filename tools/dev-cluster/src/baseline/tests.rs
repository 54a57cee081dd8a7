use std::path::Path;

use super::{
    BaselineError, MAX_IN_FLIGHT, MAX_MESSAGES, MAX_TRIGGERS, fresh_folder, servers, share,
};
use crate::ports;
use crate::topology::{MAX_NODES, Topology};

#[test]
fn the_shares_of_all_nodes_and_the_triggers_stay_below_the_limits_of_a_run() {
    for nodes in 1..=MAX_NODES {
        let (in_flight, messages) = share(nodes, MAX_TRIGGERS);
        assert!(nodes * in_flight + MAX_TRIGGERS <= MAX_IN_FLIGHT, "{nodes}");
        let all = u64::try_from(nodes).unwrap() * messages;
        assert!(all + 200 <= MAX_MESSAGES && in_flight > 0 && messages > 0, "{nodes}");
    }
    assert_eq!(share(3, 6), (664, 33_331));
    assert_eq!(share(3, 9999), share(3, MAX_TRIGGERS));
}

#[test]
fn a_join_to_a_url_is_left_out() {
    let text = "[[node]]\nname = 'a'\nupstreams = ['b', 'https://192.0.2.1:1', 'a']\n\
                [[node]]\nname = 'b'";
    let topology = Topology::from_toml("f", text).unwrap();
    let ports = ports::pick(2).unwrap();
    assert_eq!(servers(&topology, 0, &ports), [ports[1].grpc, ports[0].grpc]);
    assert!(servers(&topology, 1, &ports).is_empty());
}

#[test]
fn only_a_folder_of_ours_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("x");
    fresh_folder(&folder).unwrap();
    assert!(matches!(fresh_folder(&folder), Err(BaselineError::Foreign(_))));
    std::fs::write(folder.join("nodes"), "").unwrap();
    std::fs::write(folder.join("old.log"), "").unwrap();
    fresh_folder(&folder).unwrap();
    assert!(!Path::new(&folder).join("old.log").exists());
}
