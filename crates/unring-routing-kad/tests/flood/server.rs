//! The node under attack, as a process of its own, and honest peers.

use std::collections::BTreeSet;
use std::env;
use std::fmt::{Display, Formatter};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libp2p_identity::{Keypair, PeerId};
use multiaddr::{Multiaddr, Protocol};
use unring_routing::{Key, LookupConfig, Router as _};
use unring_routing_kad::{
    Config, DEFAULT_MAX_CONNECTIONS, DialConfig, Handle, KadConfig, KadRouter, Limits, Network,
    WantedPeer,
};

const TOLD: &str = "UNRING_KAD_SERVER";
const HELD: &str = "held by one";

fn config() -> Config {
    let many = NonZeroUsize::new(256).unwrap();
    let lookup = LookupConfig {
        found_for: Duration::ZERO,
        missing_for: Duration::ZERO,
        cached: many,
        keys: many,
        callers_per_key: many,
    };
    let limits = Limits::new(DEFAULT_MAX_CONNECTIONS);
    Config {
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        external: vec![],
        agent_version: "test/1".to_owned(),
        limits,
        dial: DialConfig::for_limits(&limits),
        kad: Some(KadConfig::spegel(lookup)),
        network_key: None,
    }
}

/// The other half: this test program again, which serves until its input ends.
#[test]
fn serves_when_told_to() {
    if env::var_os(TOLD).is_none() {
        return;
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (network, handle, _) =
        runtime.block_on(Network::bind(Keypair::generate_ed25519(), config())).unwrap();
    let router = network.router().unwrap();
    runtime.spawn(network.run());
    println!("\nSERVER {} {}", handle.listen_addresses()[0], handle.peer_id());
    for line in std::io::stdin().lines() {
        let (kad, network) = (router.counters(), handle.counters());
        let counted = match line.unwrap().as_str() {
            "records_refused" => kad.records_refused,
            "requests_served" => kad.requests_served,
            "too_long" => kad.refused.too_long,
            "unreadable" => kad.refused.unreadable,
            "slow" => kad.refused.slow,
            "busy" => kad.refused.busy,
            "crowded" => kad.refused.crowded,
            "rate" => kad.refused.rate,
            "streams_refused" => network.streams_refused,
            "denied" => network.denied,
            "records" => kad.records as u64,
            other => panic!("{other}"),
        };
        println!("\nCOUNT {counted}");
    }
}

/// That process.
pub(crate) struct Server {
    process: Option<(Child, BufReader<ChildStdout>)>,
    pub(crate) socket: SocketAddr,
    address: Multiaddr,
    peer: PeerId,
    start_mib: f64,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.process {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn line(output: &mut BufReader<ChildStdout>, begin: &str) -> String {
    let mut line = String::new();
    while !line.starts_with(begin) {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "the server has ended");
    }
    line[begin.len()..].trim().to_owned()
}

impl Server {
    pub(crate) fn start() -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["server::serves_when_told_to", "--exact", "--nocapture"]);
        command.env(TOLD, "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let said = line(&mut output, "SERVER ");
        let (address, peer) = said.split_once(' ').unwrap();
        let address: Multiaddr = address.parse().unwrap();
        let mut server = Self::at((socket(&address), peer.parse().unwrap()));
        server.process = Some((child, output));
        server
    }

    /// Where it is, without the process.
    pub(crate) fn at((socket, peer): (SocketAddr, PeerId)) -> Self {
        let address = format!("/ip4/{}/tcp/{}", socket.ip(), socket.port()).parse().unwrap();
        Self { process: None, socket, address, peer, start_mib: 0.0 }
    }

    pub(crate) fn count(&mut self, counter: &str) -> u64 {
        let (child, output) = self.process.as_mut().unwrap();
        writeln!(child.stdin.as_mut().unwrap(), "{counter}").unwrap();
        line(output, "COUNT ").parse().unwrap()
    }

    /// What it takes now is what it starts with.
    pub(crate) fn settle(&mut self) {
        self.start_mib = self.rss_mib();
    }

    fn rss_mib(&self) -> f64 {
        let pid = self.process.as_ref().unwrap().0.id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib / 1024.0
    }

    pub(crate) fn grown_mib(&self) -> f64 {
        self.rss_mib() - self.start_mib
    }
}

fn socket(address: &Multiaddr) -> SocketAddr {
    let mut parts = address.iter();
    match (parts.next(), parts.next()) {
        (Some(Protocol::Ip4(ip)), Some(Protocol::Tcp(port))) => (ip, port).into(),
        other => panic!("{other:?}"),
    }
}

/// How an honest peer's look-ups went.
pub(crate) struct Times {
    took: Vec<Duration>,
    pub(crate) found: usize,
}

impl Display for Times {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let mut sorted = self.took.clone();
        sorted.sort_unstable();
        let at = |percent: usize| sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)];
        write!(
            f,
            "p50 {:.1?}, p99 {:.1?}, found {} of {}",
            at(50),
            at(99),
            self.found,
            self.took.len()
        )
    }
}

/// A peer that asks, and one that has something; they know each other through the server.
pub(crate) struct Honest {
    pub(crate) asker: Arc<KadRouter>,
    pub(crate) server: (SocketAddr, PeerId),
    provider: PeerId,
    _handles: [Handle; 2],
}

impl Honest {
    pub(crate) async fn start(server: &Server) -> Self {
        let start = async || {
            let (network, handle, _) =
                Network::bind(Keypair::generate_ed25519(), config()).await.unwrap();
            let (peer, addresses) = (server.peer, vec![server.address.clone()]);
            handle.set_peers(vec![WantedPeer { peer, addresses, hearsay: false }]);
            let router = network.router().unwrap();
            tokio::spawn(network.run());
            (router, handle)
        };
        let ((provider, first), (asker, second)) = (start().await, start().await);
        provider.advertise(&[Key::new(HELD)]).unwrap();
        let wanted = BTreeSet::from([first.peer_id()]);
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let found = asker.lookup(Key::new(HELD)).await;
            let found = found.map(|found| found.all().iter().map(|one| one.peer).collect());
            if found.is_ok_and(|found: BTreeSet<_>| found == wanted) {
                break;
            }
            assert!(Instant::now() < deadline, "the provider is found");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (server, provider) = ((server.socket, server.peer), first.peer_id());
        Self { asker, server, provider, _handles: [first, second] }
    }

    async fn look_up(&self, times: &mut Times) {
        let began = Instant::now();
        let found = self.asker.lookup(Key::new(HELD)).await;
        times.took.push(began.elapsed());
        let found =
            found.is_ok_and(|found| found.all().iter().any(|one| one.peer == self.provider));
        times.found += usize::from(found);
    }

    pub(crate) async fn look_ups(&self, count: usize) -> Times {
        let mut times = Times { took: Vec::new(), found: 0 };
        for _ in 0..count {
            self.look_up(&mut times).await;
        }
        times
    }

    pub(crate) async fn look_up_until(&self, over: &AtomicBool) -> Times {
        let mut times = Times { took: Vec::new(), found: 0 };
        while !over.load(Ordering::Relaxed) || times.took.is_empty() {
            self.look_up(&mut times).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        times
    }
}
