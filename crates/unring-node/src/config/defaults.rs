//! Every default, with its reason.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Where packages of Linux distributions keep the state of a service (FHS 3.0 section 5.8).
pub(crate) const DATA_DIR: &str = "/var/lib/unring";

/// All interfaces. 5871 to 5873 are used by none of K3s (6443, 6444, 9345, 10250, 2379, 2380, 8472, 51820), Spegel
/// (5000, 5001, 9090, 30020, 30021) and each other.
pub(crate) const LISTEN_GRPC: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 5871);

/// All interfaces, beside the gRPC port.
pub(crate) const LISTEN_LIBP2P: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 5872);

/// Loopback only: it is plain HTTP without authentication.
pub(crate) const LISTEN_ADMIN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5873);

/// A quarter of the 64 streams that a server grants one connection.
pub(crate) const SLOTS_PER_UPSTREAM: usize = 16;

/// Four times the 1000 servers that a cluster stays below.
pub(crate) const BOOK_CAPACITY: usize = 4096;

/// The high-water mark of go-libp2p's connection manager, with which Spegel runs.
pub(crate) const MAX_CONNECTIONS: u32 = 192;

/// A stream from each of 1000 downstream nodes.
pub(crate) const MAX_GRPC_CONNECTIONS: usize = 1024;

/// Far above what 1000 nodes ask at a cold start; the CPU budget is what really limits.
pub(crate) const REQUESTS_PER_SECOND: u32 = 2000;

/// A node that is down for less keeps its place; a dead one is gone within the half hour that Spegel's own records take
/// to be noticed (19 min) and some.
pub(crate) const RECORD_TTL: Duration = Duration::from_secs(30 * 60);

/// K3s's own client gives up after 10 s.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Kubernetes grants 30 s before it kills; open requests are over in less than one.
pub(crate) const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// A tool that goes from node to node is done in less; who must be out sooner is denied by its peer id.
pub(crate) const TOKEN_OVERLAP: Duration = Duration::from_secs(60 * 60);

/// Rings, starts, stops and refusals, without a line per request; libp2p's own lines only when something is wrong.
pub(crate) const LOG_LEVEL: &str = "info,libp2p_swarm=warn";
