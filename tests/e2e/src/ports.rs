//! Ports for nodes whose addresses must be known before they start, and again after they were killed.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use dev_cluster::ports::NodePorts;

/// Below Linux's range for outgoing connections (ip_local_port_range starts at 32768): none of those can take a port
/// between two starts of a node.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// Four ports that nobody listens on and that this process gives to nobody else.
pub(crate) fn pick() -> NodePorts {
    NodePorts { grpc: free(), libp2p: free(), admin: free(), k3s: free() }
}

fn free() -> SocketAddr {
    // Processes that run at the same time start far from each other.
    let start = u16::try_from(std::process::id().wrapping_mul(193) % u32::from(COUNT)).unwrap();
    let tries = || NEXT.fetch_add(1, Ordering::Relaxed);
    std::iter::repeat_with(tries)
        .take(usize::from(COUNT))
        .map(|offset| FIRST + (start + offset % COUNT) % COUNT)
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .find(|address| TcpListener::bind(address).is_ok())
        .unwrap()
}
