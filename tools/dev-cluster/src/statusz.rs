//! What a node says of itself at `/statusz`.
//!
//! Only what the cluster looks at is read. A field that is missing reads as empty, so that an older or newer node is
//! judged by what it shows and not by how it writes it.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

use crate::http::{self, HttpError};

/// A node's account of itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Statusz {
    /// Its name.
    pub name: String,
    /// Its peer id.
    pub peer_id: String,
    /// What it joins.
    pub upstreams: Vec<Upstream>,
    /// The peers in its book, without itself.
    pub peers: Vec<Peer>,
    /// The rings it knows.
    pub rings: Vec<Ring>,
    /// Its side of the exchange.
    pub exchange: Exchange,
    /// Its libp2p side.
    pub libp2p: Libp2p,
    /// What its P2P work costs.
    pub budget: Budget,
    /// How it looks for a first peer.
    pub first_peer: FirstPeer,
    /// Its side of K3s's path.
    pub k3s: K3s,
    /// Its part in the DHT; `None` when it takes none.
    pub dht: Option<Dht>,
}

/// A node's part in the DHT.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Dht {
    /// Records of other nodes that it keeps.
    pub records: usize,
}

/// How a node looks for a first peer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FirstPeer {
    /// Where it looks.
    pub sources: Vec<Source>,
}

/// One way to a first peer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Source {
    /// `k3s` for a server of K3s.
    pub kind: String,
    /// Which one.
    pub name: String,
    /// Attempts that ended.
    pub attempts: u64,
}

/// A node's side of K3s's path.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct K3s {
    /// Requests for addresses that were let in.
    pub served: u64,
    /// Rings through K3s's servers that it suspects.
    pub suspected_rings: Vec<SuspectedRing>,
}

/// A ring that is suspected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SuspectedRing {
    /// The server that the node asks.
    pub server: String,
    /// The address from which requests come back.
    pub client: String,
}

/// One configured upstream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Upstream {
    /// The address as configured.
    pub address: String,
    /// What the node does with it: connecting, streaming, backing off, polling.
    pub state: String,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// A peer in the book.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Peer {
    /// Its peer id.
    pub peer_id: String,
}

/// A ring as a node reports it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Ring {
    /// The stable name of the ring.
    pub id: String,
    /// `plain` or `shared`.
    pub kind: String,
    /// Its nodes.
    pub members: Vec<Member>,
    /// A shortest circuit.
    pub witness: Vec<Member>,
    /// The joins to remove.
    pub cuts: Vec<Cut>,
}

/// A node as a ring names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Member {
    /// Its peer id.
    pub peer_id: String,
    /// Its name, empty when no record names it.
    pub name: String,
}

/// A join to remove.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Cut {
    /// The node that has it in its configuration.
    pub from: Member,
    /// Where it leads.
    pub to: Member,
}

/// Counters of the exchange since the start of the process.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Exchange {
    /// Requests answered.
    pub served: u64,
    /// Recursive requests sent.
    pub sent: u64,
    /// Local requests sent.
    pub sent_local: u64,
    /// Connections made to see where an address leads.
    pub probes: u64,
    /// Records sent on streams.
    pub pushes: u64,
    /// Messages on streams without a record.
    pub heartbeats: u64,
    /// Requests that had been forwarded before.
    pub duplicates: u64,
    /// Requests that came back.
    pub loops: u64,
    /// Requests refused or degraded by the governor.
    pub throttled: u64,
    /// The last recursive requests that the node took part in.
    pub recent: Vec<Recent>,
}

impl Exchange {
    /// Everything that the node sent to nodes, so that it can stand beside a count of calls: a look at a join is a
    /// connection with its handshake, as a call is.
    pub fn messages(&self) -> u64 {
        self.sent + self.sent_local + self.probes + self.pushes + self.heartbeats
    }
}

/// One recursive request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Recent {
    /// Peer id of the node it started from.
    pub origin: String,
    /// Its id, in hexadecimal.
    pub request_id: String,
    /// How many times this node sent it on.
    pub sent: u64,
}

/// The libp2p side.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Libp2p {
    /// Peer ids with a live connection.
    pub connected_peers: Vec<String>,
}

/// What the P2P runtime costs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// CPU time of its threads since the start of the process, in seconds.
    pub p2p_cpu_seconds: f64,
    /// What it may use, in percent of one core.
    pub limit_percent: f64,
}

/// Why a node's status could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StatuszError {
    /// No answer.
    #[error("no answer")]
    Http(#[from] HttpError),
    /// An answer other than 200.
    #[error("the answer is HTTP {status}")]
    Status {
        /// Its code.
        status: u16,
    },
    /// Not the JSON that is expected.
    #[error("the answer is not a status page")]
    Json(#[from] serde_json::Error),
}

/// A status with the bytes it was read from, to keep beside the logs.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// What it says.
    pub status: Statusz,
    /// All that it says.
    pub json: Vec<u8>,
}

/// Reads the status of the node with this admin endpoint.
///
/// # Errors
/// No answer within `timeout`, or one that is no status page.
pub fn read(admin: SocketAddr, timeout: Duration) -> Result<Page, StatuszError> {
    let answer = http::get(admin, "/statusz", timeout)?;
    if answer.status != 200 {
        return Err(StatuszError::Status { status: answer.status });
    }
    Ok(Page { status: serde_json::from_slice(&answer.body)?, json: answer.body })
}

#[cfg(test)]
mod tests {
    use super::Statusz;

    #[test]
    fn a_full_page_is_read() {
        let page: Statusz = serde_json::from_str(include_str!("statusz/example.json")).unwrap();
        assert_eq!((page.name.as_str(), page.peer_id.as_str()), ("node-1", "12D3A"));
        assert_eq!(page.upstreams[0].state, "backing_off");
        assert_eq!(page.upstreams[0].last_error.as_deref(), Some("connection refused"));
        assert_eq!(page.peers[0].peer_id, "12D3B");
        assert_eq!(page.rings[0].witness[1].name, "node-2");
        assert_eq!(page.rings[0].cuts[0].to.peer_id, "12D3A");
        assert_eq!((page.exchange.duplicates, page.exchange.recent[0].sent), (3, 1));
        assert_eq!(page.exchange.messages(), 2 + 10 + 200 + 3000 + 40_000);
        assert_eq!(page.libp2p.connected_peers, ["12D3B"]);
        assert!((page.budget.limit_percent - 5.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_missing_reads_as_empty() {
        let page: Statusz = serde_json::from_str(r#"{"name":"a","rings":[{"id":"1"}]}"#).unwrap();
        assert_eq!((page.rings.len(), page.peers.len(), page.exchange.sent), (1, 0, 0));
    }
}
