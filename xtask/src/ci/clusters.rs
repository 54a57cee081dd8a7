//! The step `cluster`: real nodes in every topology.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::{apt, dev_cluster, workspace};

/// Short runs: long enough for the verdict on CPU, which leaves out the first five seconds.
const SHORT: &str = "8s";

/// Runs of the cluster. Those of few nodes wait more than they work, so three of them run at once; a storm and thirty nodes
/// work, and would be the others' verdict.
pub(super) fn run() -> Result<()> {
    let tool = &Tool::built()?;
    let alone: [&[&str]; 2] = [
        &["--topology", "ring", "--nodes", "30", "--for", SHORT],
        &["--baseline", "naive", "--for", SHORT],
    ];
    let mut queue = VecDeque::new();
    // The longest first: partitions, and a ring through servers of K3s that is suspected, for which the run waits. The one of four
    // cannot be seen.
    queue.extend(partitions()?);
    queue.push_back("--mixed legacy=2".to_owned());
    queue.push_back("--for 15s".to_owned());
    queue.push_back("--mixed legacy=2 --nodes 4".to_owned());
    for shape in ["mesh --nodes 5", "tree --nodes 7", "star --nodes 5", "line --nodes 4"] {
        queue.push_back(format!("--topology {shape}"));
    }
    for seed in 1..=5 {
        queue.push_back(format!("--topology random --nodes 12 --seed {seed}"));
    }
    let queue = Mutex::new(queue);
    let mut failed = Vec::new();
    for args in alone {
        failed.extend(tool.run("alone", args).err());
    }
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    thread::scope(|scope| {
        let lanes = ["1", "2", "3"].map(|lane| {
            scope.spawn(move || {
                let run = |args: String| {
                    let mut args: Vec<_> = args.split(' ').collect();
                    if !args.contains(&"--for") {
                        args.extend(["--for", SHORT]);
                    }
                    tool.run(lane, &args).err()
                };
                std::iter::from_fn(next).filter_map(run).collect::<Vec<_>>()
            })
        });
        for lane in lanes {
            let ended = lane.join();
            failed.extend(ended.unwrap_or_else(|_| vec![anyhow!("a run of the cluster panicked")]));
        }
    });
    let failed: Vec<_> = failed.iter().map(|error| format!("{error:#}")).collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// Partitions that are long enough to be noticed, and to outlast what the halves know of each other, where namespaces can be made.
fn partitions() -> Result<Vec<String>> {
    let why = match apt::program("ip", "iproute2")? {
        Ok(_) if apt::is_root() => {
            let nodes = ["--nodes 4", "--topology tools/dev-cluster/topologies/forgetful.toml"];
            let run = |nodes| format!("--netns {nodes} --partition 5s,35s --for 60s");
            return Ok(nodes.map(run).into());
        }
        Ok(_) => "network namespaces need root".to_owned(),
        Err(why) => why,
    };
    println!("SKIPPED two partitions of the cluster: {why}");
    Ok(Vec::new())
}

/// The `dev-cluster` tool with all that it starts, built once.
struct Tool(Vec<OsString>);

impl Tool {
    fn built() -> Result<Self> {
        let began = Instant::now();
        let tool = dev_cluster::built(true)?;
        println!("built in {:.1} s", began.elapsed().as_secs_f64());
        Ok(Self(tool))
    }

    /// One run in a folder of this lane, whose output is printed when it has ended.
    fn run(&self, lane: &str, args: &[&str]) -> Result<()> {
        let folder = workspace::target()?.join(format!("dev-cluster-{lane}"));
        let [program, rest @ ..] = self.0.as_slice() else { bail!("there is no tool") };
        let mut command = Command::new(program);
        command.current_dir(workspace::root()).args(rest).args(args).arg("--dir").arg(folder);
        let began = Instant::now();
        let output = command.stdin(Stdio::null()).output().context("run dev-cluster")?;
        let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        let typed = format!("cargo xtask dev-cluster {}", args.join(" "));
        println!("$ {typed}\n{out}{err}= {:.1} s", began.elapsed().as_secs_f64());
        ensure!(output.status.success(), "{typed} ended with {}", output.status);
        Ok(())
    }
}
