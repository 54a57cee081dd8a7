//! Some of the nodes as K3s's servers from before the fix: `naive-node` processes, joined over K3s's path both ways.

mod judge;
mod split;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use unring_peer::Identity;

pub use self::judge::LegacyReport;
pub use self::split::{Split, SplitError, split};

pub(crate) use self::judge::{SUSPECTED_WITHIN, Seen, is_pending, judge};

use crate::baseline::process::NaiveProcess;
use crate::child::Exit;
use crate::cluster::{Cluster, Stop};
use crate::k3s::K3sFiles;
use crate::logs;
use crate::ports::NodePorts;

/// The most servers of K3s: each has an address of loopback to itself, of which the first is the cluster's.
pub const MAX_LEGACY: usize = 50;

/// Calls that one of them may have in flight, and in all: what happens here is no storm, and must stay none if it is.
const MAX_IN_FLIGHT: usize = 100;
const MAX_MESSAGES: u64 = 5_000;

/// The longest that they live: until the run ends, or whoever started them.
const LIFETIME: &str = "15min";

/// How long they may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

const READY_POLL: Duration = Duration::from_millis(50);

/// What to start.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// The `naive-node` program.
    pub program: PathBuf,
    /// Which of the nodes.
    pub split: Split,
}

/// Where servers of K3s listen, before they do.
#[derive(Clone, Debug)]
pub struct Places(Vec<NodePorts>);

/// Servers of K3s before the other nodes run: where they will listen is known, and who joins them.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) setup: Setup,
    pub(crate) places: Places,
}

impl Planned {
    /// Picks their ports and writes them into the configuration of the nodes.
    pub(crate) fn new(setup: &Setup) -> io::Result<Self> {
        let places = Places::pick(setup.split.legacy.len())?;
        let mut setup = setup.clone();
        configure(&mut setup.split, &places);
        Ok(Self { setup, places })
    }
}

/// Running servers of K3s. Dropping it kills them; they also end when this process does.
#[derive(Debug)]
pub(crate) struct Legacy {
    nodes: Vec<NaiveProcess>,
}

/// Why they did not start.
#[derive(Debug, thiserror::Error)]
pub enum LegacyError {
    /// The program cannot be run.
    #[error("cannot run {}", program.display())]
    Spawn {
        /// Which.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// One has ended.
    #[error("{node} ended before it was ready: {exit}; the end of its log:\n{tail}")]
    Exited {
        /// Which.
        node: String,
        /// How.
        exit: Exit,
        /// The end of its log.
        tail: String,
    },
    /// One was not ready in time.
    #[error("{0} is not ready after {READY_WITHIN:?}")]
    NotReady(String),
}

impl Places {
    /// Free ports for `count` servers, each on an address of its own: where nobody calls from, so that no outgoing
    /// connection takes one meanwhile.
    ///
    /// # Errors
    /// The machine has no port or file handle left.
    pub fn pick(count: usize) -> io::Result<Self> {
        let place = |ip: IpAddr| -> io::Result<NodePorts> {
            let held: Vec<_> =
                (0..3).map(|_| TcpListener::bind((ip, 0))).collect::<io::Result<_>>()?;
            let at = |index: usize| match held.get(index) {
                Some(listener) => listener.local_addr(),
                None => Err(io::Error::other("no port was picked")),
            };
            Ok(NodePorts { grpc: at(0)?, libp2p: at(1)?, admin: at(2)?, k3s: at(0)? })
        };
        Self::addresses(count).map(place).collect::<io::Result<_>>().map(Self)
    }

    /// The addresses of so many servers.
    pub fn addresses(count: usize) -> impl Iterator<Item = IpAddr> {
        let last = u8::try_from(count.min(MAX_LEGACY)).unwrap_or(0);
        (0..last).map(|index| Ipv4Addr::new(127, 0, 0, 2 + index).into())
    }

    fn at(&self, legacy: usize) -> Option<SocketAddr> {
        self.0.get(legacy).map(|ports| ports.k3s)
    }

