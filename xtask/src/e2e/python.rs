//! grpcio, which makes its messages of what the node's reflection tells, so that no code of ours is between.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::{dir, json, said};
use crate::{apt, workspace};

const PACKAGES: [&str; 3] = ["grpcio", "grpcio-reflection", "protobuf"];

/// The package of Debian and its kin that has pip, and Python with it.
const PIP: &str = "python3-pip";

/// A ring, and beside it a node that joins it and serves in plaintext: grpcio cannot be told not to ask a certificate for a host's
/// name, which those of nodes have not.
const TOPOLOGY: &str = r#"
[[node]]
name = "a"
upstreams = ["b"]
[[node]]
name = "b"
upstreams = ["c"]
[[node]]
name = "c"
upstreams = ["a"]
[[node]]
name = "plain"
upstreams = ["a"]
config.listen.grpc_plaintext = true
"#;
const NODES: usize = 4;

/// Longer than the check takes with its wait for a heartbeat of 15 s.
const RUNS_FOR: &str = "40s";

/// Nodes are built first, from nothing if need be.
const READY_WITHIN: Duration = Duration::from_secs(20 * 60);

/// Runs the check, or says why it cannot.
pub(super) fn run() -> Result<Result<String, String>> {
    let packages = dir().join("python");
    if let Err(why) = install(&packages)? {
        ensure!(!workspace::in_ci(), "{why}");
        return Ok(Err(why));
    }
    let folder = dir().join("plaintext");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let topology = dir().join("plaintext.toml");
    fs::write(&topology, TOPOLOGY).with_context(|| format!("write {}", topology.display()))?;
    let endpoints = folder.join("cluster.json");
    // That of an earlier run would be taken for this one's.
    drop(fs::remove_file(&endpoints));
    let mut cluster = Command::new(std::env::current_exe().context("find this program")?);
    cluster.args(["dev-cluster", "--for", RUNS_FOR, "--topology"]).arg(&topology);
    cluster.arg("--dir").arg(&folder).stdin(Stdio::null());
    let mut cluster = cluster.spawn().context("start a cluster")?;
    let checked = address(&endpoints, &mut || Ok(cluster.try_wait()?.is_some()))
        .and_then(|address| check(&packages, &address));
    // It ends by itself; to kill it would leave it to others to end its nodes.
    let ended = cluster.wait().context("wait for the cluster")?;
    let worked = checked?;
    ensure!(ended.success(), "the cluster ended with {ended}");
    Ok(Ok(worked))
}

/// Fetches the packages, unless they are there.
fn install(packages: &Path) -> Result<Result<(), String>> {
    let python = |args: &[&str]| {
        let mut python = Command::new("python3");
        python.args(args).env("PYTHONPATH", packages).stdin(Stdio::null());
        python.output()
    };
    match python(&["-c", "import grpc, grpc_reflection.v1alpha, google.protobuf"]) {
        Ok(output) if output.status.success() => return Ok(Ok(())),
        Ok(_) | Err(_) => {}
    }
    if let Err(why) = pip()? {
        return Ok(Err(why));
    }
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    pip.args(["--upgrade", "--target"]).arg(packages).args(PACKAGES).stdin(Stdio::null());
    let output = pip.output().context("run pip")?;
    match output.status.success() {
        true => Ok(Ok(())),
        false => Ok(Err(format!("pip brought no grpcio: {}", said(&output)))),
    }
}

/// Python and its pip, installed if they are not there; in their place, why they cannot be had.
pub(super) fn pip() -> Result<Result<(), String>> {
    let has_pip = || {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "--version"]).stdin(Stdio::null());
        pip.output().is_ok_and(|output| output.status.success())
    };
    if has_pip() {
        return Ok(Ok(()));
    }
    let installed = apt::install(PIP)?;
    Ok(match installed {
        Ok(_) if has_pip() => Ok(()),
        Ok(output) => Err(format!("apt-get brought no pip with {PIP}: {}", said(&output))),
        Err(why) => Err(format!("there is no python3 with pip, and {why} ({PIP})")),
    })
}

/// Where the node in plaintext is, once all are ready.
fn address(endpoints: &Path, has_ended: &mut dyn FnMut() -> Result<bool>) -> Result<String> {
    let started = Instant::now();
    loop {
        // It is written in one step.
        if let Ok(text) = fs::read_to_string(endpoints) {
            let url = json(&text)?["plain"]["grpc"].as_str().map(str::to_owned);
            let url = url.with_context(|| format!("no node \"plain\" in {text}"))?;
            let address = url.strip_prefix("http://");
            return address.map(str::to_owned).with_context(|| format!("{url} has TLS"));
        }
        if has_ended()? || started.elapsed() > READY_WITHIN {
            bail!("the cluster was never ready");
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn check(packages: &Path, address: &str) -> Result<String> {
    let script: PathBuf = workspace::root().join("tests/interop/python/client.py");
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages).arg(script).args([address, &NODES.to_string()]);
    let output = python.stdin(Stdio::null()).output().context("run python3")?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
