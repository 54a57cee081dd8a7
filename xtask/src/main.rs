//! Automation of this workspace. `cargo xtask --help` lists the tasks.

#![expect(clippy::print_stdout, reason = "a task speaks to whoever runs it")]

mod apt;
mod bench;
mod check_crate;
mod ci;
mod codegen;
mod crates;
mod dev_cluster;
mod e2e;
mod fuzz;
mod package;
mod tidy;
mod workspace;

use std::ffi::OsString;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Automation of this workspace")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Measure unring beside what it is compared with.
    #[command(disable_help_flag = true)]
    Bench {
        /// Passed on; --help lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Build each crate alone, with its own features only.
    CheckCrate {
        /// The crate.
        name: Option<String>,
        /// Every crate that is published.
        #[arg(long)]
        each: bool,
    },
    /// Everything that a change must pass.
    Ci {
        /// Only these: test, fmt, clippy, codegen, crates, package, doc, deny, sim, cluster, e2e, fuzz, bench.
        steps: Vec<String>,
    },
    /// Write the Rust code generated from proto/.
    Codegen {
        /// Write nothing; fail when the committed code is stale.
        #[arg(long)]
        check: bool,
    },
    /// Start real nodes on loopback, joined in a topology, and check that the laws hold.
    #[command(disable_help_flag = true)]
    DevCluster {
        /// Passed on; --help lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Let programs that are not ours talk to a real cluster.
    E2e,
    /// Feed what reads the bytes of others with bytes that reach ever more of its code.
    Fuzz(fuzz::FuzzArgs),
    /// Pack the crates as others would get them, and build each from its package.
    Package {
        /// Only pack.
        #[arg(long)]
        no_verify: bool,
    },
    /// Rules about the files themselves, which no compiler checks. A test runs it too.
    Tidy,
}

fn main() -> Result<()> {
    match Args::parse().task {
        Task::Bench { args } => bench::run(&args),
        Task::CheckCrate { name, each } => check_crate::run(name.as_deref(), each),
        Task::Ci { steps } => ci::run(&steps),
        Task::Codegen { check } => codegen::run(check),
        Task::DevCluster { args } => dev_cluster::run(&args),
        Task::E2e => e2e::run(),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Package { no_verify } => package::run(no_verify),
        Task::Tidy => tidy::run(),
    }
}
