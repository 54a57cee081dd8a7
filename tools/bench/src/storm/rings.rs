//! Rings as real processes, on loopback, bounded as `dev-cluster` bounds them.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use dev_cluster::baseline::{Baseline, Cost, Setup as BaselineSetup};
use dev_cluster::cluster::{Cluster, Setup, Stop, ready_deadline};
use dev_cluster::dir::ClusterDir;
use dev_cluster::topology::{Shape, Topology};
use dev_cluster::trigger::{self, GrpcTrigger};
use dev_cluster::{logs, usage};

use crate::run::root;

/// The cap of K3s's fix: 20.
const CAP: NonZeroUsize = NonZeroUsize::MIN.saturating_add(19);

/// The exchange of the start is over when so long no message was added to it.
const QUIET: Duration = Duration::from_secs(1);

/// It is waited for that no longer.
const SETTLED_WITHIN: Duration = Duration::from_secs(15);

/// What was seen of one ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Messages that followed one request.
    pub(crate) messages: f64,
    /// CPU of all processes meanwhile, in seconds.
    pub(crate) cpu_seconds: f64,
    /// Lines that all wrote to their logs meanwhile.
    pub(crate) log_lines: f64,
    /// The peaks of all processes since their start, added up, in MiB.
    pub(crate) peak_rss_mib: f64,
    /// Whether a limit of the run was met.
    pub(crate) capped: bool,
}

/// Starts rings, one at a time of each kind.
pub(crate) struct Rings {
    unring: PathBuf,
    naive: PathBuf,
    watch: Duration,
    dir: Arc<ClusterDir>,
}

impl Rings {
    pub(crate) fn new(unring: &Path, naive: &Path, watch: Duration) -> Result<Self> {
        ensure!(naive.is_file(), "{}: no such program", naive.display());
        let dir = ClusterDir::open(&root().join("target/bench/storm"))?;
        Ok(Self { unring: unring.to_owned(), naive: naive.to_owned(), watch, dir: Arc::new(dir) })
    }

    /// A ring of naive nodes, alone on the machine: it takes all of it.
    pub(crate) fn naive(&self, nodes: usize) -> Result<Seen> {
        let mut ring = self.baseline(nodes, None)?;
        let before = ring.look();
        ring.trigger([0]).context("ask a naive node")?;
        thread::sleep(self.watch);
        Ok(seen(before, ring.stop()))
    }

    /// A ring of unring and one of naive nodes as fixed, side by side: neither takes more than a hundredth of the
    /// machine.
    pub(crate) fn calm(&self, nodes: usize) -> Result<(Seen, Seen)> {
        let topology = Shape::Ring.build(nodes, 0);
        let setup = Setup {
            unring: self.unring.clone(),
            topology,
            ready_within: ready_deadline(nodes),
            netns: None,
        };
        let mut unring = Cluster::start(&self.dir, &setup, &Stop::default())?;
        let mut trigger = GrpcTrigger::new()?;
        settle(&unring)?;
        let mut capped = self.baseline(nodes, Some(CAP))?;
        let (before, capped_before) = (cost(&unring)?, capped.look());
        capped.trigger([0]).context("ask a naive node")?;
        for fired in trigger::fire(&unring, &mut trigger, 0, 1, &Stop::default()) {
            ensure!(fired.error.is_none(), "the request was not answered: {:?}", fired.error);
        }
        thread::sleep(self.watch);
        let both = (seen(before, cost(&unring)?), seen(capped_before, capped.stop()));
        for exit in unring.stop()?.into_iter().flatten() {
            ensure!(exit.status.success(), "a node ended with {exit}");
        }
        Ok(both)
    }

    /// Without the request of their own start, so that what follows is of the one from outside.
    fn baseline(&self, nodes: usize, cap: Option<NonZeroUsize>) -> Result<Baseline> {
        let topology: Topology = Shape::Ring.build(nodes, 0);
        let setup =
            BaselineSetup { program: self.naive.clone(), cap, bootstrap: false, triggers: 1 };
        let run = self.watch + SETTLED_WITHIN;
        Ok(Baseline::start(self.dir.path(), &setup, &topology, run, &Stop::default())?)
    }
}

/// The time between.
fn seen(before: Cost, after: Cost) -> Seen {
    Seen {
        messages: number(after.messages - before.messages),
        cpu_seconds: after.cpu_seconds - before.cpu_seconds,
        log_lines: number(after.log_lines - before.log_lines),
        peak_rss_mib: after.peak_rss_mib,
        capped: after.capped,
    }
}

fn number(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// Waits until the nodes have told each other what they know.
fn settle(ring: &Cluster) -> Result<()> {
    let began = Instant::now();
    let (mut messages, mut since) = (cost(ring)?.messages, Instant::now());
    while since.elapsed() < QUIET {
        ensure!(began.elapsed() < SETTLED_WITHIN, "the start is not over after {SETTLED_WITHIN:?}");
        thread::sleep(Duration::from_millis(100));
        let now = cost(ring)?.messages;
        if now != messages {
            (messages, since) = (now, Instant::now());
        }
    }
    Ok(())
}

fn cost(ring: &Cluster) -> Result<Cost> {
    let nodes = ring.nodes().iter().map(|node| {
        let status = node.status().with_context(|| format!("ask {}", node.name()))?;
        let used =
            node.pid().and_then(usage::read).with_context(|| format!("{} is gone", node.name()))?;
        Ok(Cost {
            messages: status.exchange.sent + status.exchange.pushes,
            cpu_seconds: used.cpu_seconds,
            log_lines: logs::summarise(&node.log())?.lines,
            peak_rss_mib: used.peak_rss_mib,
            capped: false,
        })
    });
    Ok(nodes.collect::<Result<Vec<Cost>>>()?.into_iter().sum())
}
