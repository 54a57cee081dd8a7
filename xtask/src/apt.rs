//! Programs of the system that tests use, installed where that can be done without asking: by apt-get, as root.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::workspace::{self, said};

/// Where `program` is; if it is nowhere, apt-get brings it with `package`, that of Debian and its kin. In its place, why it cannot be
/// had here. It is an error where CI runs and apt-get brings it not.
pub(crate) fn program(program: &str, package: &str) -> Result<Result<PathBuf, String>> {
    let find = || workspace::in_path(program);
    let installed = match find() {
        Some(found) => return Ok(Ok(found)),
        None => install(package)?,
    };
    match (installed, find()) {
        (Ok(_), Some(found)) => Ok(Ok(found)),
        (Ok(output), None) => {
            let why = format!("apt-get brought no {program} with {package}: {}", said(&output));
            ensure!(!workspace::in_ci(), "{why}");
            Ok(Err(why))
        }
        (Err(why), _) => Ok(Err(format!("there is no {program}, and {why} ({package})"))),
    }
}

/// Installs `package`; in place of what apt-get said, why it was not asked.
pub(crate) fn install(package: &str) -> Result<Result<Output, String>> {
    if !is_root() {
        return Ok(Err("only root can install it".to_owned()));
    }
    if workspace::in_path("apt-get").is_none() {
        return Ok(Err("no apt-get to install it with".to_owned()));
    }
    let apt = |args: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(["--quiet", "--assume-yes"]).args(args).stdin(Stdio::null());
        apt.env("DEBIAN_FRONTEND", "noninteractive").output().context("run apt-get")
    };
    let install = ["install", "--no-install-recommends", package];
    let mut installed = apt(&install)?;
    if !installed.status.success() {
        // Lists of packages that are old, or none yet.
        apt(&["update"])?;
        installed = apt(&install)?;
    }
    Ok(Ok(installed))
}

/// Whether this is root.
pub(crate) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").stdin(Stdio::null()).output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use super::program;

    #[test]
    fn what_is_there_is_found_and_nothing_is_installed_for_it() {
        assert!(program("sh", "no-such-package").unwrap().unwrap().is_file());
    }
}
