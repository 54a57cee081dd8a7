//! Attacks with real processes: refused with a reason, counted, bounded in memory, and of no cost to others.

use std::env;
use std::fmt::{Display, Formatter};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use unring_e2e::{Caller, Cluster, Node, ask, eventually, runs_in_full};
use unring_exchange::{OutboundRequest, RequestId, Scope, Trace};
use unring_peer::UnixMillis;
use unring_peer_addr::{CallError, Client};

const ASK: Duration = Duration::from_secs(10);

/// Between two requests of an honest caller.
const PAUSE: Duration = Duration::from_millis(10);

/// What a process under attack may grow by.
const MOST_GROWTH_MIB: f64 = 20.0;

/// Processes that attack, and connections that each of them opens: below the limit on open files of most systems.
const ATTACKERS: usize = 4;
const HALF_OPEN: usize = 2500;

/// Tells the test that holds connections where to.
const TARGET: &str = "UNRING_E2E_HALF_OPEN";

/// Requests of a flood at most, and for how long.
const REQUESTS: usize = 6000;
const FLOOD: Duration = Duration::from_secs(4);
/// Of these on their way at once.
const AT_ONCE: usize = 32;

/// Callers that bring requests until the store is full, each with a key and a connection of its own: 13 bring as many as
/// all newcomers together may (three quarters of 65536), 4096 each.
const CALLERS: usize = 16;
/// Requests of each. All of them: 56 000.
const OF_EACH: usize = 3500;
/// Of each on their way at once. All of them: as many as there are slots towards the upstream, so that none is busy.
const OF_EACH_AT_ONCE: usize = 3;
/// For a machine that does other things, too.
const FILLED_WITHIN: Duration = Duration::from_secs(400);

/// Not println: what a passing test prints is not shown.
fn report(what: &str) {
    let mut stderr = std::io::stderr();
    writeln!(stderr, "{what}").unwrap();
}

/// What became of an honest caller's requests.
#[derive(Debug, Default)]
struct Honest {
    took: Vec<Duration>,
    /// Told to come back later.
    later: usize,
}

impl Honest {
    /// Asks over one connection that was there before.
    fn ask(caller: &Caller, client: &Client, over: &dyn Fn(usize) -> bool) -> Self {
        let mut seen = Self::default();
        caller.block_on(async {
            while !over(seen.took.len()) {
                let start = Instant::now();
                match ask(client, Scope::Local, ASK).await {
                    Ok(_) => seen.took.push(start.elapsed()),
                    Err(CallError::Refused { retry_after: Some(_), .. }) => seen.later += 1,
                    Err(error) => panic!("an honest caller: {error}"),
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
        seen.took.sort();
        seen
    }

    fn p99(&self) -> Duration {
        self.took[(self.took.len() * 99 / 100).min(self.took.len() - 1)]
    }
}

impl Display for Honest {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "p99 {:?} ({} answered, {} told to wait)",
            self.p99(),
            self.took.len(),
            self.later
        )
    }
}

/// A process of its own that is killed when this is dropped.
struct Attacker(Child);

impl Attacker {
    /// This test program again, which does nothing but hold connections.
    fn start(at: usize, target: SocketAddr) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["attacks::holds_connections_when_told_to", "--exact", "--nocapture"]);
        command.env(TARGET, format!("{at} {target}")).stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The other half of the test below: a process of its own.
#[test]
fn holds_connections_when_told_to() {
    let Ok(told) = env::var(TARGET) else { return };
    let (at, target) = told.split_once(' ').unwrap();
    let (at, target): (u8, SocketAddr) = (at.parse().unwrap(), target.parse().unwrap());
    let maximum = getrlimit(Resource::Nofile).maximum;
    let wanted = maximum.map_or(8192, |maximum| maximum.min(8192));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut held = Vec::new();
        for turn in 0..HALF_OPEN {
            let socket = TcpSocket::new_v4().unwrap();
            // An address of its own: what others may still do from theirs is the point.
            socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 10 + at)), 0)).unwrap();
            let Ok(mut tcp) = socket.connect(target).await else { continue };
            if turn % 2 == 0 {
                // A handshake that is begun and never gone on with.
                let _ = tcp.write_all(b"\x16\x03\x01\x02").await;
            }
            held.push(tcp);
        }
        // Until it is killed, or whoever started it is gone.
        let gone = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
        let _ = gone.await;
    });
}

