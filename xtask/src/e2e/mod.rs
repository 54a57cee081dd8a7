//! `cargo xtask e2e`: programs that are not ours talk to ours. One file for each; those that need a cluster talk to the same
//! one, one after the other.

mod grpcurl;
mod js;
mod kubectl;
mod python;

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::workspace::{self, said};

/// How long the cluster runs: longer than every call together, and than the 10 s in which a ring is announced at the
/// latest.
const RUNS_FOR: &str = "25s";

/// The printed line comes after the nodes were built, from nothing if need be.
const PRINTED_WITHIN: Duration = Duration::from_secs(20 * 60);

/// A program that is not ours.
struct Client {
    name: &'static str,
    /// Finds or fetches it, before the cluster starts. In place of a check, why it cannot be had here.
    prepare: fn() -> Result<Result<Check, String>>,
}

/// Talks to the cluster; returns what worked, for people.
type Check = Box<dyn FnOnce(&Cluster) -> Result<String>>;

const CLIENTS: [Client; 2] = [
    Client { name: "grpcurl", prepare: grpcurl::prepare },
    Client { name: "kubectl", prepare: kubectl::prepare },
];

/// A program that is not ours and a test with it that starts what it needs. In place of what worked, why it cannot be had here.
type Alone = (&'static str, fn() -> Result<Result<String, String>>);

const ALONE: [Alone; 2] = [("js-libp2p", js::run), ("grpcio", python::run)];

/// A ring of three nodes that runs.
struct Cluster {
    /// The line with which the cluster says how to talk to it: grpcurl with its options, an address and `GetTopology`.
    line: String,
}

impl Cluster {
    /// What `cluster.json` says of the nodes.
    fn nodes(&self) -> Result<Value> {
        let file = dir().join("cluster/cluster.json");
        json(&fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?)
    }
}

pub(crate) fn run() -> Result<()> {
    for (name, test) in ALONE {
        match test().with_context(|| name.to_owned())? {
            Ok(worked) => println!("{name}: {worked}"),
            Err(why) => println!("SKIPPED e2e with {name}: {why}"),
        }
    }
    with_cluster()
}

fn with_cluster() -> Result<()> {
    let mut checks = Vec::new();
    for Client { name, prepare } in CLIENTS {
        match prepare().with_context(|| format!("get {name}"))? {
            Ok(check) => checks.push((name, check)),
            Err(why) => println!("SKIPPED e2e with {name}: {why}"),
        }
    }
    if checks.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(dir()).context("create target/e2e")?;
    let mut cluster = Command::new(env::current_exe().context("find this program")?);
    cluster.args(["dev-cluster", "--for", RUNS_FOR, "--dir"]).arg(dir().join("cluster"));
    let mut cluster =
        cluster.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("start a cluster")?;
    let printed = cluster.stdout.take().context("the cluster's output is not piped")?;
    let (lines, line) = mpsc::channel();
    let reader = thread::spawn(move || {
        for line in BufReader::new(printed).lines().map_while(Result::ok) {
            println!("  | {line}");
            if line.trim_start().starts_with("grpcurl ") {
                // Whoever gave up waiting needs it no more.
                let _ = lines.send(line.trim().to_owned());
            }
        }
    });
    let checked = line
        .recv_timeout(PRINTED_WITHIN)
        .context("the cluster printed no line that begins with grpcurl")
        .and_then(|line| check(checks, &Cluster { line }));
    // It ends by itself; to kill it would leave it to others to end its nodes.
    let ended = cluster.wait().context("wait for the cluster")?;
    drop(reader.join());
    let worked = checked?;
    ensure!(ended.success(), "the cluster ended with {ended}");
    println!("{worked}");
    Ok(())
}

fn check(checks: Vec<(&str, Check)>, cluster: &Cluster) -> Result<String> {
    let mut worked = Vec::new();
    for (name, check) in checks {
        worked.push(format!("{name}: {}", check(cluster).context(name.to_owned())?));
    }
    Ok(worked.join("\n"))
}

/// Where what belongs to these tests is kept.
fn dir() -> PathBuf {
    workspace::root().join("target/e2e")
}

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| format!("not JSON: {text}"))
}
