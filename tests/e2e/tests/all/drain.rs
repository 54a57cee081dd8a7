//! SIGTERM.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use dev_cluster::child::Exit;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::time::timeout;
use unring_e2e::{Caller, Cluster, PATIENCE};
use unring_peer_addr::{CallError, OutboundOpen, RemoteBatch};

/// The default of `timing.drain_deadline`.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// Opens a stream of records on the first node and reads what it begins with.
fn watch(caller: &Caller, cluster: &Cluster) -> BoxStream<'static, Result<RemoteBatch, CallError>> {
    caller.block_on(async {
        let client = caller.connect(&cluster[0].url()).await.unwrap();
        let (open, nothing_to_tell) = (OutboundOpen::default(), futures::stream::pending());
        let mut batches = client.watch_peers(open, nothing_to_tell, PATIENCE).await.unwrap();
        let first = batches.next().await.unwrap().unwrap();
        assert!(!first.batch.records.is_empty(), "{first:?}");
        batches
    })
}

/// A ring of two whose first node has much to close.
fn ring_of_two() -> Cluster {
    let mut cluster = Cluster::ring(2);
    let peer_ids = cluster.start();
    cluster.connected(&peer_ids);
    cluster
}

fn ended_well(cluster: &Cluster, exit: Exit) {
    assert_eq!((exit.status.code(), exit.forced), (Some(0), false), "{exit}");
    let ports = *cluster[0].ports();
    for address in [ports.grpc, ports.libp2p, ports.admin] {
        TcpListener::bind(address).unwrap();
    }
    let lines = cluster[0].log();
    let last = lines.last().unwrap();
    assert_eq!(last.event(), "stopped", "{last:?}");
    assert_eq!(cluster[1].status().unwrap().peers.len(), 1, "the other one goes on");
}

#[test]
fn a_node_that_is_asked_to_end_closes_its_streams_and_frees_its_ports() {
    let mut cluster = ring_of_two();
    let caller = Caller::default();
    let watching = watch(&caller, &cluster);
    let reading = thread::spawn(move || {
        // Records that were on their way, then the end, said or not.
        let rest = async { timeout(PATIENCE, watching.collect::<Vec<_>>()).await };
        caller.block_on(rest).unwrap()
    });
    let (exit, after) = cluster[0].stop();
    ended_well(&cluster, exit);
    assert!(after < DRAIN_DEADLINE, "nothing was left to wait for, but it took {after:?}");
    let rest = reading.join().unwrap();
    assert!(rest.iter().rev().skip(1).all(Result::is_ok), "{rest:?}");
}

#[test]
fn a_client_that_hangs_does_not_keep_a_node_beyond_its_deadline() {
    let mut cluster = ring_of_two();
    cluster[0].set("timing", "drain_deadline", "2s");
    cluster[0].restart();
    let caller = Caller::default();
    // Nobody runs this client from here on: it takes no notice of anything.
    let watching = watch(&caller, &cluster);
    let (exit, after) = cluster[0].stop();
    ended_well(&cluster, exit);
    // The deadline, the second that tasks get to end, and one more for a busy machine.
    assert!(after < Duration::from_secs(4), "it took {after:?}");
    drop(watching);
}

#[test]
fn half_a_request_on_the_admin_port_does_not_keep_a_node() {
    let mut cluster = ring_of_two();
    let mut half = TcpStream::connect(cluster[0].ports().admin).unwrap();
    half.write_all(b"GET /statusz HTTP/1.1\r\nhost: x\r\n").unwrap();
    let (exit, after) = cluster[0].stop();
    ended_well(&cluster, exit);
    assert!(after < DRAIN_DEADLINE, "it took {after:?}");
    drop(half);
}
