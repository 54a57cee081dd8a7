//! Nodes without loop protection in the same topology, to compare with: `naive-node` processes.

mod cost;
pub(crate) mod process;

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub use cost::{BaselineReport, Cost};
use unring_peer::Identity;

use crate::child::{ChildGuard, Exit};
use crate::cluster::Stop;
use crate::logs;
use crate::ports::{self, NodePorts};
use crate::topology::{Topology, Upstream};
use process::NaiveProcess;

/// Calls in flight of a whole run: each is a connection with TLS on both sides, about 100 KiB here.
pub const MAX_IN_FLIGHT: usize = 2_000;

/// Calls of a whole run, or ports of loopback run out for whoever else uses it.
pub const MAX_MESSAGES: u64 = 100_000;

/// The longest run: load is bounded in time as well.
pub const MAX_RUN: Duration = Duration::from_secs(10 * 60);

/// The most triggers of a run: they are in flight too.
pub const MAX_TRIGGERS: usize = 200;

/// How long a process may live beyond the run that it is for: starting and ending two hundred of them.
const LIFETIME_MARGIN: Duration = Duration::from_secs(60);

/// How long the processes may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

const READY_POLL: Duration = Duration::from_millis(50);

/// How long the making of a key pair may take.
const CERTS_WITHIN: Duration = Duration::from_secs(10);

/// How often a start is tried when a port was taken in the meantime.
const START_ATTEMPTS: usize = 3;

/// Below the cluster's folder; no name of a node has an underscore.
const FOLDER: &str = "baseline_naive";

/// The stand-in for the node list of Kubernetes. It also says that the folder is ours.
const NODE_LIST: &str = "nodes";

/// What to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The `naive-node` program.
    pub program: PathBuf,
    /// As fixed: so many requests at once, the first source wins. Node lists are empty then, as at a cold start, because
    /// with a node list the fixed one asks nobody.
    pub cap: Option<NonZeroUsize>,
    /// Whether each node bootstraps once at the start, as K3s does.
    pub bootstrap: bool,
    /// How many requests from outside are to come, at most [`MAX_TRIGGERS`]: they count against the limits of the run.
    pub triggers: usize,
}

/// Running naive nodes. Dropping it kills them; they also end when this process does.
#[derive(Debug)]
pub struct Baseline {
    setup: Setup,
    dir: PathBuf,
    nodes: Vec<NaiveProcess>,
    /// Requests from outside that are still allowed, and who has sent some.
    triggers_left: usize,
    triggers: Vec<ChildGuard>,
}

