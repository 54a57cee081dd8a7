//! All nodes of a topology as real processes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use std::{fmt, io};

use crate::child::Exit;
use crate::dir::{ClusterDir, DirError};
use crate::node_config;
use crate::node_process::{NodeError, NodeProcess};
use crate::ports;
use crate::statusz::StatuszError;
use crate::topology::Topology;

/// How often a start is tried when a port was taken between being picked and being bound.
const START_ATTEMPTS: usize = 3;

/// How often nodes that are not ready are asked again.
const READY_POLL: Duration = Duration::from_millis(50);

/// How long nodes get to drain: their own deadline of 5 s and room for a loaded machine.
const DRAIN_DEADLINE: Duration = Duration::from_secs(8);

/// How many logs a failed start shows; forty nodes that wait for one another all write the same.
const SHOWN_TAILS: usize = 3;

/// What to start.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The `unring` program.
    pub unring: PathBuf,
    /// Who joins whom.
    pub topology: Topology,
    /// How long all nodes together may take to be ready.
    pub ready_within: Duration,
}

/// A request to stop, from a signal or a test.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// The flag to set.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Whether to stop.
    pub fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Running nodes. Dropping it kills them.
#[derive(Debug)]
pub struct Cluster {
    topology: Topology,
    nodes: Vec<NodeProcess>,
    peer_ids: Vec<String>,
    ready_after: Duration,
    // The last field: the folder is given up after the processes in it are gone.
    dir: Arc<ClusterDir>,
}

/// Why a cluster did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its folder cannot be used.
    #[error("the cluster's folder cannot be used")]
    Dir(#[from] DirError),
    /// No ports.
    #[error("no free ports on loopback")]
    Ports(#[source] io::Error),
    /// A node was not started.
    #[error("{node} was not started")]
    Node {
        /// Its name.
        node: String,
        /// Why.
        #[source]
        source: NodeError,
    },
    /// A node ended before it was ready.
    #[error("{node} ended before it was ready: {exit}; the end of {}:\n{tail}", log.display())]
    Exited {
        /// Its name.
        node: String,
        /// How.
        exit: Exit,
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        tail: String,
    },
    /// Nodes were not ready in time.
    #[error("not ready after {} s: {}", within.as_secs(), Late(nodes))]
    NotReady {
        /// How long was waited.
        within: Duration,
        /// Which.
        nodes: Vec<LateNode>,
    },
    /// A node is ready but does not say who it is.
    #[error("{node} is ready but its status cannot be read")]
    Status {
        /// Its name.
        node: String,
        /// Why.
        #[source]
        source: StatuszError,
    },
    /// It was asked to stop before all nodes were ready.
    #[error("stopped before all nodes were ready: {} were not", .0.join(", "))]
    Stopped(Vec<String>),
}

/// A node that was not ready in time.
#[derive(Clone, Debug)]
pub struct LateNode {
    /// Its name.
    pub node: String,
    /// Its own reason.
    pub reason: String,
    /// Its log.
    pub log: PathBuf,
    /// The end of its log.
    pub tail: String,
}

struct Late<'a>(&'a [LateNode]);

impl fmt::Display for Late<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> =
            self.0.iter().map(|late| format!("{} ({})", late.node, late.reason)).collect();
        write!(f, "{}", names.join(", "))?;
        for LateNode { log, tail, .. } in self.0.iter().take(SHOWN_TAILS) {
            write!(f, "; the end of {}:\n{tail}", log.display())?;
        }
        Ok(())
    }
}

impl Cluster {
    /// Starts all nodes in `dir` and waits until each is ready; what an earlier cluster left there is deleted. With
    /// another program taking a port in the meantime, all of it is tried again, three times in all.
    ///
    /// # Errors
    /// A node does not start or is not ready in time; then none is left running.
    pub fn start(dir: &Arc<ClusterDir>, setup: &Setup, stop: &Stop) -> Result<Self, StartError> {
        let mut attempt = 1;
        let (nodes, peer_ids, ready_after) = loop {
            match start_nodes(setup, dir, stop) {
                Err(StartError::Exited { tail, .. })
                    if attempt < START_ATTEMPTS && lost_a_port(&tail) =>
                {
                    attempt += 1
                }
                outcome => break outcome?,
            }
        };
        Ok(Self {
            topology: setup.topology.clone(),
            nodes,
            peer_ids,
            ready_after,
            dir: Arc::clone(dir),
        })
    }

    /// Who joins whom.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The nodes, in the order of the topology.
    pub fn nodes(&self) -> &[NodeProcess] {
        &self.nodes
    }

    /// The nodes, to stop and start them one by one.
    pub fn nodes_mut(&mut self) -> &mut [NodeProcess] {
        &mut self.nodes
    }

