//! `cargo xtask bench`: builds the benches and the node, then becomes `unring-bench`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{dev_cluster, workspace};

/// Numbers to publish are taken with what users get. Its output folder has the same name.
const FULL: &str = "release";

/// A quick run finds most of what it needs already built for `dev-cluster`.
const QUICK: &str = "cluster";

pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let quick = args.iter().any(|arg| arg == "--quick");
    let profile = if quick { QUICK } else { FULL };
    let programs = workspace::target()?.join(profile);
    let programs_of =
        [("unring-node", "unring"), ("naive-node", "naive-node"), ("unring-bench", "unring-bench")];
    for (package, program) in programs_of {
        let help = args.iter().any(|arg| arg == "--help" || arg == "-h");
        if help && package != "unring-bench" {
            continue;
        }
        if quick {
            dev_cluster::build(profile, program)?;
            continue;
        }
        // One after the other and alone: together they would be built with the features of all.
        let build =
            ["build", "--quiet", "--profile", profile, "--package", package, "--bin", program];
        workspace::run(workspace::cargo().args(build))?;
    }
    let mut bench = Command::new(programs.join("unring-bench"));
    bench.arg("--unring").arg(programs.join("unring")).args(args);
    // So that a signal to this process id reaches it, and its exit code is ours.
    Err(bench.exec()).with_context(|| format!("run {:?}", bench.get_program()))
}
