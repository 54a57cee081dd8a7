//! Where the workspace is and how to run its cargo.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};

/// The workspace's root folder.
pub(crate) fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// The cargo that runs this task, in the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The target directory, whatever it is configured to be.
pub(crate) fn target() -> Result<PathBuf> {
    let exe = env::current_exe().context("find out where this program is")?;
    target_dir(&exe).context("this program is not in a target directory")
}

/// Two folders above a program that cargo built.
fn target_dir(exe: &Path) -> Option<PathBuf> {
    Some(exe.parent()?.parent()?.to_owned())
}

/// Runs `command` to its end; an error when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("run {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

/// How a program ended and what it wrote.
pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    format!("{}: {out} {err}", output.status)
}

/// Whether this is a build server (GitHub Actions and most others set it).
pub(crate) fn in_ci() -> bool {
    env::var_os("CI").is_some_and(|ci| ci == "true")
}

/// Where a program is, if it is on this machine.
pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
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
