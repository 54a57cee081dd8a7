//! `cargo xtask codegen [--check]`: the Rust code of `proto/`, committed so that a build needs no generator.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

const GENERATED: [&str; 2] =
    ["crates/unring-peer/src/generated", "crates/unring-peer-addr/src/generated"];

pub(crate) fn run(check: bool) -> Result<()> {
    let root = workspace::root();
    if !check {
        return generate(&root);
    }
    let fresh = tempfile::tempdir().context("create a folder to generate into")?;
    generate(fresh.path())?;
    for dir in GENERATED {
        if read(&root.join(dir))? != read(&fresh.path().join(dir))? {
            bail!("{dir} is stale: run `cargo xtask codegen` and commit what it writes");
        }
    }
    Ok(())
}

fn generate(out: &Path) -> Result<()> {
    workspace::run(
        workspace::cargo().args(["run", "--quiet", "--package", "proto-gen", "--"]).arg(out),
    )
}

fn read(dir: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry?.path();
        let name = path.file_name().map(PathBuf::from).context("a file has a name")?;
        files.insert(name, fs::read(&path).with_context(|| format!("read {}", path.display()))?);
    }
    Ok(files)
}
