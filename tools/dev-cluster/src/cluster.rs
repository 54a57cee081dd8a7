//! All nodes of a topology as real processes.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use std::{fmt, io};

use crate::child::Exit;
use crate::dir::{ClusterDir, DirError};
use crate::error_chain;
use crate::k3s::{K3sFiles, K3sFilesError};
use crate::logs;
use crate::mixed::{MAX_LEGACY, Places};
use crate::netns::Netns;
use crate::node_config;
use crate::node_process::{NodeError, NodeProcess};
use crate::ports;
use crate::providers;
use crate::topology::Topology;

/// How often a start is tried when a port was taken between being picked and being bound.
const START_ATTEMPTS: usize = 3;

/// How often nodes that are not ready are asked again.
const READY_POLL: Duration = Duration::from_millis(50);

/// How long nodes get to drain: their own deadline of 5 s and room for a loaded machine.
const DRAIN_DEADLINE: Duration = Duration::from_secs(8);

/// In how many last lines of its log a node that lost its port says so; a backtrace may follow.
const PORT_TAKEN_LINES: usize = 100;

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
    /// Where the nodes run, one in each; on loopback without.
    pub netns: Option<Arc<Netns>>,
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
    k3s: K3sFiles,
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
    /// The files of K3s's path cannot be made.
    #[error("the files of K3s's path cannot be made")]
    K3s(#[from] K3sFilesError),
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
        /// Whether it says that another program has taken its port.
        port_taken: bool,
    },
    /// Nodes were not ready in time.
    #[error("not ready after {} s: {}", within.as_secs(), Late(nodes))]
    NotReady {
        /// How long was waited.
        within: Duration,
        /// Which.
        nodes: Vec<LateNode>,
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
        let k3s = K3sFiles::make(dir.path(), addresses(setup))?;
        let (nodes, peer_ids, ready_after) = loop {
            match start_nodes(setup, dir, &k3s, stop) {
                Err(StartError::Exited { port_taken: true, .. }) if attempt < START_ATTEMPTS => {
                    attempt += 1;
                }
                outcome => break outcome?,
            }
        };
        Ok(Self {
            topology: setup.topology.clone(),
            nodes,
            peer_ids,
            k3s,
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

    /// The files of K3s's path, the same for all nodes.
    pub fn k3s(&self) -> &K3sFiles {
        &self.k3s
    }

    /// The folder.
    pub fn dir(&self) -> &Arc<ClusterDir> {
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

/// Where nodes, and servers of K3s among them, may listen.
fn addresses(setup: &Setup) -> impl Iterator<Item = IpAddr> {
    let netns = setup.netns.iter().flat_map(|netns| netns.ports()).map(|ports| ports.k3s.ip());
    std::iter::once(Ipv4Addr::LOCALHOST.into()).chain(Places::addresses(MAX_LEGACY)).chain(netns)
}

type Started = (Vec<NodeProcess>, Vec<String>, Duration);

fn start_nodes(
    setup: &Setup,
    dir: &ClusterDir,
    k3s: &K3sFiles,
    stop: &Stop,
) -> Result<Started, StartError> {
    let topology = &setup.topology;
    dir.clean(topology.nodes.iter().map(|node| node.name.as_str()))?;
    let ports = match &setup.netns {
        Some(netns) => netns.ports(),
        None => ports::pick(topology.nodes.len()).map_err(StartError::Ports)?,
    };
    let mut nodes = Vec::new();
    for (index, (spec, own)) in topology.nodes.iter().zip(&ports).enumerate() {
        let folder = dir.path().join(&spec.name);
        let upstreams = node_config::upstream_urls(topology, index, &ports);
        let mut config = node_config::build(spec, own, upstreams, &NodeProcess::data_dir(&folder));
        k3s.configure(&mut config, own);
        providers::configure(&mut config, &spec.name);
        let mut node = NodeProcess::new(&setup.unring, &folder, &spec.name, *own, config);
        if let Some(namespace) = setup.netns.as_ref().and_then(|netns| netns.name(index)) {
            node.enter(namespace);
        }
        nodes.push(node);
    }
    let began = Instant::now();
    for node in &mut nodes {
        node.start().map_err(|source| StartError::Node { node: node.name().to_owned(), source })?;
    }
    let peer_ids = wait_until_ready(&mut nodes, began, setup.ready_within, stop)?;
    Ok((nodes, peer_ids, began.elapsed()))
}

/// Waits until each node is ready and says who it is; their peer ids.
fn wait_until_ready(
    nodes: &mut [NodeProcess],
    began: Instant,
    within: Duration,
    stop: &Stop,
) -> Result<Vec<String>, StartError> {
    let mut peer_ids = vec![String::new(); nodes.len()];
    loop {
        let mut late = Vec::new();
        for (node, peer_id) in
            nodes.iter_mut().zip(&mut peer_ids).filter(|(_, known)| known.is_empty())
        {
            if let Some(exit) = node.exited() {
                return Err(exited(node, exit));
            }
            // Nodes that hang would hold up a stop by their timeouts.
            let ready = if stop.is_wanted() { Err(String::new()) } else { ready_as(node) };
            match ready {
                Ok(id) => *peer_id = id,
                Err(reason) => late.push((&*node, reason)),
            }
        }
        if late.is_empty() {
            return Ok(peer_ids);
        }
        if stop.is_wanted() {
            return Err(StartError::Stopped(
                late.iter().map(|(node, _)| node.name().to_owned()).collect(),
            ));
        }
        if began.elapsed() >= within {
            let late = late.into_iter().map(|(node, reason)| {
                let (node, log, tail) = (node.name().to_owned(), node.log(), node.log_tail());
                LateNode { node, reason, log, tail }
            });
            return Err(StartError::NotReady { within, nodes: late.collect() });
        }
        thread::sleep(READY_POLL);
    }
}

/// The peer id of a node that is ready, or why it is not.
fn ready_as(node: &NodeProcess) -> Result<String, String> {
    node.ready()?;
    let status = node.status().map_err(|err| error_chain(&err))?;
    if status.peer_id.is_empty() {
        Err("its status names no peer id".to_owned())
    } else {
        Ok(status.peer_id)
    }
}

fn exited(node: &NodeProcess, exit: Exit) -> StartError {
    // Its exit code says no more than "start failure".
    let port_taken = logs::tail(&node.log(), PORT_TAKEN_LINES).to_lowercase().contains("in use");
    StartError::Exited {
        node: node.name().to_owned(),
        exit,
        log: node.log(),
        tail: node.log_tail(),
        port_taken,
    }
}

/// The time that `nodes` nodes may take to be ready: a second each on a loaded machine, and no less than half a minute.
pub fn ready_deadline(nodes: usize) -> Duration {
    Duration::from_secs(30) + Duration::from_secs(1) * u32::try_from(nodes).unwrap_or(u32::MAX)
}
