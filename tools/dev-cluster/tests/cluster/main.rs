//! Real processes, with a stand-in for the node: how they are started, watched and ended.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod baseline;
mod command;
mod fake;
mod fake_naive;
mod fake_node;
mod grpc;
mod netns;
mod providers;
mod triggers;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dev_cluster::cluster::{Cluster, Setup, StartError, Stop};
use dev_cluster::dir::ClusterDir;
use dev_cluster::topology::{Shape, Topology};
use dev_cluster::usage::is_running;

fn setup(topology: Topology) -> Setup {
    Setup {
        unring: fake_node::program().to_owned(),
        topology,
        ready_within: Duration::from_secs(60),
        netns: None,
    }
}

fn start(dir: &Path, setup: &Setup) -> Result<Cluster, StartError> {
    Cluster::start(&Arc::new(ClusterDir::open(dir)?), setup, &Stop::default())
}

fn ring_with(extra: &str) -> Topology {
    let mut topology = Shape::Ring.build(3, 0);
    topology.nodes[1].config = toml::from_str(extra).unwrap();
    topology
}

#[test]
fn a_cluster_is_ready_and_ends_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = start(dir.path(), &setup(Shape::Ring.build(3, 0))).unwrap();
    assert_eq!(cluster.peer_ids(), ["peer-node-1", "peer-node-2", "peer-node-3"]);
    assert_eq!(cluster.nodes()[0].status().unwrap().rings.len(), 1);
    let pids: Vec<u32> = cluster.nodes().iter().filter_map(|node| node.pid()).collect();
    let exits = cluster.stop().unwrap();
    assert!(exits.iter().flatten().all(|exit| exit.status.success()), "{exits:?}");
    assert_eq!((pids.len(), pids.into_iter().any(is_running)), (3, false));
}

#[test]
fn a_node_can_be_killed_reconfigured_and_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = start(dir.path(), &setup(Shape::Ring.build(3, 0))).unwrap();
    let node = &mut cluster.nodes_mut()[1];
    let exit = node.kill().unwrap().unwrap();
    assert_eq!(exit.to_string(), "signal 9");
    node.config_mut().insert("upstreams".into(), toml::Value::Array(Vec::new()));
    node.start().unwrap();
    while node.ready().is_err() {
        assert_eq!(node.exited(), None);
    }
    assert_eq!(cluster.nodes()[0].status().unwrap().rings.len(), 0, "the ring is cut");
    assert!(cluster.nodes()[1].log_tail().matches("ready").count() == 2, "the log goes on");
}

#[test]
fn a_start_that_loses_a_port_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let topology = ring_with("fake.port_is_taken_once = true");
    let cluster = start(dir.path(), &setup(topology)).unwrap();
    assert!(dir.path().join("port-was-taken").exists());
    assert!(
        !cluster.nodes()[1].log_tail().contains("in use"),
        "nothing is left of the first attempt"
    );
}

#[test]
fn a_node_that_ends_before_it_is_ready_is_named_with_the_end_of_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let topology = ring_with("fake = { dies_after_ms = 0, never_ready = true }");
    let error = start(dir.path(), &setup(topology)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("node-2 ended before it was ready: exit code 9"), "{text}");
    assert!(text.contains("out of luck"), "{text}");
}

#[test]
fn a_node_that_is_never_ready_is_named_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = setup(ring_with("fake.never_ready = true"));
    setup.ready_within = Duration::from_secs(2);
    let error = start(dir.path(), &setup).unwrap_err().to_string();
    assert!(
        error.starts_with("not ready after 2 s: node-2 (no upstream was tried yet); the end of"),
        "{error}"
    );
    assert!(error.contains(r#"{"fields":{"message":"ready"},"level":"INFO"}"#), "{error}");
}

#[test]
fn a_stop_ends_the_wait_for_ready_nodes() {
    let dir = tempfile::tempdir().unwrap();
    let stop = Stop::default();
    stop.flag().store(true, Ordering::Relaxed);
    let topology = ring_with("fake.never_ready = true");
    let dir = Arc::new(ClusterDir::open(dir.path()).unwrap());
    let error = Cluster::start(&dir, &setup(topology), &stop).unwrap_err();
    assert!(
        matches!(&error, StartError::Stopped(nodes) if nodes.contains(&"node-2".to_owned())),
        "{error}"
    );
}

#[test]
fn a_missing_program_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = setup(Shape::Ring.build(1, 0));
    setup.unring = "/nonexistent/unring".into();
    let error = start(dir.path(), &setup).unwrap_err();
    let text = dev_cluster::error_chain(&error);
    assert!(
        text.starts_with("node-1 was not started: cannot run /nonexistent/unring: No such file"),
        "{text}"
    );
}
