//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use crate::benches::{BENCHES, Bench};
use crate::run::Run;
use crate::{Report, page};

/// Measures unring beside what it is compared with.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", after_help = after_help())]
pub struct Args {
    /// Only these benches; without a name all. Their rows of the table in docs/performance.md are written.
    names: Vec<String>,
    /// A run of seconds that shows that the benches still work; nothing in docs/ is written, and missed targets are no
    /// failure.
    #[arg(long)]
    quick: bool,
    /// The program of the node, for benches that start real ones.
    #[arg(long, value_name = "PROGRAM", hide = true)]
    unring: Option<PathBuf>,
}

fn after_help() -> String {
    let line = |bench: &Bench| format!("\n  {:<10} {}", bench.name, bench.about);
    format!("Benches:{}", BENCHES.iter().map(line).collect::<String>())
}

impl Args {
    /// Runs the benches. The exit code is 1 when one failed, or when one missed a target and the run is not quick.
    ///
    /// # Errors
    /// When a name is unknown or the table cannot be written.
    pub fn run(self) -> Result<ExitCode> {
        for name in &self.names {
            let known = BENCHES.iter().map(|bench| bench.name);
            ensure!(
                known.clone().any(|known| known == name),
                "there is no bench {name:?}; there are {}",
                known.collect::<Vec<_>>().join(", ")
            );
        }
        let program = std::env::current_exe().context("find this program")?;
        let run = Run {
            quick: self.quick,
            unring: self.unring,
            programs: program.parent().context("a program is in a folder")?.to_owned(),
        };
        let wanted = |bench: &&Bench| {
            self.names.is_empty() || self.names.iter().any(|name| name == bench.name)
        };
        let mut reports = Vec::new();
        let mut failed = 0;
        for bench in BENCHES.iter().filter(wanted) {
            println!("\n=== {}: {}", bench.name, bench.about);
            match measure(bench, &run) {
                Ok(report) => reports.push(report),
                Err(error) => {
                    println!("FAILED  {}: {error:#}", bench.name);
                    failed += 1;
                }
            }
        }
        let missed = reports.iter().flat_map(|report| &report.targets).filter(|target| !target.ok);
        let missed = missed.count();
        println!(
            "\n{} benches ran, {failed} failed, {missed} targets missed",
            reports.len() + failed
        );
        if !run.quick {
            let benches: Vec<_> = BENCHES.iter().map(|bench| bench.name).collect();
            page::write(&reports, &benches)?;
        }
        let ok = failed == 0 && (missed == 0 || run.quick);
        Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn measure(bench: &Bench, run: &Run) -> Result<Report> {
    let report = (bench.run)(run)?;
    report.write()?;
    Ok(report)
}
