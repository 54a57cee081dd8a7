//! Free ports of loopback.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// The addresses that one node listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodePorts {
    /// gRPC.
    pub grpc: SocketAddr,
    /// libp2p.
    pub libp2p: SocketAddr,
    /// Metrics, health and status.
    pub admin: SocketAddr,
    /// K3s's path.
    pub k3s: SocketAddr,
}

/// Finds ports for `nodes` nodes. All are bound at once, so that none is given twice, and then released: another
/// program may still take one before its node does, and then the start is tried again with new ones.
///
/// # Errors
/// The machine has no port or no file handle left.
pub fn pick(nodes: usize) -> io::Result<Vec<NodePorts>> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let held: Vec<TcpListener> = (0..nodes * 4).map(|_| bind()).collect::<io::Result<_>>()?;
    let addresses: Vec<SocketAddr> =
        held.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
    let nodes = addresses.chunks_exact(4).filter_map(|chunk| match *chunk {
        [grpc, libp2p, admin, k3s] => Some(NodePorts { grpc, libp2p, admin, k3s }),
        _ => None,
    });
    Ok(nodes.collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::TcpListener;

    use super::pick;

    #[test]
    fn ports_are_free_and_given_once() {
        let nodes = pick(40).unwrap();
        let ports: BTreeSet<u16> = nodes
            .iter()
            .flat_map(|node| [node.grpc, node.libp2p, node.admin, node.k3s])
            .map(|at| at.port())
            .collect();
        assert_eq!((nodes.len(), ports.len()), (40, 160));
        assert!(nodes.iter().any(|node| TcpListener::bind(node.grpc).is_ok()), "none was released");
    }
}
