//! Bytes that are no request, on every port, and starts that end before they are done.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use unring_e2e::{Caller, Cluster, eventually};
use unring_exchange::Scope;

const ASK: Duration = Duration::from_secs(10);

/// Connections that are sent at most, and bytes on each.
const CONNECTIONS: usize = 3000;
const BYTES: usize = 4096;

/// The default of `timing.drain_deadline`, and what tasks get to end.
const STOPPED_WITHIN: Duration = Duration::from_secs(8);

/// The same bytes in every run (xorshift64*), the first of them a plausible beginning.
fn garbage(seed: usize) -> Vec<u8> {
    let beginnings: [&[u8]; 4] =
        [b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /statusz HTTP/1.1\r\n", b"\x16\x03\x01"];
    let mut state = seed as u64 + 0x9e37_79b9;
    let random = std::iter::repeat_with(|| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()[0]
    });
    beginnings[seed % 4].iter().copied().chain(random).take(BYTES).collect()
}

/// Sends garbage until told to stop, or enough of it.
fn flood(addresses: &[SocketAddr], sent: &AtomicUsize, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let turn = sent.fetch_add(1, Ordering::Relaxed);
        if turn >= CONNECTIONS {
            return;
        }
        let Ok(mut tcp) = TcpStream::connect(addresses[turn % addresses.len()]) else { continue };
        let _ = tcp.set_read_timeout(Some(Duration::from_millis(20)));
        // Whatever becomes of it.
        let _ = tcp.write_all(&garbage(turn / addresses.len()));
        let _ = tcp.read(&mut [0; 64]);
    }
}

#[test]
fn garbage_on_every_port_keeps_a_node_neither_from_serving_nor_from_ending() {
    let mut cluster = Cluster::ring(2);
    let peer_ids = cluster.start();
    cluster.connected(&peer_ids);
    let ports = *cluster[0].ports();
    let addresses = [ports.grpc, ports.libp2p, ports.admin];
    let (sent, stop, caller) = (AtomicUsize::new(0), AtomicBool::new(false), Caller::default());
    let (exit, after) = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| flood(&addresses, &sent, &stop));
        }
        eventually("some of it was sent", || {
            let sent = sent.load(Ordering::Relaxed);
            if sent >= CONNECTIONS / 10 { Ok(()) } else { Err(format!("{sent}")) }
        });
        eventually("the node answers", || {
            let answer = caller.ask(&cluster[0].url(), Scope::Recursive, ASK);
            answer.map(drop).map_err(|error| error.to_string())
        });
        eventually("the status page answers", || cluster[0].status());
        let ended = cluster[0].stop();
        stop.store(true, Ordering::Relaxed);
        ended
    });
    assert_eq!((exit.status.code(), exit.forced), (Some(0), false), "{exit}");
    assert!(after < STOPPED_WITHIN, "{after:?}");
    assert_eq!(cluster[0].events("panic").len(), 0);
    cluster[0].start();
    cluster[0].ready();
    cluster.connected(&peer_ids);
}

#[test]
fn ten_restarts_in_a_row_leave_a_node_that_is_who_it_was() {
    let mut cluster = Cluster::ring(2);
    let peer_ids = cluster.start();
    let before = cluster[0].status().unwrap().record.seq;
    for round in 0..10 {
        let (exit, after) = cluster[0].stop();
        assert!(!exit.forced && after < STOPPED_WITHIN, "round {round}: {exit} after {after:?}");
        cluster[0].start();
        // Half of them are stopped while they start.
        if round % 2 == 0 {
            cluster[0].ready();
        }
    }
    let status = cluster[0].ready();
    assert_eq!((&status.peer_id, status.record.seq > before), (&peer_ids[0], true));
    cluster.connected(&peer_ids);
    for event in ["panic", "database_set_aside", "database_refused", "cloned_identity"] {
        assert_eq!(cluster[0].events(event).len(), 0, "{event}");
    }
}
