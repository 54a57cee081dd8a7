//! The command as a whole.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use dev_cluster::usage::is_running;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::fake_node;

/// The command without triggers, which a stand-in node does not answer.
fn command(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dev-cluster"));
    command.args(["--triggers", "0"]);
    command.arg("--unring").arg(fake_node::program()).arg("--dir").arg(dir).args(words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(dir: &Path, words: &[&str]) -> Output {
    command(dir, words).output().unwrap()
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// Starts a cluster without an end and waits until its nodes are ready; their process ids.
fn start(dir: &Path) -> (Child, Vec<u32>) {
    let child = command(dir, &[]).spawn().unwrap();
    while !dir.join("cluster.json").exists() {
        std::thread::yield_now();
    }
    let nodes = json(&dir.join("cluster.json"));
    let pids = nodes.as_object().unwrap().values().map(|node| node["pid"].as_u64().unwrap());
    (child, pids.map(|pid| pid.try_into().unwrap()).collect())
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().try_into().unwrap()).unwrap(), signal).unwrap();
}

#[test]
fn a_good_run_passes_and_prints_nothing_but_its_report() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = command(dir.path(), &["--for", "1s", "--json", "--nodes", "12"]);
    let output = command.env("UNRING_NAME", "of the shell").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report, json(&dir.path().join("report.json")));
    assert_eq!(
        (&report["verdict"], &report["failures"]),
        (&"pass".into(), &Vec::<Value>::new().into())
    );
    assert_eq!(
        (&report["topology"], &report["nodes"], &report["seed"]),
        (&"ring".into(), &12.into(), &1.into())
    );
    assert_eq!(report["invariants"]["joins"], 12);
    assert_eq!(report["rings"][0]["nodes"].as_array().unwrap().len(), 12);
    assert_eq!(report["per_node"]["node-12"]["peers_known"], 11);
    let providers =
        serde_json::json!({"expected": 132, "found": 132, "p50_ms": 1.3, "p99_ms": 1.3});
    assert_eq!(report["providers"], providers);
    assert_eq!(
        report["per_node"]["node-12"]["cpu_percent_of_core"],
        Value::Null,
        "too short for a mean"
    );

    let nodes = json(&dir.path().join("cluster.json"));
    let node = &nodes["node-1"];
    let port = |url: &Value, scheme: &str| {
        url.as_str().unwrap().strip_prefix(scheme).unwrap().parse::<u16>().unwrap()
    };
    let grpc = port(&node["grpc"], "https://127.0.0.1:");
    assert_eq!(
        nodes["node-12"]["upstreams"],
        Value::from(vec![format!("https://127.0.0.1:{grpc}")])
    );
    assert!(node["libp2p"].as_str().unwrap().ends_with("/p2p/peer-node-1"), "{node}");
    let log = fs::read_to_string(node["log"].as_str().unwrap()).unwrap();
    assert!(log.contains("ring_found"), "{log}");
    assert_eq!(json(&dir.path().join("node-1/statusz.json"))["name"], "node-1");

    let client = dir.path().canonicalize().unwrap().join("client");
    let call = format!(
        "grpcurl -insecure -cert {0}/client.pem -key {0}/client.key 127.0.0.1:{grpc} ",
        client.display()
    );
    assert!(stderr.contains(&call) && client.join("client.pem").exists(), "{stderr}");
    let admin = port(&node["admin"], "http://127.0.0.1:");
    assert!(stderr.contains(&format!("curl http://127.0.0.1:{admin}/metrics")), "{stderr}");
    assert!(stderr.contains("PASS: ring of 12 nodes"), "{stderr}");
}

#[test]
fn ctrl_c_ends_the_run_and_leaves_no_process() {
    for signal in [Signal::INT, Signal::TERM] {
        let dir = tempfile::tempdir().unwrap();
        let (child, pids) = start(dir.path());
        send(&child, signal);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!((pids.len(), pids.into_iter().any(is_running)), (3, false));
        assert_eq!(json(&dir.path().join("report.json"))["verdict"], "pass");
    }
}

