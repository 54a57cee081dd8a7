//! A whole node in this process: everything but its command line and its signals.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use dev_cluster::http;
use tempfile::TempDir;
use tokio::sync::oneshot;
use unring_node::Node;
use unring_node::config::{Config, Settings};
use unring_node::log::LogCounters;
use unring_peer::GrpcUrl;

/// The name of the threads that its P2P work runs on.
pub(crate) const THREAD: &str = "p2p";

/// Time to take in every record of a book.
const FILLED_WITHIN: Duration = Duration::from_secs(60);

/// Time for one page of its metrics.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A node that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) grpc: SocketAddr,
    admin: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
    _data: TempDir,
}

impl Running {
    /// Starts a node on loopback, in plaintext, with all the CPU that its one thread can use.
    pub(crate) fn start(upstreams: &[GrpcUrl], book_capacity: usize) -> Result<Self> {
        let data = tempfile::tempdir().context("make a folder for a node")?;
        let file = data.path().join("unring.toml");
        let (upstreams, folder) = (urls(upstreams), data.path().display());
        let text = format!(
            r#"
            name = "measured"
            data_dir = "{folder}"
            upstreams = [{upstreams}]
            listen.grpc = "127.0.0.1:0"
            listen.grpc_plaintext = true
            listen.libp2p = ["/ip4/127.0.0.1/tcp/0"]
            listen.admin = "127.0.0.1:0"
            limits.cpu_budget_percent = 100
            limits.ignore_machine_pressure = true
            limits.book_capacity = {book_capacity}
            limits.max_grpc_connections = 1100
            limits.requests_per_second = 1000000
            timing.drain_deadline = "0s"
            "#
        );
        std::fs::write(&file, text).context("write a configuration")?;
        let mut settings = Settings::default();
        settings.add_file(&file)?;
        let config = Config::read(&settings, None)?;
        let node = Node::build(config, Arc::new(LogCounters::default()))?;
        let (grpc, admin) = (node.grpc_address(), node.admin_address());
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            // A sender that is gone stops it as well.
            runtime.block_on(node.run(async { drop(stopped.await) }))?;
            Ok(())
        });
        Ok(Self { grpc, admin, stop: Some(stop), thread: Some(thread), _data: data })
    }

    /// Waits until it knows so many peers.
    #[expect(clippy::cast_precision_loss, reason = "a number of peers")]
    pub(crate) fn wait_for_peers(&self, wanted: usize) -> Result<()> {
        let started = Instant::now();
        loop {
            let known = self.metric("unring_peers_known")?;
            if known >= wanted as f64 {
                return Ok(());
            }
            ensure!(started.elapsed() < FILLED_WITHIN, "the node knows {known} of {wanted} peers");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// One number of its metrics page.
    pub(crate) fn metric(&self, name: &str) -> Result<f64> {
        let page = http::get(self.admin, "/metrics", ANSWER_WITHIN)?;
        let page = String::from_utf8(page.body).context("read the metrics")?;
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let number = line.with_context(|| format!("there is no metric {name}"))?;
        number.trim().parse().with_context(|| format!("{name} is {number}"))
    }

    /// Stops it and says how it ended.
    pub(crate) fn stop(mut self) -> Result<()> {
        drop(self.stop.take());
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            _ => Err(anyhow!("the node panicked")),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        // How it ended is of no interest to whoever drops it.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn urls(urls: &[GrpcUrl]) -> String {
    urls.iter().map(|url| format!("{:?}", url.as_str())).collect::<Vec<_>>().join(", ")
}
