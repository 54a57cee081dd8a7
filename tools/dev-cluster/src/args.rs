//! The command line.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use dev_cluster::cluster::{Setup, ready_deadline};
use dev_cluster::partition::Partition;
use dev_cluster::plan::{MAX_TRIGGERS, Plan};
use dev_cluster::providers::FOUND_WITHIN;
use dev_cluster::topology::{MAX_NODES, Shape, Topology};
use dev_cluster::{baseline, error_chain, mixed};

/// Starts real nodes on loopback, joined in a topology, shows what they do and checks that the laws hold.
///
/// Ends with Ctrl-C or after --for; leaves cluster.json and report.json. Exit code 0: every law held, 1: one did not,
/// 64: a wrong argument.
#[derive(Debug, Parser)]
#[command(name = "dev-cluster")]
pub(crate) struct Args {
    /// ring, line, star, tree, mesh, random, or a file of [[node]] tables (name, upstreams, config)
    #[arg(long, default_value = "ring")]
    topology: String,
    /// How many nodes, unless a file names them [default: 3]
    #[arg(long)]
    nodes: Option<usize>,
    /// How long to watch once all are ready, such as 15s or 2min [default: until Ctrl-C]
    #[arg(long = "for", value_name = "DUR", value_parser = humantime::parse_duration)]
    watch_for: Option<Duration>,
    /// How many requests to send at the beginning, and again at the end, to one node after the other; at most 1000
    #[arg(long, default_value_t = 3)]
    triggers: usize,
    /// What `random` is made from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run nodes without loop protection afterwards, as long and with the same triggers, and compare; needs --for
    #[arg(long, value_name = "WHICH", requires = "naive_node")]
    baseline: Option<BaselineKind>,
    /// As K3s was fixed: each naive node answers so many requests at once (K3s: 20); node lists are empty, as at a cold start
    #[arg(long, requires = "baseline")]
    cap: Option<NonZeroUsize>,
    /// Make K of the nodes servers of K3s as before its fix, joined over K3s's path both ways: every other node of a ring
    /// of 4 with legacy=2, the last two of a ring of 3
    #[arg(long, value_name = "legacy=K", value_parser = legacy, requires = "naive_node", conflicts_with = "baseline")]
    mixed: Option<usize>,
    /// The program of the baseline and of servers of K3s (cargo xtask dev-cluster builds it)
    #[arg(long, value_name = "PATH")]
    naive_node: Option<PathBuf>,
    /// Each node in a network namespace of its own, with an address of its own; needs root and `ip`
    #[arg(long, conflicts_with_all = ["baseline", "mixed"])]
    netns: bool,
    /// Cut the nodes into two halves AT so long after all are ready, for FOR (10s,40s); they must have found each other 15 s later
    #[arg(long, value_name = "AT,FOR", requires = "netns")]
    partition: Option<Partition>,
    /// Print the report to standard output, and everything else to standard error
    #[arg(long)]
    pub(crate) json: bool,
    /// The node's program (cargo xtask dev-cluster builds it)
    #[arg(long, value_name = "PATH")]
    unring: PathBuf,
    /// The cluster's folder; one cluster at a time
    #[arg(long, default_value_os_t = default_dir())]
    pub(crate) dir: PathBuf,
}

/// What to compare with.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum BaselineKind {
    /// K3s before it was fixed
    Naive,
}

/// `target/dev-cluster` of this workspace, from wherever it is called.
fn default_dir() -> PathBuf {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR"));
    tool.ancestors().nth(2).unwrap_or(tool).join("target/dev-cluster")
}

impl Args {
    /// Whether each node is to have a network namespace.
    pub(crate) fn netns(&self) -> bool {
        self.netns
    }

    /// What to do.
    ///
    /// # Errors
    /// What is wrong with an argument, for people.
    pub(crate) fn plan(&self) -> Result<Plan, String> {
        let topology = self.topology()?;
        if self.triggers > MAX_TRIGGERS {
            return Err(format!("--triggers {}: expected at most {MAX_TRIGGERS}", self.triggers));
        }
        if !self.unring.is_file() {
            return Err(format!("--unring {}: no such file", self.unring.display()));
        }
        // A relative path would be looked up in PATH.
        let unring = self.unring.canonicalize().map_err(|err| format!("--unring: {err}"))?;
        let baseline = self.baseline()?;
        let mixed = self.mixed(&topology)?;
        let ready_within = ready_deadline(topology.nodes.len());
        // Made once everything else is known to be right.
        let setup = Setup { unring, topology, ready_within, netns: None };
        let partition = self.partition(setup.topology.nodes.len())?;
        let (seed, watch_for, triggers) = (self.seed, self.watch_for, self.triggers);
        let found_within = FOUND_WITHIN;
        Ok(Plan { setup, seed, watch_for, triggers, found_within, partition, baseline, mixed })
    }