#[test]
fn what_a_killed_run_left_behind_is_ended_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, pids) = start(dir.path());
    let output = run(dir.path(), &["--for", "1s"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("another dev-cluster runs in"), "{stderr}");
    assert!(pids.iter().copied().all(is_running), "the one that runs is left alone");

    send(&child, Signal::KILL);
    child.wait().unwrap();
    assert!(pids.iter().copied().all(is_running));
    assert_eq!(run(dir.path(), &["--for", "100ms"]).status.code(), Some(0));
    assert!(!pids.into_iter().any(is_running));
}

#[test]
fn a_law_that_does_not_hold_fails_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("two.toml");
    let text = "[[node]]\nname = 'a'\nupstreams = ['b']\n[node.config.fake]\nforgets = 'b'\n\
                [[node]]\nname = 'b'\n[node.config.fake]\nfails_to_drain = true";
    fs::write(&file, text).unwrap();
    let cluster = dir.path().join("cluster");
    let output = run(&cluster, &["--for", "500ms", "--topology", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let report = json(&cluster.join("report.json"));
    assert_eq!(
        (&report["verdict"], &report["topology"]),
        (&"fail".into(), &file.to_str().unwrap().into())
    );
    let failures: Vec<&str> = report["failures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|failure| failure.as_str().unwrap())
        .collect();
    let expected = [
        "b ended with exit code 4 after SIGTERM",
        "a does not know b",
        "a has no libp2p connection to b",
    ];
    assert_eq!(failures.len(), expected.len(), "{failures:#?}");
    for (failure, start) in failures.iter().zip(expected) {
        assert!(failure.starts_with(start), "{failures:#?}");
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("FAIL: ") && stdout.contains("  - a does not know b"), "{stdout}");
}

#[test]
fn real_calls_to_nodes_without_grpc_fail_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dev-cluster"));
    command.arg("--unring").arg(fake_node::program()).arg("--dir").arg(dir.path());
    let output =
        command.args(["--nodes", "1", "--triggers", "1", "--for", "100ms"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report = json(&dir.path().join("report.json"));
    let failures = report["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 2, "one at the beginning and one at the end: {failures:?}");
    let failure = failures[0].as_str().unwrap();
    let start = "node-1 did not answer a ListPeers with SCOPE_RECURSIVE, expected an answer within its deadline: \
                 it cannot be reached: https://127.0.0.1:";
    assert!(failure.starts_with(start) && failure.contains("onnection refused"), "{failure}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        stdout.contains("0 of 1 triggers were answered; messages of new requests: none"),
        "{stdout}"
    );
}

#[test]
fn nodes_that_end_by_themselves_end_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("one.toml");
    fs::write(&file, "[[node]]\nname = 'a'\n[node.config.fake]\ndies_after_ms = 700").unwrap();
    let output = run(&dir.path().join("c"), &["--json", "--topology", file.to_str().unwrap()]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let failures = report["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert!(
        failures[0].as_str().unwrap().starts_with("a ended by itself (exit code 9)"),
        "{failures:?}"
    );
    assert_eq!(report["per_node"]["a"]["log_lines"], 2);
}

#[test]
fn a_start_that_fails_is_reported_too() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("one.toml");
    fs::write(&file, "[[node]]\nname = 'a'\nupstreams = ['a']\n[node.config.fake]\ndies_after_ms = 0\nnever_ready = 1").unwrap();
    let output = run(&dir.path().join("c"), &["--topology", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let report = json(&dir.path().join("c/report.json"));
    assert_eq!((&report["verdict"], &report["ready_s"]), (&"fail".into(), &Value::Null));
    assert_eq!(report["invariants"]["rings_expected"], 1);
    let failure = report["failures"][0].as_str().unwrap();
    assert!(
        failure.starts_with("a ended before it was ready: exit code 9; the end of /"),
        "{failure}"
    );
    assert!(!dir.path().join("c/cluster.json").exists());
}

#[test]
fn a_wrong_argument_exits_64_and_touches_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = dir.path().join("c");
    for words in
        [&["--nodes", "0"][..], &["--topology", "torus"], &["--speed", "9"], &["--for", "x"]]
    {
        let output = run(&cluster, words);
        assert_eq!(output.status.code(), Some(64), "{words:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{words:?}");
    }
    assert!(!cluster.exists());
    assert_eq!(run(&cluster, &["--help"]).status.code(), Some(0));
}
