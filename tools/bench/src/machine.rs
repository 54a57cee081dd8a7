//! On what the numbers were taken.

use std::fs;
use std::process::Command;
use std::thread::available_parallelism;

use crate::run::root;

/// CPU, cores, memory, kernel and compiler, in a line.
pub(crate) fn machine() -> String {
    let cores = available_parallelism().map_or(0, usize::from);
    let memory = field("/proc/meminfo", "MemTotal").and_then(|kib| {
        let kib: f64 = kib.split_whitespace().next()?.parse().ok()?;
        Some(format!("{:.0} GiB", kib / f64::from(1 << 20)))
    });
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
    let rustc = said("rustc", &["--version"])
        .and_then(|version| Some(format!("rustc {}", version.split_whitespace().nth(1)?)));
    [
        field("/proc/cpuinfo", "model name"),
        Some(format!("{cores} {}", if cores == 1 { "core" } else { "cores" })),
        memory,
        kernel.map(|release| format!("Linux {}", release.trim())),
        rustc,
    ]
    .into_iter()
    .map(|part| part.unwrap_or_else(|| "unknown".to_owned()))
    .collect::<Vec<_>>()
    .join(", ")
}

/// The commit that is checked out, with `-dirty` when the sources are not the committed ones. What the benches write
/// themselves is no source.
pub(crate) fn commit() -> String {
    let Some(commit) = said("git", &["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let sources = ["status", "--porcelain", "--", ".", ":!docs/bench", ":!docs/performance.md"];
    match said("git", &sources) {
        Some(changed) if changed.is_empty() => commit,
        _ => format!("{commit}-dirty"),
    }
}

/// What a program says, if it ends well.
fn said(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).current_dir(root()).output().ok()?;
    let text = output.status.success().then_some(output.stdout)?;
    Some(String::from_utf8_lossy(&text).trim().to_owned())
}

/// The first line `name: value` of a file under `/proc`.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let (_, value) = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(field, _)| field.trim() == name)?;
    Some(value.trim().to_owned())
}
