//! What hostile peers can make a node hold: in a process of its own, whose memory is read from outside.
//!
//! Figures go to stderr; what is asserted is that each attack is refused and counted, that memory stays bounded, and that an honest
//! peer is served all along.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod hostile;
mod server;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use unring_routing::{Key, Router as _};
use unring_routing_kad::{MAX_PROVIDER_RECORDS, MAX_RECORDS_PER_PROVIDER};

use self::hostile::{Hostile, IDENTIFY_PUSH, KAD, add_provider, get_providers};
use self::server::{Honest, Server};

/// What a process under attack may grow by, all attacks together.
const MOST_GROWTH_MIB: f64 = 20.0;
/// More than there are places for strangers.
const PEERS: usize = 100;
/// Streams that each of them tries to have.
const STREAMS: usize = 60;
/// Connections that never say who they are.
const HALF_OPEN: usize = 1500;

/// Not println: what a passing test prints is not shown.
fn report(what: &str) {
    let mut stderr = std::io::stderr();
    writeln!(stderr, "{what}").unwrap();
}

/// Runs an attack beside an honest peer, and says how often the server counted each of `counters` meanwhile.
async fn attack<const N: usize>(
    server: &mut Server,
    honest: &Honest,
    name: &str,
    counters: [&str; N],
    attack: impl Future<Output = ()>,
) -> [u64; N] {
    let before = counters.map(|counter| server.count(counter));
    let over = AtomicBool::new(false);
    let attack = async {
        attack.await;
        over.store(true, Ordering::Relaxed);
    };
    let watch = async {
        let mut peak = server.grown_mib();
        while !over.load(Ordering::Relaxed) {
            peak = peak.max(server.grown_mib());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        peak
    };
    let ((), times, peak) = tokio::join!(attack, honest.look_up_until(&over), watch);
    let mut at = 0;
    let counted = counters.map(|counter| {
        at += 1;
        server.count(counter) - before[at - 1]
    });
    report(&format!(
        "{name}: memory at most {peak:.1} MiB above the start; honest look-ups: {times}; counted {counters:?} {counted:?}"
    ));
    assert!(times.found > 0, "{name}");
    assert!(peak < MOST_GROWTH_MIB, "{name}: {peak} MiB");
    counted
}

async fn peers(server: &Server, count: usize, deaf: &Arc<AtomicBool>) -> Vec<Hostile> {
    let mut all = JoinSet::new();
    let mut connected = Vec::new();
    for _ in 0..count {
        all.spawn(Hostile::connect(server.socket, Arc::clone(deaf)));
        // Below the handshakes at once that it takes.
        if all.len() >= 16 {
            connected.extend(all.join_next().await.unwrap().unwrap());
        }
    }
    while let Some(peer) = all.join_next().await {
        connected.extend(peer.unwrap());
    }
    connected
}

/// Lets each of some peers do something on each of some streams, for so long.
async fn on_streams<F: Future<Output = ()> + Send + 'static>(
    peers: &[Hostile],
    streams: usize,
    time: Duration,
    what: impl Fn(Hostile, usize) -> F,
) {
    let mut all = JoinSet::new();
    for peer in peers {
        for n in 0..streams {
            all.spawn(what(peer.clone(), n));
        }
    }
    let end = async { while all.join_next().await.is_some() {} };
    drop(tokio::time::timeout(time, end).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_are_refused_counted_and_bounded() {
    let mut server = Server::start();
    let honest = Honest::start(&server).await;
    let listening = Arc::new(AtomicBool::new(false));
    let s = Duration::from_secs;
    // What it takes to work at all is not the attackers' doing.
    honest.look_ups(50).await;
    server.settle();

    let [foreign] =
        attack(&mut server, &honest, "records for others", ["records_refused"], async {
            let peers = peers(&server_at(&honest), 8, &listening).await;
            on_streams(&peers, 4, s(3), |peer, n| async move {
                let Ok(mut stream) = peer.open(KAD).await else { return };
                for m in 0..100 {
                    let key = format!("foreign {n} {m}");
                    let record = add_provider(&key, &Hostile::somebody(), 1);
                    if stream.send(&record).await.is_err() {
                        return;
                    }
                }
                stream.finish().await;
            })
            .await;
        })
        .await;
    assert!(foreign >= 100, "{foreign}");

    let counted = attack(
        &mut server,
        &honest,
        "lengths that are too long or do not end",
        ["too_long", "unreadable"],
        async {
            let peers = peers(&server_at(&honest), 8, &listening).await;
            on_streams(&peers, 12, s(3), |peer, n| async move {
                let endless = [0xff; 4096];
                let bytes: &[u8] = if n % 3 == 0 { &[0xff, 0xff, 0xff, 0x7f] } else { &endless };
                match n % 4 {
                    // Before any protocol is agreed on.
                    0 => {
                        let Ok(mut stream) = peer.raw().await else { return };
                        while stream.send(bytes).await.is_ok() {}
                    }
                    1 => {
                        let Ok(mut stream) = peer.open(IDENTIFY_PUSH).await else { return };
                        while stream.send(bytes).await.is_ok() {}
                    }
                    _ => {
                        let Ok(mut stream) = peer.open(KAD).await else { return };
                        while stream.send(bytes).await.is_ok() {}
                    }
                }
            })
            .await;
        },
    )
    .await;
    assert!(counted.iter().all(|count| *count > 0), "{counted:?}");

    let counted = attack(
        &mut server,
        &honest,
        "messages that are announced and not finished",
        ["slow", "crowded", "denied"],
        async {
            let peers = peers(&server_at(&honest), PEERS, &listening).await;
            // Longer than the 10 s that a message may take.
            on_streams(&peers, STREAMS, s(20), |peer, _| async move {
                let Ok(mut stream) = peer.open(KAD).await else { return };
                let mut message = vec![0x80, 0x80, 0x01];
                message.resize(3 + 16 * 1024 - 1, 7);
                if stream.send(&message).await.is_ok() {
                    stream.wait().await;
                }
            })
            .await;
        },
    )
    .await;
    assert!(counted.iter().all(|count| *count > 0), "{counted:?}");

    let deaf = Arc::new(AtomicBool::new(false));
    let counted = attack(
        &mut server,
        &honest,
        "answers that nobody reads",
        ["busy", "crowded", "rate", "slow", "requests_served"],
        async {
            let peers = peers(&server_at(&honest), PEERS, &deaf).await;
            on_streams(&peers[..peers.len().min(20)], 1, s(2), |peer, _| async move {
                let Ok(mut stream) = peer.open(KAD).await else { return };
                // An answer of many records with long lists of addresses.
                let own = add_provider("long", &peer.id(), 8);
                drop(stream.send(&own).await);
                stream.finish().await;
            })
            .await;
            let half = peers.len() / 2;
            let never = |peer: Hostile, _| async move {
                let Ok(mut stream) = peer.open(KAD).await else { return };
                while stream.send(&get_providers("long")).await.is_ok() {}
            };
            // Some read their connection and not their streams, some read nothing at all.
            let some = on_streams(&peers[..half], STREAMS, s(12), never);
            let others = async {
                tokio::time::sleep(s(4)).await;
                deaf.store(true, Ordering::Relaxed);
            };
            tokio::join!(some, others, on_streams(&peers[half..], STREAMS, s(12), never));
        },
    )
    .await;
    assert!(counted[..4].iter().sum::<u64>() > 0, "{counted:?}");

    let [denied] = attack(&mut server, &honest, "half-open connections", ["denied"], async {
        let target = server_at(&honest).socket;
        let mut held = Vec::new();
        let end = Instant::now() + s(10);
        for n in 0..HALF_OPEN {
            if Instant::now() > end {
                break;
            }
            let Ok(tcp) = TcpSocket::new_v4().unwrap().connect(target).await else { continue };
            if n % 2 == 0 {
                drop(tcp.try_write(b"\x13/multistream/1.0.0\n"));
            }
            held.push(tcp);
        }
        tokio::time::sleep(s(1)).await;
    })
    .await;
    assert!(denied > 100, "{denied}");
    // Places for handshakes are free again.
    tokio::time::sleep(s(10)).await;

    let counted = attack(
        &mut server,
        &honest,
        "streams that are opened as fast as it goes",
        ["streams_refused"],
        async {
            let peers = peers(&server_at(&honest), PEERS, &listening).await;
            on_streams(&peers, 50, s(4), |peer, n| async move {
                let mut held = Vec::new();
                while let Ok(mut stream) = peer.raw().await {
                    if stream.send(b"\x13/multistream/1.0.0\n").await.is_err() {
                        break;
                    }
                    if n % 2 == 0 {
                        held.push(stream);
                    }
                    tokio::task::yield_now().await;
                }
            })
            .await;
        },
    )
    .await;
    assert!(counted.iter().all(|count| *count > 0), "{counted:?}");
    let after = honest.look_ups(50).await;
    report(&format!(
        "afterwards: memory {:.1} MiB above the start; honest look-ups: {after}",
        server.grown_mib()
    ));
    let nobody = honest.asker.lookup(Key::new("foreign 1 1")).await.unwrap();
    assert!(nobody.is_empty(), "nobody speaks for others");
}

/// Has `count` peers tell of as many keys each as one may, and some more; the server's rate is their pace.
async fn fill(server: &Server, count: usize) {
    let peers = peers(server, count, &Arc::default()).await;
    on_streams(&peers, 1, Duration::from_secs(120), |peer, _| async move {
        let mut stream = peer.open(KAD).await.unwrap();
        for n in 0..MAX_RECORDS_PER_PROVIDER + 500 {
            let key = format!("of {} {n}", peer.id());
            stream.send(&add_provider(&key, &peer.id(), 1)).await.unwrap();
        }
        stream.finish().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_store_is_bounded() {
    let mut server = Server::start();
    let honest = Honest::start(&server).await;
    honest.look_ups(50).await;
    server.settle();
    let counters = ["records", "records_refused"];
    let at = server_at(&honest);
    let counted = attack(&mut server, &honest, "all records of one", counters, fill(&at, 1));
    let [records, refused] = counted.await;
    assert_eq!(records, MAX_RECORDS_PER_PROVIDER as u64);
    assert!(refused >= 500, "{refused}");
    fill(&at, 3).await;
    let records = server.count("records");
    report(&format!("a full store of {records}: {:.1} MiB above the start", server.grown_mib()));
    assert_eq!(records, MAX_PROVIDER_RECORDS as u64);
    assert!(server.grown_mib() < MOST_GROWTH_MIB, "{} MiB", server.grown_mib());
}

/// Where the server is, while the attack beside it has it borrowed.
fn server_at(honest: &Honest) -> Server {
    Server::at(honest.server)
}