    /// The partition of so many nodes, which must have time to heal.
    fn partition(&self, nodes: usize) -> Result<Option<Partition>, String> {
        let Some(partition) = self.partition else { return Ok(None) };
        if nodes < 2 {
            return Err("--partition: one node has no halves".to_owned());
        }
        let healed = partition.healed_by();
        match self.watch_for {
            Some(end) if end < healed => Err(format!(
                "--partition: expected --for of at least {}, so that it has time to heal",
                humantime::format_duration(healed)
            )),
            _ => Ok(Some(partition)),
        }
    }

    /// What to compare with. A storm is bounded in time as well as in messages.
    fn baseline(&self) -> Result<Option<baseline::Setup>, String> {
        let (Some(BaselineKind::Naive), Some(program)) = (self.baseline, &self.naive_node) else {
            return Ok(None);
        };
        if self.watch_for.is_none_or(|run| run > baseline::MAX_RUN) {
            return Err("--baseline: expected --for of at most 10min".to_owned());
        }
        // At the beginning and at the end.
        let most = baseline::MAX_TRIGGERS / 2;
        if self.triggers > most {
            return Err(format!(
                "--triggers {}: expected at most {most} with --baseline",
                self.triggers
            ));
        }
        let program = found(program)?;
        let triggers = 2 * self.triggers;
        Ok(Some(baseline::Setup { program, cap: self.cap, bootstrap: true, triggers }))
    }

    /// Which nodes are servers of K3s.
    fn mixed(&self, topology: &Topology) -> Result<Option<mixed::Setup>, String> {
        let (Some(legacy), Some(program)) = (self.mixed, &self.naive_node) else {
            return Ok(None);
        };
        let split = mixed::split(topology, legacy).map_err(|error| format!("--mixed {error}"))?;
        Ok(Some(mixed::Setup { program: found(program)?, split }))
    }

    fn topology(&self) -> Result<Topology, String> {
        let nodes = self.nodes.unwrap_or(3);
        if !(1..=MAX_NODES).contains(&nodes) {
            return Err(format!("--nodes {nodes}: expected 1 to {MAX_NODES}"));
        }
        if let Some(shape) = Shape::from_name(&self.topology) {
            return Ok(shape.build(nodes, self.seed));
        }
        let file = &self.topology;
        if Path::new(file).extension().is_none_or(|extension| extension != "toml") {
            return Err(format!(
                "--topology {file}: expected ring, line, star, tree, mesh, random or a .toml file"
            ));
        }
        if self.nodes.is_some() {
            return Err(format!(
                "--nodes does not go with --topology {file}: the file names the nodes"
            ));
        }
        let text = fs::read_to_string(file).map_err(|err| format!("--topology {file}: {err}"))?;
        Topology::from_toml(file, &text)
            .map_err(|err| format!("--topology {file}: {}", error_chain(&err)))
    }
}

fn found(naive_node: &Path) -> Result<PathBuf, String> {
    naive_node.canonicalize().map_err(|err| format!("--naive-node {}: {err}", naive_node.display()))
}

