//! Real nodes, and what the flooded one says of itself.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use dev_cluster::node_config;
use dev_cluster::node_process::NodeProcess;
use dev_cluster::ports::{self, NodePorts};
use dev_cluster::topology::NodeSpec;
use serde_json::Value;

use super::flood::Flooded;

/// Time for a node to start.
const START: Duration = Duration::from_secs(30);

/// A node, and one that it joins, so that requests can be forwarded. Both are killed when this is dropped.
#[derive(Debug)]
pub(super) struct Nodes {
    flooded: NodeProcess,
    _upstream: NodeProcess,
}

/// What the status page says of the budget.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) cpu_seconds: f64,
    pub(super) level: String,
    /// Requests of the flood that were answered by then.
    pub(super) answered: u64,
}

impl Nodes {
    /// Starts both, the first with this budget.
    pub(super) fn start(unring: &Path, dir: &Path, budget_percent: f64) -> Result<Self> {
        let ports = ports::pick(2)?;
        let [flooded, upstream] = ports[..] else { bail!("two nodes have ports") };
        let upstream = process(unring, dir, "upstream", upstream, vec![], 100.0)?;
        let joins = vec![format!("https://{}", upstream.ports().grpc)];
        let flooded = process(unring, dir, "flooded", flooded, joins, budget_percent)?;
        let nodes = Self { flooded, _upstream: upstream };
        let patience = Instant::now() + START;
        while let Err(why) = nodes.flooded.ready() {
            if Instant::now() > patience {
                bail!("the node is not ready: {why}\n{}", nodes.flooded.log_tail());
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(nodes)
    }

    pub(super) fn url(&self) -> String {
        format!("https://{}", self.flooded.ports().grpc)
    }

    pub(super) fn sample(&self, flooded: &Flooded) -> Result<Sample> {
        let page = self.flooded.status_page().map_err(|error| anyhow!("{error}"))?;
        let status: Value = serde_json::from_slice(&page.json)?;
        let budget = &status["budget"];
        Ok(Sample {
            at: Instant::now(),
            cpu_seconds: budget["p2p_cpu_seconds"].as_f64().context("CPU")?,
            level: budget["level"].as_str().context("level")?.to_owned(),
            answered: flooded.answered(),
        })
    }
}

fn process(
    unring: &Path,
    dir: &Path,
    name: &str,
    ports: NodePorts,
    upstreams: Vec<String>,
    budget_percent: f64,
) -> Result<NodeProcess> {
    let dir = dir.join(name);
    std::fs::create_dir_all(&dir)?;
    // The machine that measures is busy with the flood itself.
    let mut limits = toml::Table::new();
    limits.insert("ignore_machine_pressure".into(), true.into());
    limits.insert("cpu_budget_percent".into(), budget_percent.into());
    let config = toml::Table::from_iter([("limits".to_owned(), limits.into())]);
    let spec = NodeSpec { name: name.to_owned(), upstreams: Vec::new(), config };
    let config = node_config::build(&spec, &ports, upstreams, &NodeProcess::data_dir(&dir));
    let mut node = NodeProcess::new(unring, &dir, name, ports, config);
    node.start()?;
    Ok(node)
}
