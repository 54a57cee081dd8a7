//! Triggers of a run, with a client that only notes whom it should call.

use std::sync::Arc;
use std::time::Duration;

use dev_cluster::cluster::Stop;
use dev_cluster::dir::ClusterDir;
use dev_cluster::plan::Plan;
use dev_cluster::providers::FOUND_WITHIN;
use dev_cluster::report::Report;
use dev_cluster::run::run;
use dev_cluster::screen::Screen;
use dev_cluster::topology::{Shape, Topology};
use dev_cluster::trigger::{Trigger, TriggerError};

use crate::setup;

#[derive(Default)]
pub(crate) struct Notes {
    called: Vec<String>,
    deaf: bool,
}

impl Trigger for Notes {
    fn fire(&mut self, grpc_url: &str) -> Result<(), TriggerError> {
        self.called.push(grpc_url.to_owned());
        if self.deaf { Err("deadline exceeded".into()) } else { Ok(()) }
    }
}

/// A run of some milliseconds.
pub(crate) fn plan(topology: Topology, triggers: usize) -> Plan {
    Plan {
        setup: setup(topology),
        seed: 0,
        watch_for: Some(Duration::from_millis(200)),
        triggers,
        found_within: FOUND_WITHIN,
        partition: None,
        baseline: None,
        mixed: None,
    }
}

fn run_with(triggers: usize, notes: &mut Notes) -> (Report, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan(Shape::Ring.build(3, 0), triggers);
    let folder = Arc::new(ClusterDir::open(dir.path()).unwrap());
    let mut screen = Screen::new(Box::new(std::io::sink()), None);
    let report = run(&plan, &folder, &Stop::default(), notes, &mut screen).unwrap();
    let text = std::fs::read_to_string(dir.path().join("cluster.json")).unwrap();
    let cluster: serde_json::Value = serde_json::from_str(&text).unwrap();
    let urls = ["node-1", "node-2", "node-3"]
        .map(|name| cluster[name]["grpc"].as_str().unwrap().to_owned());
    (report, urls.into())
}

#[test]
fn triggers_go_round_the_nodes_at_the_beginning_and_again_at_the_end() {
    let mut notes = Notes::default();
    let (report, nodes) = run_with(2, &mut notes);
    assert_eq!(notes.called, [&*nodes[0], &nodes[1], &nodes[2], &nodes[0]]);
    assert_eq!(report.failures, [] as [&str; 0]);
    assert_eq!(
        report.invariants.messages_per_trigger_max, 3,
        "each fake node says that it sent one"
    );
}

#[test]
fn a_trigger_without_an_answer_fails_the_run() {
    let mut notes = Notes { deaf: true, ..Notes::default() };
    let (report, _) = run_with(1, &mut notes);
    let beginnings: Vec<&str> =
        report.failures.iter().filter_map(|failure| failure.split(" did ").next()).collect();
    assert_eq!(beginnings, ["node-1", "node-2"], "{:#?}", report.failures);
    assert!(
        report.failures[0].contains(": deadline exceeded; see exchange in /"),
        "{:?}",
        report.failures
    );
}

#[test]
fn more_triggers_than_a_node_lists_are_all_sent() {
    let mut notes = Notes::default();
    run_with(70, &mut notes);
    assert_eq!(notes.called.len(), 140);
}