#[test]
fn ten_thousand_half_open_connections_cost_others_nothing() {
    let mut cluster = Cluster::new(1);
    cluster.start();
    let node = &cluster[0];
    let (caller, newcomer) = (Caller::default(), Caller::default());
    let client = caller.block_on(caller.connect(&node.url())).unwrap();
    let before = Honest::ask(&caller, &client, &|asked| asked >= 100);
    let rss = node.rss_mib();
    let start = Instant::now();
    let target = node.ports().grpc;
    let attackers: Vec<_> = (0..ATTACKERS).map(|at| Attacker::start(at, target)).collect();
    let refused = || node.metric("grpc_connections_refused_total");
    let over = AtomicBool::new(false);
    let meanwhile = thread::scope(|scope| {
        let asks = scope.spawn(|| Honest::ask(&caller, &client, &|_| over.load(Ordering::Relaxed)));
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually("nearly all were refused", || {
                // A place for a handshake is free again after 5 s, so that some of them get one.
                let refused = refused()?;
                let most = (ATTACKERS * HALF_OPEN) as f64 * 0.9;
                if refused >= most { Ok(()) } else { Err(format!("{refused} of {most}")) }
            });
            eventually("somebody new is let in meanwhile", || {
                let answer = newcomer.ask(&node.url(), Scope::Local, ASK);
                answer.map(drop).map_err(|error| error.to_string())
            });
        }));
        over.store(true, Ordering::Relaxed);
        let meanwhile = asks.join().unwrap();
        seen.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        meanwhile
    });
    let grown = node.rss_mib() - rss;
    report(&format!(
        "10 000 half-open connections in {:?}: honest {before}, then {meanwhile}; memory grew by {grown:.1} MiB",
        start.elapsed(),
    ));
    assert!(grown < MOST_GROWTH_MIB, "{grown} MiB");
    drop(attackers);
    eventually("it serves as before", || node.status());
}

#[test]
fn a_flood_of_unique_request_ids_is_bounded_and_counted() {
    let mut cluster = Cluster::new(2);
    let upstream = cluster[1].url();
    cluster[0].join([upstream]);
    // The default, on builds that cost several times the CPU: the governor has to do its work.
    cluster[0].set("limits", "cpu_budget_percent", 5);
    let peer_ids = cluster.start();
    cluster.connected(&peer_ids);
    let node = &cluster[0];
    let (caller, flooder) = (Caller::default(), Caller::default());
    let client = caller.block_on(caller.connect(&node.url())).unwrap();
    let before = Honest::ask(&caller, &client, &|asked| asked >= 50);
    let rss = node.rss_mib();
    let over = AtomicBool::new(false);
    let (meanwhile, sent) = thread::scope(|scope| {
        let asks = scope.spawn(|| Honest::ask(&caller, &client, &|_| over.load(Ordering::Relaxed)));
        let sent = flood_of_ids(&flooder, node);
        over.store(true, Ordering::Relaxed);
        (asks.join().unwrap(), sent)
    });
    let grown = node.rss_mib() - rss;
    let limited = node.metric("requests_throttled_total").unwrap()
        + node.metric("requests_dedup_full_total").unwrap();
    report(&format!(
        "{sent} requests with ids of their own: {limited} limited; honest {before}, then {meanwhile}; memory grew by {grown:.1} MiB"
    ));
    assert!(meanwhile.took.len() > meanwhile.later, "{meanwhile}");
    assert!(limited > 0.0, "of {sent} none was limited");
    assert!(grown < MOST_GROWTH_MIB, "{grown} MiB");
    // Its upstream was asked once at most for each.
    let forwarded = node.metric("requests_sent_total").unwrap();
    assert!(forwarded <= sent as f64 + 10.0, "{forwarded} forwarded of {sent}");
}

