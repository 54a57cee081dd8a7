//! `cargo xtask package`: the crates as others would get them, each built from its own package.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::crates::{Member, members};
use crate::workspace;

/// What every package holds beside its code.
const ALWAYS: [&str; 4] = ["Cargo.toml", "LICENSE", "README.md", "src/lib.rs"];

/// Packs every published crate and, unless `no_verify`, builds each from its package. What is not committed is packed too, so
/// that it can be tried before.
pub(crate) fn run(no_verify: bool) -> Result<()> {
    let members = members()?;
    let mut command = workspace::cargo();
    let args = arguments(&members, no_verify);
    println!("$ cargo {}", args.join(" "));
    // One target directory: each package would build all its dependencies anew in one of its own.
    command.env("CARGO_TARGET_DIR", workspace::target()?);
    workspace::run(command.args(args).args(["--allow-dirty", "--quiet"]))?;
    for member in members.iter().filter(|member| member.is_published) {
        complete(&member.name)?;
    }
    Ok(())
}

fn arguments(members: &[Member], no_verify: bool) -> Vec<String> {
    let mut args = vec!["package".to_owned(), "--workspace".to_owned()];
    for member in members.iter().filter(|member| !member.is_published) {
        args.extend(["--exclude".to_owned(), member.name.clone()]);
    }
    args.extend(no_verify.then(|| "--no-verify".to_owned()));
    args
}

/// Whether a package holds what belongs to it: readme, licence, and all of `src`, the generated code with it.
fn complete(name: &str) -> Result<()> {
    let list = ["package", "--list", "--allow-dirty", "--package", name];
    let output = workspace::cargo().args(list).output().context("run cargo package --list")?;
    let packed = String::from_utf8_lossy(&output.stdout).into_owned();
    let missing: Vec<_> =
        wanted(name)?.into_iter().filter(|file| !packed.lines().any(|line| line == file)).collect();
    if !missing.is_empty() {
        bail!("the package of {name} lacks {}", missing.join(", "));
    }
    Ok(())
}

fn wanted(name: &str) -> Result<Vec<String>> {
    let folder = workspace::root().join("crates").join(name);
    let tracked = Command::new("git")
        .args(["ls-files", "src", "examples"])
        .current_dir(&folder)
        .output()
        .context("run git ls-files")?;
    let tracked = String::from_utf8_lossy(&tracked.stdout).into_owned();
    let there = |file: &&str| folder.join(Path::new(file)).exists();
    let tracked = tracked.lines().filter(there).map(str::to_owned);
    Ok(ALWAYS.into_iter().map(str::to_owned).chain(tracked).collect())
}

#[cfg(test)]
mod tests {
    use super::{arguments, wanted};
    use crate::crates::Member;

    #[test]
    fn tools_and_tests_are_left_out() {
        let member = |name: &str, is_published| Member {
            name: name.to_owned(),
            is_published,
            features: Vec::new(),
        };
        let members = [member("lib", true), member("tool", false)];
        assert_eq!(arguments(&members, false).join(" "), "package --workspace --exclude tool");
        assert!(arguments(&members, true).ends_with(&["--no-verify".to_owned()]));
    }

    #[test]
    fn generated_code_belongs_to_a_package() {
        let wanted = wanted("unring-peer-addr").unwrap();
        assert!(wanted.iter().any(|file| file.starts_with("src/generated/")), "{wanted:?}");
    }
}
