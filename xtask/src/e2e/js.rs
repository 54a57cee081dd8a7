//! js-libp2p as a member of the same DHT, and as the judge of our signed records.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::{dir, said};
use crate::workspace;

/// The oldest Node.js that it is tried with; it needs a newer one, but for one function that the check brings.
const OLDEST_NODE: u32 = 20;

/// The programs that the check drives, examples of crates.
const PROGRAMS: [&str; 2] = ["dht_member", "envelope"];

/// Runs the check, or says why it cannot.
pub(super) fn run() -> Result<Result<String, String>> {
    if let Err(why) = node() {
        return Ok(Err(why));
    }
    let folder = dir().join("js");
    if let Err(why) = install(&folder)? {
        ensure!(!workspace::in_ci(), "{why}");
        return Ok(Err(why));
    }
    let mut build = workspace::cargo();
    // With the features that the tests of the workspace have, so that these programs are there after `cargo test`.
    build.args(["build", "--quiet", "--workspace"]);
    workspace::run(build.args(PROGRAMS.iter().flat_map(|program| ["--example", program])))?;
    let examples = workspace::target()?.join("debug/examples");
    let mut check = Command::new("node");
    check.current_dir(&folder).arg("check.mjs").stdin(Stdio::null());
    let output = check.args(PROGRAMS.map(|program| examples.join(program))).output();
    let output = output.context("run node")?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()))
}

/// Whether there is a Node.js that is new enough, and npm.
fn node() -> Result<(), String> {
    let version = |program: &str| {
        let output = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("no {program}: {error}"))?;
        Ok::<_, String>(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let (node, _) = (version("node")?, version("npm")?);
    let major = node.trim_start_matches('v').split('.').next().and_then(|text| text.parse().ok());
    match major {
        Some(OLDEST_NODE..) => Ok(()),
        _ => Err(format!("node is {node:?}, at least {OLDEST_NODE} is needed")),
    }
}

/// Copies the check to `folder` and fetches what its lock file names, unless that is there.
fn install(folder: &Path) -> Result<Result<(), String>> {
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let from = workspace::root().join("tests/interop/js");
    let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    let lock = read(&from.join("package-lock.json"))?;
    let installed = folder.join("installed-lock.json");
    for name in ["package.json", "package-lock.json", "check.mjs"] {
        let to = folder.join(name);
        fs::copy(from.join(name), &to).with_context(|| format!("write {}", to.display()))?;
    }
    if fs::read(&installed).is_ok_and(|installed| installed == lock) {
        return Ok(Ok(()));
    }
    let mut npm = Command::new("npm");
    npm.current_dir(folder).args(["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]);
    let output = npm.stdin(Stdio::null()).output().context("run npm")?;
    if !output.status.success() {
        return Ok(Err(format!("npm brought no js-libp2p: {}", said(&output))));
    }
    fs::write(&installed, lock).with_context(|| format!("write {}", installed.display()))?;
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::workspace;

    #[test]
    fn the_lock_file_names_no_registry() {
        let lock = workspace::root().join("tests/interop/js/package-lock.json");
        let lock = fs::read_to_string(lock).unwrap();
        assert!(lock.contains("\"integrity\""));
        assert!(!lock.contains("\"resolved\"") && !lock.contains("registry"));
    }
}
