//! `cargo xtask dev-cluster`: builds the node, then becomes the `dev-cluster` tool.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::workspace;

/// The profile of the nodes; its output folder has the same name.
const PROFILE: &str = "cluster";

pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let exe = env::current_exe().context("find out where this program is")?;
    let unring = target_dir(&exe)
        .context("this program is not in a target directory")?
        .join(PROFILE)
        .join("unring");
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

/// The target directory, whatever it is configured to be: two folders above a program that cargo built.
fn target_dir(exe: &Path) -> Option<PathBuf> {
    Some(exe.parent()?.parent()?.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::target_dir;

    #[test]
    fn the_target_directory_is_where_cargo_put_this_program() {
        assert_eq!(
            target_dir(Path::new("/w/target/debug/xtask")).as_deref(),
            Some(Path::new("/w/target"))
        );
        assert_eq!(target_dir(Path::new("/")), None);
    }
}
