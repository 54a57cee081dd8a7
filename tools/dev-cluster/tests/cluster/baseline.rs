//! A run beside nodes without loop protection.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::{fake_naive, fake_node};

fn run(dir: &Path, naive: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dev-cluster"));
    command.arg("--unring").arg(fake_node::program()).arg("--naive-node").arg(naive);
    command.args(["--json", "--for", "400ms", "--baseline", "naive"]);
    command.arg("--dir").arg(dir).args(words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn both_are_told_side_by_side_with_their_ratios() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dir.path(), fake_naive::program(), &["--triggers", "0"]);
    let report = report(&output);
    assert_eq!(report["failures"], Value::Array(Vec::new()));
    let baseline = &report["baseline"];
    let (naive, unring) = (&baseline["naive"], &baseline["unring"]);
    // A fake node says that it sent one message for each that it joins.
    assert_eq!((&naive["messages"], &unring["messages"]), (&3000.into(), &3.into()));
    assert_eq!(baseline["message_ratio"], 1000.0);
    assert_eq!(naive["log_lines"], 3 * fake_naive::LINES);
    let ratio = 3.0 * 50.0 / unring["log_lines"].as_f64().unwrap();
    assert!((baseline["log_line_ratio"].as_f64().unwrap() - ratio).abs() < 0.01, "{baseline}");
    assert!(naive["peak_rss_mib"].as_f64().unwrap() > 1.0 && baseline["rss_ratio"].is_number());
    assert_eq!((&baseline["capped"], &baseline["cap"]), (&true.into(), &Value::Null));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("messages                    3         3000        >= 1000"), "{said}");
}

#[test]
fn naive_nodes_get_the_joins_the_limits_and_the_triggers_of_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let words = ["--topology", "line", "--nodes", "4", "--triggers", "3", "--cap", "20"];
    let output = run(dir.path(), fake_naive::program(), &words);
    assert_eq!(report(&output)["baseline"]["cap"], 20);
    let baseline = dir.path().join("baseline_naive");
    let words = |node: &str| {
        let log = fs::read_to_string(baseline.join(format!("{node}.log"))).unwrap();
        log.lines().next().unwrap().replace("\", \"", " ")
    };
    let (first, second, last) = (words("node-1"), words("node-2"), words("node-4"));
    let value = |words: &str, name: &str| {
        words.split_once(name).unwrap().1.trim_start().split(' ').next().unwrap().to_owned()
    };
    assert_eq!(value(&first, "--server"), value(&second, "--listen"));
    assert!(!last.contains("--server"), "{last}");
    assert!(first.contains("--max-in-flight 498 --max-messages 24998 --lifetime 60s"), "{first}");
    assert!(first.contains("--cap 20") && !first.contains("--nodes "), "{first}");
    let asked = fs::read_to_string(baseline.join("tls/asked")).unwrap();
    // Each round is a process of its own: on a busy machine the second may write first.
    let asked: BTreeSet<Vec<&str>> =
        asked.lines().map(|line| line.split_whitespace().collect()).collect();
    let at = ["node-1", "node-2", "node-3", "node-4"].map(|node| value(&words(node), "--listen"));
    let rounds = [[0, 1, 2], [3, 0, 1]].map(|round| round.map(|node| at[node].as_str()).to_vec());
    assert_eq!(asked, rounds.into(), "in turn");
}

#[test]
fn a_baseline_that_does_not_start_fails_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dir.path(), Path::new("/bin/false"), &["--triggers", "0"]);
    let report = report(&output);
    assert_eq!((output.status.code(), &report["verdict"]), (Some(1), &"fail".into()));
    assert_eq!(report["baseline"], Value::Null);
    let failure = report["failures"][0].as_str().unwrap();
    let expected = "there is no baseline: `naive-node certs` wrote no key pair: exit code 1";
    assert_eq!(failure, expected);
}
