//! `cargo xtask dev-cluster`: builds the node, then becomes the `dev-cluster` tool.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result};

use crate::workspace;

/// The profile of the nodes; its output folder has the same name.
const PROFILE: &str = "cluster";

pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let unring = workspace::target()?.join(PROFILE).join("unring");
    let help = args.iter().any(|arg| arg == "--help" || arg == "-h");
    if !help {
        let node = ["build", "--profile", PROFILE, "--package", "unring-node", "--bin", "unring"];
        workspace::run(workspace::cargo().args(node))?;
    }
    let mut tool = workspace::cargo();
    // Paths on the command line are relative to where the caller stands, not to the workspace.
    tool.current_dir(env::current_dir().context("find the current directory")?);
    tool.args(["run", "--quiet", "--package", "dev-cluster", "--manifest-path"]);
    tool.arg(workspace::root().join("Cargo.toml")).arg("--").arg("--unring").arg(unring).args(args);
    // This process becomes cargo, and cargo becomes the tool: a signal to this process id reaches it, Ctrl-C meets
    // nobody on the way, and its exit code is ours.
    Err(tool.exec()).context("run cargo")
}
