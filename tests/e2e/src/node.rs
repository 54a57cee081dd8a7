//! One node: its folder, its process, what it says.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dev_cluster::child::Exit;
use dev_cluster::dir::NODE_CONFIG;
use dev_cluster::node_config;
use dev_cluster::node_process::NodeProcess;
use dev_cluster::ports::NodePorts;
use dev_cluster::topology::NodeSpec;
use dev_cluster::{error_chain, usage};
use rustix::process::{Pid, Signal, kill_process};
use toml::{Table, Value};

use crate::admin;
use crate::binary::unring;
use crate::log::{self, Line};
use crate::ports;
use crate::status::Status;
use crate::wait::{PATIENCE, eventually};

/// A node, running or not. Dropped, its process is killed.
#[derive(Debug)]
pub struct Node {
    process: NodeProcess,
    dir: PathBuf,
}

impl Node {
    /// A node that is not running yet and joins nobody.
    pub(crate) fn new(parent: &Path, name: &str) -> Self {
        let (dir, ports) = (parent.join(name), ports::pick());
        std::fs::create_dir_all(&dir).unwrap();
        let config = config(name, &NodeProcess::data_dir(&dir), &ports);
        let process = NodeProcess::new(unring(), &dir, name, ports, config);
        Self { process, dir }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.process.name()
    }

    /// Where its identity and database are.
    pub fn data_dir(&self) -> PathBuf {
        NodeProcess::data_dir(&self.dir)
    }

    /// Where it listens.
    pub fn ports(&self) -> &NodePorts {
        self.process.ports()
    }

    /// Where others join it.
    pub fn url(&self) -> String {
        format!("https://{}", self.ports().grpc)
    }

    /// What it joins from its next start or reload on.
    pub fn join(&mut self, urls: impl IntoIterator<Item = String>) {
        let urls: Vec<String> = urls.into_iter().collect();
        self.process.config_mut().insert("upstreams".into(), urls.into());
    }

    /// Sets a key of its configuration, as of its next start.
    pub fn set(&mut self, table: &str, key: &str, value: impl Into<Value>) {
        let entry = self.process.config_mut().entry(table).or_insert_with(|| Table::new().into());
        entry.as_table_mut().unwrap().insert(key.into(), value.into());
    }

    /// Takes a key out of its configuration, as of its next start.
    pub fn unset(&mut self, table: &str, key: &str) {
        let table = self.process.config_mut().get_mut(table).and_then(Value::as_table_mut);
        table.unwrap().remove(key);
    }

    /// Moves its gRPC service to a port of the system's choice that nobody is told of, as of its next start.
    pub fn hide_grpc(&mut self) {
        self.set("listen", "grpc", "127.0.0.1:0");
        self.set("advertise", "grpc", "https://127.0.0.1:1");
    }

    /// Starts its process.
    pub fn start(&mut self) {
        self.process.start().unwrap();
    }

    /// Waits until it says that it is ready; its status then.
    pub fn ready(&mut self) -> Status {
        eventually(&format!("{} is ready", self.name()), || {
            if let Some(exit) = self.process.exited() {
                panic!("{} ended with {exit}:\n{}", self.name(), self.process.log_tail());
            }
            self.process.ready()?;
            self.status()
        })
    }

    /// Its status page now.
    ///
    /// # Errors
    /// It does not answer within two seconds, or not as it should.
    pub fn status(&self) -> Result<Status, String> {
        let page = self.process.status_page().map_err(|error| error_chain(&error))?;
        serde_json::from_slice(&page.json).map_err(|error| error.to_string())
    }

    /// Waits until it knows and is connected to each of these peer ids.
    pub fn connected_to(&self, peers: &BTreeSet<String>) -> Status {
        eventually(&format!("{} is connected to all others", self.name()), || {
            let status = self.status()?;
            for peer in peers {
                if !status.peer(peer)?.connected || !status.libp2p.connected_peers.contains(peer) {
                    return Err(format!("{} is not connected to {peer}", self.name()));
                }
            }
            Ok(status)
        })
    }

    /// Waits until its process has run this long.
    pub fn has_run_for(&self, time: Duration) -> Status {
        eventually(&format!("{} has run for {time:?}", self.name()), || {
            let status = self.status()?;
            let late = Duration::from_secs_f64(status.uptime_s) >= time;
            if late { Ok(status) } else { Err(format!("{} s", status.uptime_s)) }
        })
    }

