//! Twenty nodes of unring in this process.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use tokio::runtime::{Builder, Runtime};
use unring_peer::Identity;
use unring_routing::{Key, LookupConfig, Router as _};
use unring_routing_kad::{
    Config, DialConfig, Handle, KadConfig, KadCounters, KadRouter, Limits, Network, WantedPeer,
};

/// Of all intervals: 30 min of re-providing are 30 s.
pub(super) const SCALE: u32 = 60;

/// One of them.
pub(super) struct Node {
    pub(super) handle: Handle,
    pub(super) router: Arc<KadRouter>,
}

/// All of them: the first on a thread of its own, whose CPU time is that of telling, the others on another.
pub(super) struct Nodes {
    pub(super) all: Vec<Node>,
    runtimes: [Runtime; 2],
}

/// Names of the threads.
pub(super) const THREADS: [&str; 2] = ["dht-teller", "dht-others"];

fn config() -> Result<Config> {
    let many = NonZeroUsize::new(4096).context("4096 is not 0")?;
    let lookup = LookupConfig {
        // What is asked twice is asked anew.
        found_for: Duration::ZERO,
        missing_for: Duration::ZERO,
        cached: many,
        keys: many,
        callers_per_key: many,
    };
    let mut kad = KadConfig::spegel(lookup);
    kad.reprovide_interval /= SCALE;
    kad.refresh_interval /= SCALE;
    kad.store.validity /= SCALE;
    let limits = Limits::new(64);
    Ok(Config {
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse()?],
        external: vec![],
        agent_version: "unring-bench".to_owned(),
        limits,
        dial: DialConfig::for_limits(&limits),
        kad: Some(kad),
        network_key: None,
    })
}

impl Nodes {
    /// Starts them; all join the first.
    pub(super) fn start(count: usize) -> Result<Self> {
        let runtime = |name| {
            Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build()
        };
        let runtimes = [runtime(THREADS[0])?, runtime(THREADS[1])?];
        let mut all: Vec<Node> = Vec::new();
        for n in 0..count {
            let runtime = &runtimes[n.min(1)];
            let keypair = Identity::generate().keypair().clone();
            let (network, handle, _) = runtime.block_on(Network::bind(keypair, config()?))?;
            let router = network.router().context("it takes part in Kademlia")?;
            if let Some(first) = all.first() {
                let addresses = first.handle.listen_addresses();
                let peer = first.handle.peer_id();
                handle.set_peers(vec![WantedPeer { peer, addresses, hearsay: false }]);
            }
            runtime.spawn(network.run());
            all.push(Node { handle, router });
        }
        Ok(Self { all, runtimes })
    }

    /// Where the first one is.
    pub(super) fn first_address(&self) -> Result<String> {
        let first = self.all.first().context("there is one")?;
        let address = first.handle.listen_addresses().first().context("it listens")?.to_string();
        Ok(format!("{address}/p2p/{}", first.handle.peer_id()))
    }

    pub(super) fn advertise(&self, node: usize, keys: &[String]) -> Result<()> {
        let keys: Vec<Key> = keys.iter().map(|key| Key::new(key)).collect();
        Ok(self.all[node].router.advertise(&keys)?)
    }

    /// What all of them counted, summed up.
    pub(super) fn counters(&self) -> KadCounters {
        let mut sum = KadCounters::default();
        for node in &self.all {
            let counters = node.router.counters();
            sum.lookup_requests += counters.lookup_requests;
            sum.lookups += counters.lookups;
            sum.records_refused += counters.records_refused;
        }
        sum
    }

    /// Looks all up, a node at a time each: how long each look-up took and whether it found anybody.
    pub(super) fn look_up(&self, lookups: Vec<(usize, String)>) -> Vec<(Duration, bool)> {
        let each = lookups.into_iter().map(|(node, key)| {
            let router = Arc::clone(&self.all[node].router);
            async move {
                let began = Instant::now();
                let found = router.lookup(Key::new(&key)).await;
                (began.elapsed(), found.is_ok_and(|found| !found.is_empty()))
            }
        });
        let all = futures::stream::iter(each).buffer_unordered(4).collect::<Vec<_>>();
        self.runtimes[1].block_on(all)
    }
}

/// Waits until `reached` or the deadline.
pub(super) fn until(
    what: &str,
    deadline: Duration,
    mut reached: impl FnMut() -> Result<bool>,
) -> Result<Duration> {
    let began = Instant::now();
    while !reached()? {
        ensure!(began.elapsed() < deadline, "not within {deadline:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(began.elapsed())
}
