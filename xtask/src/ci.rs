//! `cargo xtask ci`: everything that a change must pass, in the order in which it is told soonest that it does not.

mod clusters;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// The version whose verdict counts; the lists of `deny.toml` are read alike by all.
const CARGO_DENY: &str = "0.20.2";

/// What is done, and how.
struct Step {
    name: &'static str,
    run: fn() -> Result<()>,
}

const STEPS: [Step; 14] = [
    Step { name: "test", run: || cargo(&["test", "--workspace"]) },
    Step { name: "fmt", run: fmt },
    Step {
        name: "clippy",
        run: || cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    },
    Step { name: "codegen", run: || xtask(&["codegen", "--check"]) },
    Step { name: "crates", run: || xtask(&["check-crate", "--each"]) },
    // Building from the packages takes as long as the workspace; what they hold is known without.
    Step { name: "package", run: || xtask(&["package", "--no-verify"]) },
    Step { name: "doc", run: doc },
    Step { name: "deny", run: deny },
    Step { name: "sim", run: sim },
    Step { name: "cluster", run: clusters::run },
    Step { name: "e2e", run: || xtask(&["e2e"]) },
    Step { name: "full", run: full },
    Step { name: "fuzz", run: || xtask(&["fuzz"]) },
    Step { name: "bench", run: || xtask(&["bench", "--quick"]) },
];

/// Runs the named steps, or all of them, and goes on after one that failed.
pub(crate) fn run(wanted: &[String]) -> Result<()> {
    let is_step = |name: &String| STEPS.iter().any(|step| step.name == name);
    if let Some(unknown) = wanted.iter().find(|name| !is_step(name)) {
        bail!("there is no step {unknown:?}; there are {}", STEPS.map(|step| step.name).join(", "));
    }
    let steps = STEPS
        .iter()
        .filter(|step| wanted.is_empty() || wanted.iter().any(|name| name == step.name));
    let done: Vec<_> = steps.map(|step| (step.name, timed(step))).collect();
    println!();
    for (name, (ok, took)) in &done {
        println!(
            "{name:<8} {} in {:.1} s",
            if *ok { "passed" } else { "FAILED" },
            took.as_secs_f64()
        );
    }
    let failed = done.iter().filter(|(_, (ok, _))| !ok).count();
    println!("{} passed, {failed} failed", done.len() - failed);
    if failed > 0 {
        std::process::exit(1);
    }
    Ok(())
}

fn timed(step: &Step) -> (bool, Duration) {
    println!("\n=== {}", step.name);
    let started = Instant::now();
    let result = (step.run)();
    let took = started.elapsed();
    if let Err(error) = &result {
        println!("{error:#}");
    }
    println!("=== {} took {:.1} s", step.name, took.as_secs_f64());
    (result.is_ok(), took)
}

/// Says what is run as a person would type it, then runs it.
fn say_and_run(command: &mut Command, typed: &str) -> Result<()> {
    println!("$ {typed}");
    workspace::run(command.stdin(Stdio::null()))
}

fn cargo(args: &[&str]) -> Result<()> {
    say_and_run(workspace::cargo().args(args), &format!("cargo {}", args.join(" ")))
}

fn xtask(args: &[&str]) -> Result<()> {
    let mut command = Command::new(env::current_exe().context("find this program")?);
    command.current_dir(workspace::root());
    say_and_run(command.args(args), &format!("cargo xtask {}", args.join(" ")))
}

/// The fuzz targets are a workspace of their own.
fn fmt() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"])
}

fn doc() -> Result<()> {
    let args = ["doc", "--workspace", "--no-deps"];
    let typed = "RUSTDOCFLAGS=\"-D warnings\" cargo doc --workspace --no-deps";
    say_and_run(workspace::cargo().args(args).env("RUSTDOCFLAGS", "-D warnings"), typed)
}

fn deny() -> Result<()> {
    let deny = cargo_deny()?;
    let mut command = Command::new(deny);
    command.current_dir(workspace::root()).args(["check", "bans", "licenses", "sources"]);
    say_and_run(&mut command, "cargo deny check bans licenses sources")
}

/// cargo-deny: the one on this machine, else one of our own under `target/`. Optimised it would take twice as long to
/// build and save a second.
fn cargo_deny() -> Result<PathBuf> {
    if let Some(found) = workspace::in_path("cargo-deny") {
        return Ok(found);
    }
    let tools = workspace::root().join("target/tools");
    let deny = tools.join("bin/cargo-deny");
    if !deny.is_file() {
        let install =
            ["install", "--quiet", "--locked", "--debug", "--version", CARGO_DENY, "cargo-deny"];
        let typed = format!("cargo {} --root target/tools", install.join(" "));
        say_and_run(workspace::cargo().args(install).arg("--root").arg(&tools), &typed)?;
    }
    Ok(deny)
}

/// The tests that need a machine for themselves, and are left out of the first step.
fn full() -> Result<()> {
    let args = ["test", "--workspace", "--test", "all", "--", "--test-threads", "1", "--exact"];
    let tests = [
        "load::forty_nodes_in_a_ring_answer_all_at_once",
        "attacks::fifty_thousand_request_ids_fill_the_store_and_cost_others_nothing",
    ];
    let typed = format!("UNRING_E2E_FULL=1 cargo {} {}", args.join(" "), tests.join(" "));
    let mut cargo = workspace::cargo();
    say_and_run(cargo.args(args).args(tests).env("UNRING_E2E_FULL", "1"), &typed)
}

/// By the names of the tests and not of the package: so dependencies are built with the features of the workspace, which the
/// programs of the same profile have too.
fn sim() -> Result<()> {
    let folder = workspace::root().join("tests/sim/tests");
    let entries = fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
    let mut args: Vec<_> = ["test", "--profile", "cluster", "--workspace"].map(String::from).into();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_stem().context("a file has a name")?;
        args.extend(["--test".to_owned(), name.to_string_lossy().into_owned()]);
    }
    cargo(&args.iter().map(String::as_str).collect::<Vec<_>>())
}