    /// The URL of a server's path, without the path.
    pub fn url(&self, legacy: usize) -> Option<String> {
        self.at(legacy).map(|at| format!("https://{at}"))
    }
}

impl Legacy {
    /// Starts the servers of a split cluster, whose other nodes run already.
    ///
    /// # Errors
    /// One does not start or is not ready in time; then none is left running.
    pub(crate) fn start(
        planned: &Planned,
        cluster: &Cluster,
        stop: &Stop,
    ) -> Result<Self, LegacyError> {
        let Planned { setup, places } = planned;
        let split = &setup.split;
        let mut nodes = Vec::new();
        for ((legacy, name), own) in split.legacy.iter().enumerate().zip(&places.0) {
            let servers = split.servers(legacy).filter_map(|to| match to {
                split::Join::Unring(to) => Some(cluster.nodes().get(to)?.ports().k3s),
                split::Join::Legacy(to) => places.at(to),
            });
            let command = command(setup, name, own, servers, cluster.k3s());
            let node = NaiveProcess::start(cluster.dir().path(), name, *own, command);
            let program = || setup.program.clone();
            nodes.push(node.map_err(|source| LegacyError::Spawn { program: program(), source })?);
        }
        let mut legacy = Self { nodes };
        legacy.wait_until_ready(stop)?;
        Ok(legacy)
    }

    fn wait_until_ready(&mut self, stop: &Stop) -> Result<(), LegacyError> {
        let began = Instant::now();
        for node in &mut self.nodes {
            while !node.is_ready() && !stop.is_wanted() {
                if let Some(exit) = node.exited() {
                    let (node, tail) = (node.name().to_owned(), logs::tail(node.log(), 10));
                    return Err(LegacyError::Exited { node, exit, tail });
                }
                if began.elapsed() >= READY_WITHIN {
                    return Err(LegacyError::NotReady(node.name().to_owned()));
                }
                thread::sleep(READY_POLL);
            }
        }
        Ok(())
    }

    /// What each has sent so far, and whether it met a limit.
    pub(crate) fn look(&mut self) -> Vec<(u64, bool)> {
        self.nodes.iter_mut().map(|node| (node.refresh(), node.cost().capped)).collect()
    }
}

fn command(
    setup: &Setup,
    name: &str,
    own: &NodePorts,
    servers: impl Iterator<Item = SocketAddr>,
    files: &K3sFiles,
) -> Command {
    let (ip, port) = (own.libp2p.ip(), own.libp2p.port());
    let mut command = Command::new(&setup.program);
    command.args(["serve", "--name", name]);
    command.arg("--listen").arg(own.k3s.to_string());
    command.arg("--admin").arg(own.admin.to_string());
    // Nobody listens for libp2p there; it is an address to hand out.
    command
        .arg("--address")
        .arg(format!("/ip4/{ip}/tcp/{port}/p2p/{}", Identity::generate().peer_id()));
    command.arg("--tls").arg(files.dir()).args(["--token", files.token()]);
    for server in servers {
        command.arg("--server").arg(server.to_string());
    }
    command.arg("--max-in-flight").arg(MAX_IN_FLIGHT.to_string());
    command.arg("--max-messages").arg(MAX_MESSAGES.to_string());
    command.args(["--lifetime", LIFETIME]);
    command
}

/// The configuration that the nodes need to join their servers of K3s.
fn configure(split: &mut Split, places: &Places) {
    for (index, node) in split.unring.nodes.iter_mut().enumerate() {
        let joins = split.joins_of_unring.get(index).map(Vec::as_slice).unwrap_or_default();
        let urls: Vec<String> = joins.iter().filter_map(|&legacy| places.url(legacy)).collect();
        if !urls.is_empty() {
            let mut table = toml::Table::new();
            table.insert("servers".to_owned(), urls.into());
            node.config.insert("k3s".to_owned(), table.into());
        }
    }
}