    /// Their peer ids, as they were when all were ready.
    pub fn peer_ids(&self) -> &[String] {
        &self.peer_ids
    }

    /// The folder.
    pub fn dir(&self) -> &ClusterDir {
        &self.dir
    }

    /// The time from the first process to the last ready node.
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// The URLs that the node at `index` joins.
    pub fn upstream_urls(&self, index: usize) -> Vec<String> {
        let ports: Vec<_> = self.nodes.iter().map(|node| *node.ports()).collect();
        node_config::upstream_urls(&self.topology, index, &ports)
    }

    /// Ends all nodes: SIGTERM to each, then SIGKILL to those that are still there after the drain deadline.
    ///
    /// # Errors
    /// The kernel does not let a process be waited for.
    pub fn stop(&mut self) -> io::Result<Vec<Option<Exit>>> {
        for node in &mut self.nodes {
            node.terminate();
        }
        let deadline = Instant::now() + DRAIN_DEADLINE;
        self.nodes.iter_mut().map(|node| node.wait_until(deadline)).collect()
    }
}

type Started = (Vec<NodeProcess>, Vec<String>, Duration);

fn start_nodes(setup: &Setup, dir: &ClusterDir, stop: &Stop) -> Result<Started, StartError> {
    let topology = &setup.topology;
    dir.clean(topology.nodes.iter().map(|node| node.name.as_str()))?;
    let ports = ports::pick(topology.nodes.len()).map_err(StartError::Ports)?;
    let mut nodes = Vec::new();
    for (index, (spec, own)) in topology.nodes.iter().zip(&ports).enumerate() {
        let folder = dir.path().join(&spec.name);
        let upstreams = node_config::upstream_urls(topology, index, &ports);
        let config = node_config::build(spec, own, upstreams, &NodeProcess::data_dir(&folder));
        nodes.push(NodeProcess::new(&setup.unring, &folder, &spec.name, *own, config));
    }
    let began = Instant::now();
    for node in &mut nodes {
        node.start().map_err(|source| StartError::Node { node: node.name().to_owned(), source })?;
    }
    wait_until_ready(&mut nodes, began, setup.ready_within, stop)?;
    let ready_after = began.elapsed();
    let peer_id = |node: &NodeProcess| {
        let status = node.status();
        let failed = |source| StartError::Status { node: node.name().to_owned(), source };
        status.map(|status| status.peer_id).map_err(failed)
    };
    let peer_ids = nodes.iter().map(peer_id).collect::<Result<_, _>>()?;
    Ok((nodes, peer_ids, ready_after))
}

fn wait_until_ready(
    nodes: &mut [NodeProcess],
    began: Instant,
    within: Duration,
    stop: &Stop,
) -> Result<(), StartError> {
    let mut waiting: Vec<&mut NodeProcess> = nodes.iter_mut().collect();
    loop {
        let mut late = Vec::new();
        let mut reasons = Vec::new();
        for node in waiting {
            if let Some(exit) = node.exited() {
                let (node, log, tail) = (node.name().to_owned(), node.log(), node.log_tail());
                return Err(StartError::Exited { node, exit, log, tail });
            }
            if let Err(reason) = node.ready() {
                reasons.push(reason);
                late.push(node);
            }
        }
        if late.is_empty() {
            return Ok(());
        }
        if stop.is_wanted() {
            return Err(StartError::Stopped(
                late.iter().map(|node| node.name().to_owned()).collect(),
            ));
        }
        if began.elapsed() >= within {
            let late = late.into_iter().zip(reasons).map(|(node, reason)| {
                let (node, log, tail) = (node.name().to_owned(), node.log(), node.log_tail());
                LateNode { node, reason, log, tail }
            });
            return Err(StartError::NotReady { within, nodes: late.collect() });
        }
        waiting = late;
        thread::sleep(READY_POLL);
    }
}

/// Whether a node ended because another program took its port first. Its exit code says no more than "start failure".
fn lost_a_port(tail: &str) -> bool {
    tail.to_lowercase().contains("in use")
}

/// The time that `nodes` nodes may take to be ready: a second each on a loaded machine, and no less than half a minute.
pub fn ready_deadline(nodes: usize) -> Duration {
    Duration::from_secs(30) + Duration::from_secs(1) * u32::try_from(nodes).unwrap_or(u32::MAX)
}

/// Writes `unring client-cert --out DIR`'s key and certificate, with which tools can call the nodes.
///
/// # Errors
/// What went wrong, for people.
pub fn client_cert(unring: &Path, out: &Path) -> Result<(), String> {
    let mut command = std::process::Command::new(unring);
    command.arg("client-cert").arg("--out").arg(out);
    crate::node_process::without_unring_variables(&mut command);
    let output = command.output().map_err(|err| err.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => {
            Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
        }
    }
}
