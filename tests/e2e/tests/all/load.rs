//! Everyone asks at once, and some never stop asking.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures::future::join_all;
use unring_e2e::{Caller, Cluster, PATIENCE, Status, ask, runs_in_full};
use unring_exchange::{Incomplete, Scope};
use unring_peer_addr::CallError;

/// `timing.request_timeout`, and what a client waits.
const DEADLINE: Duration = Duration::from_secs(10);

/// A ring in which all nodes are asked at the same time, with a single slot towards each upstream.
fn all_ask_at_once(nodes: usize) {
    let mut cluster = Cluster::ring(nodes);
    for node in cluster.iter_mut() {
        node.set("limits", "slots_per_upstream", 1);
    }
    let peer_ids = cluster.start();
    let caller = Caller::default();
    caller.block_on(async {
        let clients =
            cluster.iter().map(|node| async { caller.connect(&node.url()).await.unwrap() });
        let clients = join_all(clients).await;
        let asked = Instant::now();
        let answers = clients.iter().map(|client| ask(client, Scope::Recursive, DEADLINE));
        for (answer, peer_id) in join_all(answers).await.into_iter().zip(&peer_ids) {
            let answer = answer.unwrap();
            assert_eq!(answer.responder.to_base58(), *peer_id);
            assert!(!answer.records.is_empty());
            assert!(
                !answer.incomplete.contains(&Incomplete::Degraded),
                "the budget is no part of this"
            );
        }
        assert!(asked.elapsed() < DEADLINE, "{:?}", asked.elapsed());
    });
    let statuses: Vec<Status> = cluster.iter().map(|node| node.status().unwrap()).collect();
    let mut sent: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for recent in statuses.iter().flat_map(|status| &status.exchange.recent) {
        *sent.entry((&recent.origin, &recent.request_id)).or_default() += recent.sent;
    }
    let most = sent.values().max().copied().unwrap_or_default();
    let joins = u64::try_from(nodes).unwrap();
    assert!((1..=joins).contains(&most), "{most} messages for a request, {joins} joins");
}

#[test]
fn twelve_nodes_in_a_ring_answer_all_at_once() {
    all_ask_at_once(12);
}

#[test]
fn forty_nodes_in_a_ring_answer_all_at_once() {
    if runs_in_full("the ring of 40 processes") {
        all_ask_at_once(40);
    }
}

/// What became of the requests of a flood.
#[derive(Debug, Default)]
struct Flood {
    answered: AtomicU64,
    refused: AtomicU64,
    over: AtomicBool,
}

const FLOOD: Duration = Duration::from_secs(5);
const FLOODERS: usize = 4;
/// Requests of one flooder at most: the flood ends even if time does not pass.
const MOST: usize = 50_000;
/// Requests of one flooder that are on their way at once.
const AT_ONCE: usize = 16;

impl Flood {
    /// Asks as fast as answers come, for [`FLOOD`] and until the node has refused: on a busy machine that takes longer.
    fn run(&self, url: &str) {
        let (caller, start) = (Caller::default(), Instant::now());
        caller.block_on(async {
            let mut client = caller.connect(url).await.unwrap();
            for _ in 0..MOST / AT_ONCE {
                let refuses = self.refused.load(Ordering::Relaxed) > 0;
                if start.elapsed() > if refuses { FLOOD } else { PATIENCE } {
                    return;
                }
                let scopes = [Scope::Local, Scope::Recursive].into_iter().cycle().take(AT_ONCE);
                for answer in join_all(scopes.map(|scope| ask(&client, scope, DEADLINE))).await {
                    match answer {
                        Ok(_) => self.answered.fetch_add(1, Ordering::Relaxed),
                        Err(CallError::Refused { code, retry_after: Some(_), .. })
                            if i32::from(code) == RESOURCE_EXHAUSTED =>
                        {
                            self.refused.fetch_add(1, Ordering::Relaxed)
                        }
                        Err(error) => {
                            panic!("neither answered nor told when to come back: {error}")
                        }
                    };
                }
                if client.is_closed() {
                    client = caller.connect(url).await.unwrap();
                }
            }
        });
    }
}

/// gRPC's code for it.
const RESOURCE_EXHAUSTED: i32 = 8;

#[test]
fn a_flooded_node_costs_the_others_nothing() {
    let mut cluster = Cluster::ring(3);
    // The default, on builds that cost several times the CPU: the governor has to do its work.
    cluster[0].set("limits", "cpu_budget_percent", 5);
    let peer_ids = cluster.start();
    cluster.connected(&peer_ids);
    let rss_before = cluster[0].rss_mib();
    let (flood, flooded) = (Flood::default(), cluster[0].url());
    let mut slowest = Duration::ZERO;
    thread::scope(|scope| {
        let flooders: Vec<_> = (0..FLOODERS).map(|_| scope.spawn(|| flood.run(&flooded))).collect();
        let honest = scope.spawn(|| {
            let caller = Caller::default();
            let mut slowest = Duration::ZERO;
            let mut asked = 0;
            while !flood.over.load(Ordering::Relaxed) {
                for node in &cluster[1..] {
                    let start = Instant::now();
                    let answer = caller.ask(&node.url(), Scope::Local, DEADLINE);
                    slowest = slowest.max(start.elapsed());
                    assert_eq!(answer.unwrap().records.len(), 3, "{}", node.name());
                    node.status().unwrap();
                    asked += 1;
                }
                thread::sleep(Duration::from_millis(100));
            }
            (asked, slowest)
        });
        for flooder in flooders {
            let ended = flooder.join();
            flood.over.store(true, Ordering::Relaxed);
            ended.unwrap();
        }
        let (asked, worst) = honest.join().unwrap();
        assert!(asked > 10, "only {asked} honest requests");
        slowest = worst;
    });
    assert!(slowest < Duration::from_secs(1), "an honest caller waited {slowest:?}");
    let grown = cluster[0].rss_mib() - rss_before;
    assert!(grown < 20.0, "the flooded node grew by {grown} MiB");
    let (answered, refused) = (flood.answered.into_inner(), flood.refused.into_inner());
    assert!(answered > 0 && refused > 0, "{answered} answered, {refused} refused");
    let throttled = cluster[0].status().unwrap().exchange.throttled;
    assert!(throttled >= refused, "{throttled} throttled, {refused} refused");
    cluster.warned();
    for node in cluster.iter() {
        assert_eq!(node.ring_warnings().len(), 1, "{}", node.name());
        let status = node.status().unwrap();
        assert_eq!(status.rings(), [("plain", ["node-1", "node-2", "node-3"].into())]);
        assert_eq!(status.peers.len(), 2);
    }
}
