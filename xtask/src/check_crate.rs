//! `cargo xtask check-crate`: each crate builds alone, with no more features than it asks for itself.
//!
//! In a build of the workspace a dependency has the features that any member asks for, so that a crate can forget one and
//! not notice until somebody else imports it.

use anyhow::{Context as _, Result, bail};

use crate::crates::{Member, members};
use crate::workspace;

/// Checks the crate of this name, or with `each` every published one and then says which failed.
pub(crate) fn run(name: Option<&str>, each: bool) -> Result<()> {
    let members = members()?;
    let chosen: Vec<&Member> = match (name, each) {
        (Some(name), false) => {
            let found = members.iter().find(|member| member.name == name);
            vec![found.with_context(|| format!("there is no crate {name:?}"))?]
        }
        (None, true) => members.iter().filter(|member| member.is_published).collect(),
        _ => bail!("name one crate, or say --each"),
    };
    let mut failed = Vec::new();
    for member in chosen {
        for args in checks(member) {
            println!("$ cargo {}", args.join(" "));
            if let Err(error) = workspace::run(workspace::cargo().args(&args)) {
                println!("{error:#}");
                failed.push(args.join(" "));
            }
        }
    }
    if !failed.is_empty() {
        bail!("these failed:\n  cargo {}", failed.join("\n  cargo "));
    }
    Ok(())
}

/// The library and the programs without the features of test code, bare and with each optional feature; then with it, tests and
/// examples too.
fn checks(member: &Member) -> Vec<Vec<String>> {
    let check = |more: &[&str]| {
        let args = ["check", "--quiet", "--package", &member.name];
        args.iter().chain(more).map(|arg| (*arg).to_owned()).collect::<Vec<_>>()
    };
    let mut checks = vec![check(&["--no-default-features"])];
    for feature in &member.features {
        checks.push(check(&["--no-default-features", "--features", feature]));
    }
    checks.push(check(&["--all-features", "--all-targets"]));
    checks
}

#[cfg(test)]
mod tests {
    use super::{checks, run};
    use crate::crates::Member;

    #[test]
    fn each_feature_is_checked_by_itself() {
        let (name, features) = ("x".to_owned(), vec!["a".to_owned(), "b".to_owned()]);
        let checks = checks(&Member { name, is_published: true, features });
        let checks: Vec<_> = checks.iter().map(|args| args[2..].join(" ")).collect();
        let want = [
            "--package x --no-default-features",
            "--package x --no-default-features --features a",
            "--package x --no-default-features --features b",
            "--package x --all-features --all-targets",
        ];
        assert_eq!(checks, want);
    }

    #[test]
    fn one_crate_is_named_or_each_is_asked_for() {
        for (name, each) in [(None, false), (Some("xtask"), true), (Some("no-such-crate"), false)] {
            assert!(run(name, each).is_err());
        }
    }
}