#[test]
fn fifty_thousand_request_ids_fill_the_store_and_cost_others_nothing() {
    if !runs_in_full("fifty thousand request ids") {
        return;
    }
    let mut cluster = Cluster::new(2);
    let upstream = cluster[1].url();
    cluster[0].join([upstream]);
    for node in cluster.iter_mut() {
        // Not the governor is to stop them.
        node.set("limits", "requests_per_second", 1_000_000);
        node.set("limits", "slots_per_upstream", 48);
    }
    let peer_ids = cluster.start();
    cluster.connected(&peer_ids);
    let node = &cluster[0];
    let caller = Caller::default();
    let client = caller.block_on(caller.connect(&node.url())).unwrap();
    let before = Honest::ask(&caller, &client, &|asked| asked >= 50);
    let (rss, start) = (node.rss_mib(), Instant::now());
    let over = AtomicBool::new(false);
    let (meanwhile, sent) = thread::scope(|scope| {
        let asks = scope.spawn(|| Honest::ask(&caller, &client, &|_| over.load(Ordering::Relaxed)));
        let floods = (0..CALLERS).map(|_| scope.spawn(|| fill(node, start)));
        let floods: Vec<_> = floods.collect();
        let sent: Vec<_> = floods.into_iter().map(|flood| flood.join()).collect();
        over.store(true, Ordering::Relaxed);
        let sent: usize = sent.into_iter().map(|sent| sent.unwrap()).sum();
        (asks.join().unwrap(), sent)
    });
    let (took, grown) = (start.elapsed(), node.rss_mib() - rss);
    let counted = |name: &str| node.metric(name).unwrap();
    let (full, forwarded) = (counted("requests_dedup_full_total"), counted("requests_sent_total"));
    let (busy, throttled) = (counted("requests_busy_total"), counted("requests_throttled_total"));
    report(&format!(
        "{sent} requests with ids of their own of {CALLERS} callers in {took:?}: {forwarded} forwarded, {full} refused by the full store, {busy} busy, {throttled} throttled; honest {before}, then {meanwhile}; memory grew by {grown:.1} MiB"
    ));
    assert!(sent >= 50_000, "{sent} in {took:?}");
    // Three quarters of the store are for callers of whom no record is known. What could not be entered was not forwarded.
    assert!(full > 0.0 && forwarded <= 49_152.0 + 10.0, "{full} full, {forwarded} forwarded");
    assert!(forwarded + full + busy + throttled >= sent as f64 * 0.99, "all were decided");
    assert!(grown < MOST_GROWTH_MIB, "{grown} MiB");
    assert!(meanwhile.took.len() > meanwhile.later, "{meanwhile}");
    drop(client);
    eventually("it serves as before", || node.status());
}

/// One caller's requests that nobody has seen before; how many were sent.
fn fill(node: &Node, start: Instant) -> usize {
    let caller = Caller::default();
    let mut sent = 0;
    caller.block_on(async {
        while sent < OF_EACH && start.elapsed() < FILLED_WITHIN {
            // More come at once than one address has places for handshakes.
            let Ok(client) = caller.connect(&node.url()).await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            while sent < OF_EACH && start.elapsed() < FILLED_WITHIN && !client.is_closed() {
                let requests = (0..OF_EACH_AT_ONCE).map(|at| request(&caller, &client, sent + at));
                drop(join_all(requests).await);
                sent += OF_EACH_AT_ONCE;
            }
        }
    });
    sent
}

/// A request with this id. What it is answered is all the same.
async fn request(caller: &Caller, client: &Client, id: usize) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let now = UnixMillis::new(u64::try_from(now).unwrap());
    let id = RequestId::new((id as u128).to_be_bytes());
    let trace = Some(Trace::start(caller.identity(), id, now, 64));
    let scope = Scope::Recursive;
    let request = OutboundRequest { scope, max_peers: 1, trace, caller_record: None };
    drop(client.list_peers(request, ASK).await);
}

/// Sends requests that nobody has seen before; how many.
fn flood_of_ids(flooder: &Caller, node: &Node) -> usize {
    let (start, mut sent) = (Instant::now(), 0_usize);
    flooder.block_on(async {
        let mut client = flooder.connect(&node.url()).await.unwrap();
        while sent < REQUESTS && start.elapsed() < FLOOD {
            drop(join_all((0..AT_ONCE).map(|at| request(flooder, &client, sent + at))).await);
            sent += AT_ONCE;
            if client.is_closed() {
                client = flooder.connect(&node.url()).await.unwrap();
            }
        }
    });
    sent
}
