//! Keys that nodes find, or do not.

use std::sync::Arc;
use std::time::Duration;

use dev_cluster::cluster::Stop;
use dev_cluster::dir::ClusterDir;
use dev_cluster::report::{Report, Verdict};
use dev_cluster::run::run;
use dev_cluster::screen::Screen;
use dev_cluster::topology::{Shape, Topology};

use crate::triggers::{Notes, plan};

fn run_without_triggers(topology: Topology, found_within: Duration) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let plan = dev_cluster::plan::Plan { found_within, ..plan(topology, 0) };
    let folder = Arc::new(ClusterDir::open(dir.path()).unwrap());
    let mut screen = Screen::new(Box::new(std::io::sink()), None);
    run(&plan, &folder, &Stop::default(), &mut Notes::default(), &mut screen).unwrap()
}

#[test]
fn a_key_that_a_node_does_not_find_fails_the_run() {
    let mut topology = Shape::Line.build(3, 0);
    topology.nodes[1].config = toml::from_str("fake.does_not_find = 'node-3'").unwrap();
    let report = run_without_triggers(topology, Duration::from_millis(2500));
    let providers = report.providers.unwrap();
    assert_eq!((report.verdict, providers.expected, providers.found), (Verdict::Fail, 6, 5));
    let failure = &report.failures[0];
    let start = "node-2 does not find the key of node-3 in the DHT (the last answer: nobody, or others), expected that \
                 within 2.5 s";
    assert!(report.failures.len() == 1 && failure.starts_with(start), "{:#?}", report.failures);
}

#[test]
fn a_node_that_takes_no_part_is_not_asked_for() {
    let mut topology = Shape::Ring.build(3, 0);
    topology.nodes[0].config = toml::from_str("dht.mode = 'off'").unwrap();
    let report = run_without_triggers(topology, Duration::from_secs(60));
    let providers = report.providers.unwrap();
    assert_eq!((report.verdict, providers.expected, providers.found), (Verdict::Pass, 2, 2));
}

#[test]
fn nodes_that_nothing_connects_are_not_expected_to_find_each_other() {
    let text =
        "[[node]]\nname = 'a'\nupstreams = ['b']\n[[node]]\nname = 'b'\n[[node]]\nname = 'c'";
    let report =
        run_without_triggers(Topology::from_toml("f", text).unwrap(), Duration::from_secs(60));
    let providers = report.providers.unwrap();
    assert_eq!((report.verdict, providers.expected, providers.found), (Verdict::Pass, 2, 2));
}
