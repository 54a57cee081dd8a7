//! What a node still knows after a restart, and after fifty crashes.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use unring_e2e::{Cluster, FakePeers, Node, Status, eventually};
use unring_node::database;

/// How often a node is started at most until one start was quick enough: the machine may have had other things to do.
const STARTS: usize = 10;

/// How long a restarted node may take to be connected to its peers again, on a machine that has time for it. On a busy
/// one it is as much longer as there are runnable processes for each core, on average over the last minute or now: a
/// machine with twice the work does half as much of it in the same time.
fn soon() -> Duration {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut load = load.split([' ', '/']);
    let load = [load.next(), load.nth(2)].map(|load| load.and_then(|load| load.parse().ok()));
    let load = load.into_iter().flatten().fold(1.0, f64::max);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let busy = load / f64::from(u32::try_from(cores).unwrap());
    Duration::from_secs(2).mul_f64(busy.clamp(1.0, 10.0))
}

/// Nodes in the book that are no more, and how many of their addresses take a connection and never say anything.
const DEAD: usize = 100;
const MUTE: usize = 9;

#[test]
fn with_its_upstream_down_a_node_is_connected_to_its_peers_soon_after_its_start() {
    let mut cluster = Cluster::ring(3);
    let peer_ids = cluster.start();
    cluster.connected(&peer_ids);
    // Nobody ever accepts there; at the last port nobody listens at all.
    let mut mute: Vec<_> = (0..=MUTE).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<_> = mute.iter().map(|mute| mute.local_addr().unwrap()).collect();
    mute.truncate(MUTE);
    let mut dead = FakePeers::at(DEAD, &addresses);
    dead.change_all_the_time(&cluster[0].url(), Duration::ZERO);
    eventually("node-1 has all on disk", || {
        let peers = cluster[0].status()?.peers;
        let saved = peers.len() == 2 + DEAD && peers.iter().all(|peer| peer.saved);
        if saved { Ok(()) } else { Err(format!("{} peers", peers.len())) }
    });
    for node in cluster.iter_mut() {
        node.stop();
    }
    // Only what node-1 has on disk leads from one to another: the others know nobody, join nobody, and are served where
    // nobody looks.
    for node in &mut cluster[1..] {
        fs::remove_file(node.data_dir().join(database::FILE)).unwrap();
        node.join([]);
        node.hide_grpc();
        node.start();
    }
    for node in &mut cluster[1..] {
        assert!(node.ready().peers.is_empty());
    }
    let mut late = Vec::new();
    while late.len() < STARTS {
        cluster[0].start();
        let status = connected_to(&cluster[0], &peer_ids[1..]);
        assert_eq!(
            (status.database.restored, status.exchange.records_kept),
            (2 + DEAD, 0),
            "all from disk"
        );
        assert!(status.upstreams.iter().all(|upstream| upstream.state != "streaming"));
        // Its own time since the start of its process; it may have been connected for a look longer.
        let (took, soon) = (Duration::from_secs_f64(status.uptime_s), soon());
        if took <= soon {
            return;
        }
        late.push((took, soon));
        cluster[0].stop();
    }
    panic!("never in time; what each start took, and what was allowed: {late:?}");
}

fn connected_to(node: &Node, peers: &[String]) -> Status {
    eventually("node-1 is connected to both", || {
        let status = node.status()?;
        let connected = |peer| status.libp2p.connected_peers.contains(peer);
        if peers.iter().all(connected) { Ok(status) } else { Err(format!("{status:?}")) }
    })
}

/// What must still be true after the next crash.
struct Promised {
    /// The highest version of its own record that was seen.
    seq: u64,
    /// Versions of others that it said were on disk.
    saved: BTreeMap<String, u64>,
}

impl Promised {
    fn note(&mut self, status: &Status) {
        self.seq = self.seq.max(status.record.seq);
        for peer in status.peers.iter().filter(|peer| peer.saved) {
            let saved = self.saved.entry(peer.peer_id.clone()).or_default();
            *saved = (*saved).max(peer.seq);
        }
    }

    fn check(&self, status: &Status, round: usize) {
        assert!(
            status.record.seq > self.seq,
            "round {round}: {} after {}",
            status.record.seq,
            self.seq
        );
        assert_eq!((status.database.state.as_str(), &status.database.set_aside), ("open", &None));
        for (peer, seq) in &self.saved {
            let found = status.peer(peer).unwrap_or_else(|why| panic!("round {round}: {why}"));
            assert!(found.seq >= *seq && found.saved, "round {round}: {} of {seq}", found.seq);
        }
        assert_eq!(status.database.restored, status.peers.len());
    }
}

const CRASHES: usize = 50;
const PEERS: usize = 16;

#[test]
fn fifty_crashes_while_records_change_lose_nothing_that_was_on_disk() {
    let mut cluster = Cluster::new(1);
    let node = &mut cluster[0];
    let mut peers = FakePeers::new(PEERS);
    let mut me = None;
    // Far ahead of the clock, so that nothing but the file keeps it from going back.
    let ahead = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(3600);
    let mut promised =
        Promised { seq: u64::try_from(ahead.as_millis()).unwrap(), saved: BTreeMap::new() };
    fs::create_dir_all(node.data_dir()).unwrap();
    let (file, _) = database::Database::open(&node.data_dir()).unwrap();
    file.set_seq(promised.seq).unwrap();
    drop(file);
    for round in 1..=CRASHES {
        node.start();
        let status = node.ready();
        assert_eq!(*me.get_or_insert(status.peer_id.clone()), status.peer_id, "round {round}");
        promised.check(&status, round);
        promised.note(&status);
        // Neither always in the same place of a commit nor always long enough for one.
        let jitter = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_micros() % 150;
        peers.change_all_the_time(&node.url(), Duration::from_millis(u64::from(jitter)));
        if round % 5 == 0 {
            let before: u64 = promised.saved.values().sum();
            eventually("more is on disk", || {
                promised.note(&node.status()?);
                let saved: u64 = promised.saved.values().sum();
                if saved > before { Ok(()) } else { Err(format!("still {before}")) }
            });
        } else if let Ok(status) = node.status() {
            promised.note(&status);
        }
        node.kill();
    }
    assert_eq!(promised.saved.len(), PEERS);
    for event in ["database_set_aside", "database_refused", "database_gone", "panic"] {
        assert_eq!(node.events(event).len(), 0, "{event}");
    }
    // It can still be drained.
    node.start();
    node.ready();
    let (exit, _) = node.stop();
    assert!(exit.status.success() && !exit.forced, "{exit}");
}
