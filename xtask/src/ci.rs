//! `cargo xtask ci`: everything that a change must pass, in the order in which it is told soonest that it does not.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::{apt, workspace};

/// The version whose verdict counts; the lists of `deny.toml` are read alike by all.
const CARGO_DENY: &str = "0.20.2";

/// Short runs of the cluster: long enough for its verdict on CPU, which leaves out the first five seconds.
const SHORT: &str = "8s";

/// What is done, and how.
struct Step {
    name: &'static str,
    run: fn() -> Result<()>,
}

const STEPS: [Step; 13] = [
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
    Step { name: "cluster", run: clusters },
    Step { name: "e2e", run: || xtask(&["e2e"]) },
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

/// Runs of the cluster. Those of few nodes wait more than they work, so two of them run at once.
fn clusters() -> Result<()> {
    let run = |args: &[&str]| xtask(&[&["dev-cluster"], args].concat());
    run(&["--for", "15s"])?;
    run(&["--topology", "ring", "--nodes", "30", "--for", SHORT])?;
    run(&["--baseline", "naive", "--for", SHORT])?;
    thread::scope(|scope| {
        let partition = scope.spawn(partition);
        // Rings through servers of K3s: one that is suspected, for which the run waits, and one that cannot be seen.
        let mixed = run(&["--mixed", "legacy=2", "--for", SHORT])
            .and_then(|()| run(&["--mixed", "legacy=2", "--nodes", "4", "--for", SHORT]));
        partition.join().map_err(|_| anyhow!("the run with a partition panicked"))?.and(mixed)
    })?;
    let shapes = [("line", "4"), ("star", "5"), ("tree", "7"), ("mesh", "5")];
    let mut small: Vec<_> = shapes
        .map(|(shape, nodes)| vec!["--topology", shape, "--nodes", nodes, "--for", SHORT])
        .into();
    for seed in ["1", "2", "3", "4", "5"] {
        small.push(vec!["--topology", "random", "--nodes", "12", "--seed", seed, "--for", SHORT]);
    }
    for pair in small.chunks(2) {
        let runs: Vec<_> = thread::scope(|scope| {
            let run = |(index, args): (usize, &Vec<&'static str>)| {
                let args = args.clone();
                scope.spawn(move || cluster_aside(index, &args))
            };
            let threads: Vec<_> = pair.iter().enumerate().map(run).collect();
            threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
        });
        for run in runs {
            run.map_err(|_| anyhow!("a run of the cluster panicked"))??;
        }
    }
    Ok(())
}

/// A partition that is long enough to be noticed, where namespaces can be made.
fn partition() -> Result<()> {
    let why = match apt::program("ip", "iproute2")? {
        Ok(_) if apt::is_root() => {
            let args = ["--netns", "--nodes", "4", "--partition", "5s,35s", "--for", "60s"];
            return cluster_aside(0, &args);
        }
        Ok(_) => "network namespaces need root".to_owned(),
        Err(why) => why,
    };
    println!("SKIPPED a partition of the cluster: {why}");
    Ok(())
}

/// One run in a folder of its own, whose output is printed when it has ended.
fn cluster_aside(index: usize, args: &[&str]) -> Result<()> {
    let folder = workspace::target()?.join(format!("dev-cluster-{index}"));
    let args = [&["dev-cluster"], args].concat();
    let mut command = Command::new(env::current_exe().context("find this program")?);
    command.current_dir(workspace::root()).args(&args).arg("--dir").arg(folder);
    let output = command.stdin(Stdio::null()).output().context("run this program")?;
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    println!("$ cargo xtask {}\n{out}{err}", args.join(" "));
    ensure!(output.status.success(), "cargo xtask {} ended with {}", args.join(" "), output.status);
    Ok(())
}
