//! `unring-bench`: what `cargo xtask bench` runs.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use unring_bench::Args;

/// Counts every allocation of the process, for [`unring_bench::alloc`].
#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

fn main() -> Result<ExitCode> {
    Args::parse().run()
}