/// Why there is no baseline.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// A file or folder.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A folder of that name is somebody else's.
    #[error("{} is not the folder of a baseline: move it away", .0.display())]
    Foreign(PathBuf),
    /// No ports.
    #[error("no free ports on loopback")]
    Ports(#[source] io::Error),
    /// The program cannot be run.
    #[error("cannot run {}", program.display())]
    Spawn {
        /// Which.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It wrote no key pair.
    #[error("`naive-node certs` wrote no key pair: {0}")]
    Certs(Exit),
    /// A node has ended.
    #[error("{node} ended before it was ready: {exit}; the end of its log:\n{tail}")]
    Exited {
        /// Which.
        node: String,
        /// How.
        exit: Exit,
        /// The end of its log.
        tail: String,
    },
    /// Nodes were not ready in time.
    #[error("{0} is not ready after {READY_WITHIN:?}")]
    NotReady(String),
    /// It was asked to stop.
    #[error("stopped before all were ready")]
    Stopped,
}

impl Baseline {
    /// Starts a naive node for each of the topology, below the cluster's folder, and waits until all are ready. Joins to
    /// a URL are left out: where they lead is not known.
    ///
    /// # Errors
    /// A process does not start or is not ready in time; then none is left running.
    pub fn start(
        cluster: &Path,
        setup: &Setup,
        topology: &Topology,
        run: Duration,
        stop: &Stop,
    ) -> Result<Self, BaselineError> {
        let dir = cluster.join(FOLDER);
        let mut attempt = 1;
        loop {
            match Self::start_once(&dir, setup, topology, run, stop) {
                Err(BaselineError::Exited { tail, .. })
                    if attempt < START_ATTEMPTS && tail.contains("in use") =>
                {
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    fn start_once(
        dir: &Path,
        setup: &Setup,
        topology: &Topology,
        run: Duration,
        stop: &Stop,
    ) -> Result<Self, BaselineError> {
        let count = topology.nodes.len();
        let ports = ports::pick(count).map_err(BaselineError::Ports)?;
        fresh_folder(dir)?;
        let addresses: Vec<String> = ports.iter().map(address).collect();
        let list = topology.nodes.iter().zip(&addresses);
        let list: String =
            list.map(|(node, address)| format!("{} {address}\n", node.name)).collect();
        let file = dir.join(NODE_LIST);
        fs::write(&file, list).map_err(failed(&file))?;
        certs(setup, dir)?;
        let mut baseline = Self {
            setup: setup.clone(),
            dir: dir.to_owned(),
            nodes: Vec::new(),
            triggers_left: setup.triggers.min(MAX_TRIGGERS),
            triggers: Vec::new(),
        };
        for ((index, spec), own) in topology.nodes.iter().enumerate().zip(&ports) {
            let mut command = Command::new(&setup.program);
            command.args(["serve", "--name", &spec.name]);
            command.arg("--listen").arg(own.grpc.to_string());
            command.arg("--admin").arg(own.admin.to_string());
            command.arg("--address").args(addresses.get(index));
            command.arg("--tls").arg(dir.join("tls"));
            for server in servers(topology, index, &ports) {
                command.arg("--server").arg(server.to_string());
            }
            match setup.cap {
                Some(cap) => command.arg("--cap").arg(cap.to_string()),
                None => command.arg("--nodes").arg(&file),
            };
            if !setup.bootstrap {
                command.arg("--no-bootstrap");
            }
            let (in_flight, messages) = share(count, setup.triggers);
            command.arg("--max-in-flight").arg(in_flight.to_string());
            command.arg("--max-messages").arg(messages.to_string());
            let lifetime = run.min(MAX_RUN) + LIFETIME_MARGIN;
            command.arg("--lifetime").arg(format!("{}s", lifetime.as_secs()));
            let node = NaiveProcess::start(dir, &spec.name, *own, command);
            baseline.nodes.push(node.map_err(|source| BaselineError::Spawn {
                program: setup.program.clone(),
                source,
            })?);
        }
        baseline.wait_until_ready(stop)?;
        Ok(baseline)
    }

    fn wait_until_ready(&mut self, stop: &Stop) -> Result<(), BaselineError> {
        let began = Instant::now();
        for node in &mut self.nodes {
            while !node.is_ready() {
                if stop.is_wanted() {
                    return Err(BaselineError::Stopped);
                }
                if let Some(exit) = node.exited() {
                    let (node, tail) = (node.name().to_owned(), logs::tail(node.log(), 10));
                    return Err(BaselineError::Exited { node, exit, tail });
                }
                if began.elapsed() >= READY_WITHIN {
                    return Err(BaselineError::NotReady(node.name().to_owned()));
                }
                thread::sleep(READY_POLL);
            }
        }
        Ok(())
    }

    /// Sends one request to each of these nodes, all at once, without waiting for answers: in a ring there are none.
    /// Whoever asks gives up after 10 s, as K3s does.
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn trigger(&mut self, nodes: impl IntoIterator<Item = usize>) -> io::Result<()> {
        let nodes = nodes.into_iter().take(self.triggers_left);
        let at: Vec<String> =
            nodes.filter_map(|node| Some(self.nodes.get(node)?.ports().grpc.to_string())).collect();
        if at.is_empty() {
            return Ok(());
        }
        self.triggers_left -= at.len();
        let log = File::options().create(true).append(true).open(self.dir.join("triggers.log"))?;
        let mut command = Command::new(&self.setup.program);
        command.arg("get").arg("--tls").arg(self.dir.join("tls")).args(at);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.triggers.push(ChildGuard::spawn(&mut command)?);
        Ok(())
    }

    /// Where their logs are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The messages that all have sent so far.
    pub fn messages(&mut self) -> u64 {
        self.nodes.iter_mut().map(NaiveProcess::refresh).sum()
    }

    /// What all have cost so far. Lines of logs are read from the files, CPU and memory from `/proc`, as for `unring`.
    pub fn look(&mut self) -> Cost {
        self.messages();
        self.nodes.iter().map(NaiveProcess::cost).sum()
    }

    /// Ends all and says what they have cost.
    pub fn stop(mut self) -> Cost {
        let cost = self.look();
        // Dropped, they are killed one by one, by their own process ids.
        drop(self);
        cost
    }
}

/// What one of `nodes` processes may do of what the run may, with so many triggers.
fn share(nodes: usize, triggers: usize) -> (usize, u64) {
    let triggers = triggers.min(MAX_TRIGGERS);
    let nodes = nodes.max(1);
    let in_flight = ((MAX_IN_FLIGHT - triggers) / nodes).max(1);
    let triggers = u64::try_from(triggers).unwrap_or(u64::MAX);
    let messages = (MAX_MESSAGES - triggers) / u64::try_from(nodes).unwrap_or(u64::MAX);
    (in_flight, messages)
}

fn servers(topology: &Topology, index: usize, ports: &[NodePorts]) -> Vec<SocketAddr> {
    let upstreams = topology.nodes.get(index).map(|node| node.upstreams.as_slice());
    let at = |upstream: &Upstream| match upstream {
        Upstream::Node(to) => Some(ports.get(*to)?.grpc),
        Upstream::Url(_) => None,
    };
    upstreams.unwrap_or_default().iter().filter_map(at).collect()
}

/// Nobody listens for libp2p there; it is an address to hand out.
fn address(ports: &NodePorts) -> String {
    let (ip, port) = (ports.libp2p.ip(), ports.libp2p.port());
    format!("/ip4/{ip}/tcp/{port}/p2p/{}", Identity::generate().peer_id())
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> BaselineError {
    let path = path.to_owned();
    move |source| BaselineError::File { path, source }
}

fn fresh_folder(dir: &Path) -> Result<(), BaselineError> {
    if dir.exists() {
        if !dir.join(NODE_LIST).is_file() {
            return Err(BaselineError::Foreign(dir.to_owned()));
        }
        fs::remove_dir_all(dir).map_err(failed(dir))?;
    }
    fs::create_dir_all(dir).map_err(failed(dir))
}

fn certs(setup: &Setup, dir: &Path) -> Result<(), BaselineError> {
    let spawn = |source| BaselineError::Spawn { program: setup.program.clone(), source };
    let log = dir.join("certs.log");
    let log = File::create(&log).map_err(failed(&log))?;
    let mut command = Command::new(&setup.program);
    command.arg("certs").arg("--out").arg(dir.join("tls"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut child = ChildGuard::spawn(&mut command).map_err(spawn)?;
    let exit = child.wait_until(Instant::now() + CERTS_WITHIN).map_err(spawn)?;
    if exit.status.success() { Ok(()) } else { Err(BaselineError::Certs(exit)) }
}

#[cfg(test)]
mod tests;
