//! `cargo xtask dev-cluster`: builds the node, and what it is compared with, then becomes the `dev-cluster` tool.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// The profile of the nodes; its output folder has the same name.
const PROFILE: &str = "cluster";

pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let naive = needs_naive_node(args);
    let help = args.iter().any(|arg| arg == "--help" || arg == "-h");
    let tool = if help { for_help()? } else { built(naive)? };
    let [program, rest @ ..] = tool.as_slice() else { bail!("there is no tool") };
    // This process becomes the tool: a signal to this process id reaches it, Ctrl-C meets nobody on the way, and its exit code is ours.
    Err(Command::new(program).args(rest).args(args).exec()).context("run dev-cluster")
}

/// Builds the tool and what it starts; the words that start it.
pub(crate) fn built(naive: bool) -> Result<Vec<OsString>> {
    build(PROFILE, "unring")?;
    if naive {
        build(PROFILE, "naive-node")?;
    }
    build("dev", "dev-cluster")?;
    tool(naive)
}

/// The tool alone, which says how it is used.
fn for_help() -> Result<Vec<OsString>> {
    build("dev", "dev-cluster")?;
    tool(false)
}

fn tool(naive: bool) -> Result<Vec<OsString>> {
    let target = workspace::target()?;
    let programs = target.join(PROFILE);
    let mut words: Vec<OsString> = vec![target.join("debug/dev-cluster").into()];
    words.extend(["--unring".into(), programs.join("unring").into()]);
    if naive {
        words.extend(["--naive-node".into(), programs.join("naive-node").into()]);
    }
    Ok(words)
}

/// Builds a program with the features that the whole workspace asks of its dependencies: then most of them are built once for
/// all programs of the profile, and not for each of them anew.
pub(crate) fn build(profile: &str, program: &str) -> Result<()> {
    let build = ["build", "--profile", profile, "--workspace", "--bin", program];
    workspace::run(workspace::cargo().args(build))
}

/// Whether nodes without loop protection are wanted, to compare with or among the others.
fn needs_naive_node(args: &[OsString]) -> bool {
    let names = |arg: &OsString| {
        let name = arg.to_str()?.split('=').next()?;
        Some(["--baseline", "--mixed"].contains(&name))
    };
    args.iter().any(|arg| names(arg) == Some(true))
}

#[cfg(test)]
mod tests {
    use super::needs_naive_node;

    #[test]
    fn naive_nodes_are_seen_however_they_are_asked_for() {
        let args =
            |words: &[&str]| needs_naive_node(&words.iter().map(Into::into).collect::<Vec<_>>());
        assert!(args(&["--for", "1s", "--baseline", "naive"]) && args(&["--baseline=naive"]));
        assert!(args(&["--mixed", "legacy=2"]));
        assert!(!args(&["--topology", "baseline.toml"]));
    }
}
