//! A node: its folder, its configuration and its process.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use toml::Table;

use crate::child::{ChildGuard, Exit};
use crate::dir::NODE_CONFIG;
use crate::http;
use crate::logs;
use crate::ports::NodePorts;
use crate::statusz::{self, Page, Statusz, StatuszError};

/// How long a node may take to answer on its admin endpoint. It shares two cores with up to forty others.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// How many lines of its log a failure shows.
const TAIL_LINES: usize = 10;

/// A node, running or not. Dropping it kills the process.
#[derive(Debug)]
pub struct NodeProcess {
    name: String,
    unring: PathBuf,
    dir: PathBuf,
    ports: NodePorts,
    config: Table,
    /// The network namespace that it runs in, where it is not the caller's.
    namespace: Option<String>,
    child: Option<ChildGuard>,
}

/// Why a node was not started.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// One of its files cannot be written.
    #[error("cannot write {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its program cannot be run.
    #[error("cannot run {}", path.display())]
    Spawn {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The configuration cannot be written as TOML.
    #[error("its configuration cannot be written")]
    Config(#[from] toml::ser::Error),
}

impl NodeProcess {
    /// A node that is not running yet. `dir` is its own folder; `config` is what [`crate::node_config::build`] made.
    pub fn new(unring: &Path, dir: &Path, name: &str, ports: NodePorts, config: Table) -> Self {
        let (unring, dir, name) = (unring.to_owned(), dir.to_owned(), name.to_owned());
        Self { name, unring, dir, ports, config, namespace: None, child: None }
    }

    /// Its data directory below its folder.
    pub fn data_dir(dir: &Path) -> PathBuf {
        dir.join("data")
    }

    /// Has it run in the network namespace of this name, from the next start.
    pub fn enter(&mut self, namespace: &str) {
        self.namespace = Some(namespace.to_owned());
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    pub fn ports(&self) -> &NodePorts {
        &self.ports
    }

    /// Its process id, while it was started and not yet seen to end.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(ChildGuard::pid)
    }

    /// Its log: everything that all its processes wrote.
    pub fn log(&self) -> PathBuf {
        self.dir.join("unring.log")
    }

    /// The last lines of its log, for people.
    pub fn log_tail(&self) -> String {
        logs::tail(&self.log(), TAIL_LINES)
    }

    /// The URL of its status page.
    pub fn statusz_url(&self) -> String {
        format!("http://{}/statusz", self.ports.admin)
    }

    /// Its configuration; a change holds from the next start.
    pub fn config_mut(&mut self) -> &mut Table {
        &mut self.config
    }

    /// Writes its configuration and starts its process. One that runs is killed first.
    ///
    /// # Errors
    /// A file cannot be written or the program cannot be run.
    pub fn start(&mut self) -> Result<(), NodeError> {
        self.child = None;
        let config = self.dir.join(NODE_CONFIG);
        let file = |path: &Path| {
            let path = path.to_owned();
            move |source| NodeError::File { path, source }
        };
        fs::create_dir_all(&self.dir).map_err(file(&self.dir))?;
        fs::write(&config, toml::to_string(&self.config)?).map_err(file(&config))?;
        let log = self.log();
        let stderr = File::options().create(true).append(true).open(&log).map_err(file(&log))?;
        let stdout = stderr.try_clone().map_err(file(&log))?;
        let mut command = match &self.namespace {
            None => Command::new(&self.unring),
            Some(namespace) => {
                // It becomes the program, so the process id is that of the node.
                let mut ip = Command::new("ip");
                ip.args(["netns", "exec", namespace]).arg(&self.unring);
                ip
            }
        };
        command.args([OsStr::new("serve"), OsStr::new("--config"), config.as_os_str()]);
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        without_unring_variables(&mut command);
        let child = ChildGuard::spawn(&mut command);
        self.child =
            Some(child.map_err(|source| NodeError::Spawn { path: self.unring.clone(), source })?);
        Ok(())
    }

    /// How its process ended; `None` while it runs or was never started.
    pub fn exited(&mut self) -> Option<Exit> {
        self.child.as_mut().and_then(ChildGuard::exited)
    }

    /// Whether it is ready.
    ///
    /// # Errors
    /// Why not, for people: its own reason, or that it does not answer.
    pub fn ready(&self) -> Result<(), String> {
        match http::get(self.ports.admin, "/readyz", ANSWER_TIMEOUT) {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(String::from_utf8_lossy(&answer.body).trim().to_owned()),
            Err(err) => Err(crate::error_chain(&err)),
        }
    }

    /// Its account of itself.
    ///
    /// # Errors
    /// It does not answer within two seconds, or not as it should.
    pub fn status(&self) -> Result<Statusz, StatuszError> {
        self.status_page().map(|page| page.status)
    }

    /// Its account of itself, with the bytes of it.
    ///
    /// # Errors
    /// It does not answer within two seconds, or not as it should.
    pub fn status_page(&self) -> Result<Page, StatuszError> {
        statusz::read(self.ports.admin, ANSWER_TIMEOUT)
    }

    /// Where the last status of a run is kept.
    pub fn status_file(&self) -> PathBuf {
        self.dir.join("statusz.json")
    }

    /// Asks its process to end (SIGTERM).
    pub fn terminate(&mut self) {
        if let Some(child) = &mut self.child {
            child.terminate();
        }
    }

    /// Waits for the end of its process until `deadline`, then kills it. `None` if it was never started.
    ///
    /// # Errors
    /// The kernel does not let it be waited for.
    pub fn wait_until(&mut self, deadline: Instant) -> io::Result<Option<Exit>> {
        self.child.as_mut().map(|child| child.wait_until(deadline)).transpose()
    }

    /// Kills its process without warning (SIGKILL), as a crash of the machine would.
    ///
    /// # Errors
    /// The kernel does not let it be waited for.
    pub fn kill(&mut self) -> io::Result<Option<Exit>> {
        self.child.as_mut().map(|child| child.kill(false)).transpose()
    }
}

/// A node takes `UNRING_*` before its file: the cluster's own values would not hold in a shell that has some set.
pub(crate) fn without_unring_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"UNRING_") {
            command.env_remove(name);
        }
    }
}