fn legacy(text: &str) -> Result<usize, String> {
    let count = text.strip_prefix("legacy=").and_then(|count| count.parse().ok());
    count.ok_or_else(|| "expected legacy=K, such as legacy=2".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::Args;

    fn plan(words: &[&str]) -> Result<dev_cluster::plan::Plan, String> {
        let words = ["dev-cluster", "--unring", "/bin/sh"].iter().chain(words);
        Args::try_parse_from(words).map_err(|err| err.to_string())?.plan()
    }

    #[test]
    fn without_arguments_it_is_a_ring_of_three_until_ctrl_c() {
        let plan = plan(&[]).unwrap();
        assert_eq!(
            (plan.setup.topology.name.as_str(), plan.setup.topology.nodes.len()),
            ("ring", 3)
        );
        assert_eq!((plan.watch_for, plan.triggers, plan.seed), (None, 3, 1));
    }

    #[test]
    fn a_wrong_argument_is_named_with_what_is_right() {
        let check = |words: &[&str], expected: &str| {
            let error = plan(words).unwrap_err();
            assert!(error.contains(expected), "{words:?}: {error}");
        };
        check(&["--nodes", "0"], "--nodes 0: expected 1 to 200");
        check(&["--nodes", "201"], "--nodes 201: expected 1 to 200");
        check(&["--triggers", "1001"], "--triggers 1001: expected at most 1000");
        check(&["--for", "soon"], "--for <DUR>");
        check(&["--topology", "torus"], "expected ring, line, star");
        check(&["--topology", "no-such.toml"], "--topology no-such.toml: No such file");
        check(
            &["--topology", "x.toml", "--nodes", "3"],
            "--nodes does not go with --topology x.toml",
        );
        let error = Args::try_parse_from(["dev-cluster", "--unring", "/no/unring"])
            .unwrap()
            .plan()
            .unwrap_err();
        assert_eq!(error, "--unring /no/unring: no such file");
    }

    #[test]
    fn a_baseline_is_bounded_in_time_and_triggers() {
        let naive = ["--naive-node", "/bin/true", "--baseline", "naive"];
        let check = |words: &[&str], expected: &str| {
            let error = plan(&[&naive[..], words].concat()).unwrap_err();
            assert!(error.contains(expected), "{words:?}: {error}");
        };
        check(&[], "--baseline: expected --for of at most 10min");
        check(&["--for", "11min"], "--baseline: expected --for of at most 10min");
        check(&["--for", "1s", "--triggers", "101"], "expected at most 100 with --baseline");
        check(&["--for", "1s", "--cap", "0"], "--cap");
        assert!(plan(&["--cap", "20"]).unwrap_err().contains("--baseline"));
        assert!(plan(&["--baseline", "naive"]).unwrap_err().contains("--naive-node"));
        let words = [&naive[..], &["--for", "1s", "--cap", "20"]].concat();
        let baseline = plan(&words).unwrap().baseline.unwrap();
        assert_eq!(baseline.cap.map(std::num::NonZero::get), Some(20));
        assert!(plan(&["--for", "1h"]).unwrap().baseline.is_none());
    }

    #[test]
    fn servers_of_k3s_are_some_of_the_nodes() {
        let mixed = |words: &[&str]| plan(&[&["--naive-node", "/bin/true"], words].concat());
        let setup = mixed(&["--mixed", "legacy=2"]).unwrap().mixed.unwrap();
        assert_eq!((setup.split.legacy.len(), setup.split.unring.nodes.len()), (2, 1));
        let check = |words: &[&str], expected: &str| {
            let error = mixed(words).unwrap_err();
            assert!(error.contains(expected), "{words:?}: {error}");
        };
        check(&["--mixed", "2"], "expected legacy=K");
        check(&["--mixed", "legacy=3"], "--mixed legacy=3: expected 1 to 2");
        check(&["--mixed", "legacy=2", "--topology", "mesh"], "which storms");
        assert!(plan(&["--mixed", "legacy=2"]).unwrap_err().contains("--naive-node"));
    }

    #[test]
    fn a_partition_needs_namespaces_and_time() {
        let check = |words: &[&str], expected: &str| {
            let error = plan(words).unwrap_err();
            assert!(error.contains(expected), "{words:?}: {error}");
        };
        check(&["--partition", "5s,40s"], "--netns");
        check(&["--netns", "--partition", "soon"], "expected AT,FOR");
        let short = ["--netns", "--partition", "5s,40s", "--for", "59s"];
        check(&short, "--for of at least 1m");
        check(&["--netns", "--partition", "5s,40s", "--nodes", "1"], "one node has no halves");
        let plan = plan(&["--netns", "--partition", "5s,40s", "--for", "60s"]).unwrap();
        assert!(plan.partition.is_some() && plan.setup.netns.is_none());
    }

    #[test]
    fn a_file_names_the_nodes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("two.toml");
        std::fs::write(&file, "[[node]]\nname = 'a'\nupstreams = ['b']\n[[node]]\nname = 'b'")
            .unwrap();
        let plan = plan(&["--topology", file.to_str().unwrap()]).unwrap();
        assert_eq!(plan.setup.topology.nodes.len(), 2);
        assert_eq!(plan.setup.topology.name, file.to_str().unwrap());
    }
}
