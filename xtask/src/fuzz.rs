//! `cargo xtask fuzz`: builds the targets of `fuzz/` and runs them, some at once.
//!
//! The folder is laid out as cargo-fuzz has it, and `cargo fuzz run TARGET --sanitizer none` works there. It is not used here: all that
//! it adds to a build is the flags below, and they need no nightly compiler. Without the address sanitizer, which does: our crates have
//! no unsafe code, and a target runs twice as often without it.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::{apt, workspace};

/// Instruments every edge between blocks and every comparison, as cargo-fuzz does.
const RUSTFLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0";

/// Bytes of an input: a little more than the longest record that is accepted.
const MAX_LEN: usize = 20_000;

/// MiB that a target may take, fuzzer included.
const MAX_RSS: usize = 1024;

/// Seconds for one input, on a machine that does other things too.
const TIMEOUT: usize = 30;

/// Edges that even the seeds of the smallest target reach. Below it the build is not instrumented.
const MIN_EDGES: usize = 100;

/// What to run, and for how long.
#[derive(Debug, Args)]
pub(crate) struct FuzzArgs {
    /// Only these; all without.
    targets: Vec<String>,
    /// Seconds for each.
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
    /// How many at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

pub(crate) fn run(args: &FuzzArgs) -> Result<()> {
    let known = targets()?;
    if let Some(unknown) = args.targets.iter().find(|target| !known.contains(target)) {
        bail!("there is no target {unknown:?}; there are {}", known.join(", "));
    }
    // libFuzzer is C++.
    if let Err(why) = apt::program("c++", "g++")? {
        println!("SKIPPED fuzz: {why}");
        return Ok(());
    }
    let wanted = if args.targets.is_empty() { known } else { args.targets.clone() };
    let programs = build()?;
    let queue = Mutex::new(VecDeque::from(wanted));
    let failed = Mutex::new(Vec::new());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            scope.spawn(|| {
                while let Some(target) = next() {
                    match fuzz(&programs, &target, args.seconds) {
                        Ok(summary) => println!("{target}: {summary}"),
                        Err(error) => {
                            println!("{target}: FAILED: {error:#}");
                            failed.lock().unwrap_or_else(PoisonError::into_inner).push(target);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(failed.is_empty(), "these found something: {}", failed.join(", "));
    Ok(())
}

fn folder() -> PathBuf {
    workspace::root().join("fuzz")
}

/// The names of the targets, from their files.
fn targets() -> Result<Vec<String>> {
    let folder = folder().join("fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Builds all targets and says where they are.
fn build() -> Result<PathBuf> {
    let target = workspace::target()?.join("fuzz");
    let host = host()?;
    let mut build = workspace::cargo();
    build.current_dir(folder()).env("RUSTFLAGS", RUSTFLAGS);
    // With a target, build scripts and macros are not instrumented.
    build.args(["build", "--quiet", "--release", "--locked", "--target", &host, "--target-dir"]);
    workspace::run(build.arg(&target))?;
    Ok(target.join(host).join("release"))
}

/// What this compiler builds for.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("run rustc")?;
    let text = String::from_utf8(output.stdout).context("rustc writes UTF-8")?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc says no host")
}

/// Runs one target; what it found new is kept in `fuzz/corpus`, what it fails with in `fuzz/artifacts`.
fn fuzz(programs: &Path, target: &str, seconds: u64) -> Result<String> {
    let [corpus, artifacts] = ["corpus", "artifacts"].map(|name| folder().join(name).join(target));
    for made in [&corpus, &artifacts] {
        fs::create_dir_all(made).with_context(|| format!("create {}", made.display()))?;
    }
    let mut command = Command::new(programs.join(target));
    command.current_dir(folder()).stdin(Stdio::null());
    command.arg(&corpus).arg(folder().join("seeds").join(target)).args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={MAX_LEN}"),
        format!("-rss_limit_mb={MAX_RSS}"),
        format!("-timeout={TIMEOUT}"),
        format!("-artifact_prefix={}/", artifacts.display()),
    ]);
    let output = command.output().with_context(|| format!("run {target}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    let tail = || log.lines().rev().take(40).collect::<Vec<_>>();
    if !output.status.success() {
        let tail: Vec<_> = tail().into_iter().rev().collect();
        bail!("{} after\n{}", output.status, tail.join("\n"));
    }
    let last = log.lines().rev().find(|line| line.contains("\tDONE "));
    let last = last.context("the fuzzer did not say that it is done")?;
    let edges = number_after(last, "cov: ").context("the fuzzer did not say what it covered")?;
    ensure!(edges >= MIN_EDGES, "only {edges} edges: is it instrumented, and are there seeds?");
    let runs = last.trim_start_matches('#').split_whitespace().next().unwrap_or_default();
    Ok(format!("{runs} inputs in {seconds} s, {edges} edges, nothing found"))
}

fn number_after(line: &str, word: &str) -> Option<usize> {
    let (_, rest) = line.split_once(word)?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{folder, number_after, targets};

    #[test]
    fn each_target_has_seeds_and_a_line_in_the_manifest() {
        let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
        for target in targets().unwrap() {
            let seeds = fs::read_dir(folder().join("seeds").join(&target)).unwrap();
            assert!(seeds.count() >= 3, "{target}");
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target}");
        }
    }

    #[test]
    fn what_was_covered_is_read_from_the_last_line() {
        let line = "#2097152\tDONE   cov: 412 ft: 990 corp: 61/1234b lim: 4096 exec/s: 34952";
        assert_eq!(number_after(line, "cov: "), Some(412));
        assert_eq!(number_after("INFO: 0", "cov: "), None);
    }
}
