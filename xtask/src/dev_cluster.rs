//! `cargo xtask dev-cluster`: builds the node, and what it is compared with, then becomes the `dev-cluster` tool.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result};

use crate::workspace;

/// The profile of the nodes; its output folder has the same name.
const PROFILE: &str = "cluster";

pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let programs = workspace::target()?.join(PROFILE);
    let help = args.iter().any(|arg| arg == "--help" || arg == "-h");
    let baseline = has_baseline(args);
    if !help {
        build("unring-node", "unring")?;
    }
    if baseline && !help {
        build("naive-node", "naive-node")?;
    }
    let mut tool = workspace::cargo();
    // Paths on the command line are relative to where the caller stands, not to the workspace.
    tool.current_dir(env::current_dir().context("find the current directory")?);
    tool.args(["run", "--quiet", "--package", "dev-cluster", "--manifest-path"]);
    tool.arg(workspace::root().join("Cargo.toml")).arg("--");
    tool.arg("--unring").arg(programs.join("unring"));
    if baseline {
        tool.arg("--naive-node").arg(programs.join("naive-node"));
    }
    tool.args(args);
    // This process becomes cargo, and cargo becomes the tool: a signal to this process id reaches it, Ctrl-C meets
    // nobody on the way, and its exit code is ours.
    Err(tool.exec()).context("run cargo")
}

fn build(package: &str, program: &str) -> Result<()> {
    let build = ["build", "--profile", PROFILE, "--package", package, "--bin", program];
    workspace::run(workspace::cargo().args(build))
}

/// Whether nodes without loop protection are wanted.
fn has_baseline(args: &[OsString]) -> bool {
    let baseline =
        |arg: &OsString| arg.to_str()?.split('=').next().map(|name| name == "--baseline");
    args.iter().any(|arg| baseline(arg) == Some(true))
}

#[cfg(test)]
mod tests {
    use super::has_baseline;

    #[test]
    fn a_baseline_is_seen_however_it_is_written() {
        let args = |words: &[&str]| has_baseline(&words.iter().map(Into::into).collect::<Vec<_>>());
        assert!(args(&["--for", "1s", "--baseline", "naive"]) && args(&["--baseline=naive"]));
        assert!(!args(&["--topology", "baseline.toml"]));
    }
}