    /// Every line of its log, over all its processes.
    pub fn log(&self) -> Vec<Line> {
        log::read(&self.process.log())
    }

    /// The lines with this event.
    pub fn events(&self, event: &str) -> Vec<Line> {
        self.log().into_iter().filter(|line| line.event() == event).collect()
    }

    /// The lines of level WARN about rings.
    pub fn ring_warnings(&self) -> Vec<Line> {
        let mut lines = self.log();
        lines.retain(|line| line.level == "WARN" && line.event().starts_with("ring_"));
        lines
    }

    /// Waits for a line with this event.
    pub fn says(&self, event: &str) -> Line {
        eventually(&format!("{} says {event}", self.name()), || {
            self.events(event).pop().ok_or_else(|| self.process.log_tail())
        })
    }

    /// The counter or gauge `unring_NAME` now.
    ///
    /// # Errors
    /// It does not answer, or serves no such metric.
    pub fn metric(&self, name: &str) -> Result<f64, String> {
        let metrics = admin::get(self.ports().admin, "/metrics")?;
        admin::metric(&metrics, &format!("unring_{name}")).ok_or_else(|| format!("no {name}"))
    }

    /// Everything that it has told anybody: its log, metrics and status page.
    pub fn all_that_it_says(&self) -> String {
        let pages = ["/metrics", "/statusz", "/topology?format=json"];
        let pages = pages.map(|path| admin::get(self.ports().admin, path).unwrap());
        std::fs::read_to_string(self.process.log()).unwrap() + &pages.concat()
    }

    /// Writes a file of mode 0600 into its folder, in place of one that is there; its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let file = self.dir.join(name);
        let beside = self.dir.join(format!("{name}.new"));
        std::fs::write(&beside, text).unwrap();
        std::fs::set_permissions(&beside, Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(&beside, &file).unwrap();
        file.display().to_string()
    }

    /// Its resident memory.
    pub fn rss_mib(&self) -> f64 {
        usage::read(self.process.pid().unwrap()).unwrap().rss_mib
    }

    /// Kills it as a crash of the machine would (SIGKILL).
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
    }

    /// Asks it to end (SIGTERM), waits for that, and says how it ended and after how long.
    pub fn stop(&mut self) -> (Exit, Duration) {
        let asked = Instant::now();
        self.process.terminate();
        let exit = self.process.wait_until(asked + PATIENCE).unwrap().unwrap();
        (exit, asked.elapsed())
    }

    /// Stops it and starts it again.
    pub fn restart(&mut self) -> Status {
        let (exit, _) = self.stop();
        assert!(exit.status.success() && !exit.forced, "{} ended with {exit}", self.name());
        self.start();
        self.ready()
    }

    /// Writes its configuration and has it read again (SIGHUP).
    pub fn reload(&mut self) {
        let text = toml::to_string(self.process.config_mut()).unwrap();
        self.reload_text(&text);
    }

    /// Writes this as its configuration and has it read again (SIGHUP).
    pub fn reload_text(&mut self, text: &str) {
        std::fs::write(self.dir.join(NODE_CONFIG), text).unwrap();
        assert_eq!(self.process.exited(), None, "{} has ended", self.name());
        let pid = i32::try_from(self.process.pid().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::HUP).unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut log = dev_cluster::logs::tail(&self.process.log(), 40);
            log.truncate(log.char_indices().nth(20_000).map_or(log.len(), |(at, _)| at));
            #[expect(clippy::print_stderr, reason = "shown with the failure of the test")]
            {
                eprintln!("--- {}\n{log}", self.name());
            }
        }
    }
}

fn config(name: &str, data_dir: &Path, ports: &NodePorts) -> Table {
    // Nodes are built for debugging, which costs several times the CPU.
    // What else the machine does must not decide a test.
    let limits = [("cpu_budget_percent", 100.into()), ("ignore_machine_pressure", true.into())];
    let limits = Table::from_iter(limits.map(|(key, value)| (key.to_owned(), value)));
    let config = Table::from_iter([("limits".to_owned(), limits.into())]);
    let spec = NodeSpec { name: name.to_owned(), upstreams: Vec::new(), config };
    node_config::build(&spec, ports, Vec::new(), data_dir)
}
