//! `cargo xtask tidy`: rules about the files themselves, which no compiler checks.

mod manifests;
mod rust;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// Folders that are read; what tools write (`target`) is in none of them.
const FOLDERS: [&str; 9] =
    [".ci", "crates", "docs", "fuzz/fuzz_targets", "fuzz/src", "proto", "tests", "tools", "xtask"];

/// Extensions of files written by hand.
const TEXT: [&str; 7] = ["md", "mjs", "proto", "py", "rs", "sh", "toml"];

/// Fails and says where a rule is broken.
pub(crate) fn run() -> Result<()> {
    let findings = findings()?;
    if !findings.is_empty() {
        bail!("{} findings:\n{}", findings.len(), findings.join("\n"));
    }
    Ok(())
}

/// Every broken rule as `file: what`.
fn findings() -> Result<Vec<String>> {
    let root = workspace::root();
    let mut files = Vec::new();
    for folder in FOLDERS {
        collect(&root.join(folder), &mut files)?;
    }
    for entry in list(&root)?.into_iter().filter(|path| path.is_file() && is_text(path)) {
        files.push(entry);
    }
    files.sort();
    let mut findings = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let name = file.strip_prefix(&root).unwrap_or(&file).to_string_lossy().into_owned();
        findings.extend(of_file(&name, &text).into_iter().map(|what| format!("{name}: {what}")));
    }
    for member in list(&root.join("crates"))?.into_iter().filter(|path| path.is_dir()) {
        let name = member.strip_prefix(&root).unwrap_or(&member).to_string_lossy().into_owned();
        let missing = belongs_to_a_crate(&member);
        findings.extend(missing.into_iter().map(|what| format!("{name}: no {what}")));
    }
    Ok(findings)
}

/// What is wrong with one file; its name is relative to the workspace.
fn of_file(name: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.ends_with([' ', '\t']) {
            findings.push(format!("line {number} ends with white space"));
        }
    }
    if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
        findings.push("does not end with one line break".to_owned());
    }
    if name.ends_with(".rs") {
        findings.extend(rust::findings(name, text));
    } else if name.ends_with("Cargo.toml") {
        findings.extend(manifests::findings(name, text));
    }
    findings
}

/// What an importer looks for first and does not find.
fn belongs_to_a_crate(folder: &Path) -> Vec<&'static str> {
    let example = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let has_example = list(&folder.join("examples")).is_ok_and(|all| all.iter().any(example));
    let mut missing = Vec::new();
    missing.extend((!folder.join("README.md").is_file()).then_some("README.md"));
    missing.extend((!folder.join("LICENSE").is_file()).then_some("LICENSE"));
    missing.extend((!has_example).then_some("example"));
    missing
}

/// Every text file below a folder, those left out that a tool writes.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for path in list(folder)? {
        if path.is_dir() {
            if !path.ends_with("generated") && !path.ends_with("target") {
                collect(&path, files)?;
            }
        } else if is_text(&path) {
            files.push(path);
        }
    }
    Ok(())
}

fn is_text(path: &Path) -> bool {
    path.extension().is_some_and(|extension| TEXT.iter().any(|text| extension == *text))
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    let paths: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    paths.with_context(|| format!("list {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::{belongs_to_a_crate, of_file, run};
    use crate::workspace::root;

    #[test]
    fn the_workspace_is_tidy() {
        run().unwrap();
    }

    #[test]
    fn white_space_at_the_end_is_found() {
        assert!(of_file("a.md", "good\n").is_empty());
        assert_eq!(of_file("a.md", "one\ntwo \n"), ["line 2 ends with white space"]);
        for text in ["no break", "two breaks\n\n"] {
            assert_eq!(of_file("a.md", text), ["does not end with one line break"], "{text:?}");
        }
    }

    #[test]
    fn a_folder_without_readme_and_example_is_no_crate() {
        assert_eq!(belongs_to_a_crate(&root().join("docs")), ["README.md", "LICENSE", "example"]);
    }
}
