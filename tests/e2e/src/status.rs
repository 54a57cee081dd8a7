//! A node's status page, as far as the tests look at it. A field that is missing fails the test.

use std::collections::BTreeSet;

use serde::Deserialize;

/// What a node says of itself.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its peer id.
    pub peer_id: String,
    /// Time since the start of its process, in seconds.
    pub uptime_s: f64,
    /// Its own record.
    pub record: Record,
    /// Its joins.
    pub upstreams: Vec<Upstream>,
    /// The nodes that it knows.
    pub peers: Vec<Peer>,
    /// The rings that it knows.
    pub rings: Vec<Ring>,
    /// Counters.
    pub exchange: Exchange,
    /// Its libp2p side.
    pub libp2p: Libp2p,
    /// Its disk.
    pub database: Database,
    /// Its CPU.
    pub budget: Budget,
}

/// A node's own record.
#[derive(Clone, Debug, Deserialize)]
pub struct Record {
    /// Its version.
    pub seq: u64,
}

/// A configured join.
#[derive(Clone, Debug, Deserialize)]
pub struct Upstream {
    /// As configured.
    pub address: String,
    /// What the node does with it.
    pub state: String,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// Whether it leads to several nodes.
    pub shared: bool,
}

/// A node in the book.
#[derive(Clone, Debug, Deserialize)]
pub struct Peer {
    /// Its peer id.
    pub peer_id: String,
    /// Its name.
    pub name: String,
    /// Version of its record.
    pub seq: u64,
    /// What it joins.
    pub joins: Vec<Join>,
    /// Whether there is a libp2p connection to it.
    pub connected: bool,
    /// Whether this version of its record is on disk.
    pub saved: bool,
}

/// A join of a node in the book.
#[derive(Clone, Debug, Deserialize)]
pub struct Join {
    /// As configured there.
    pub address: String,
}

/// A ring.
#[derive(Clone, Debug, Deserialize)]
pub struct Ring {
    /// `self-join`, `plain` or `shared`.
    pub kind: String,
    /// Its nodes.
    pub members: Vec<Member>,
    /// A shortest circuit.
    pub witness: Vec<Member>,
}

/// A node of a ring.
#[derive(Clone, Debug, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
}

/// Counters since the start.
#[derive(Clone, Debug, Deserialize)]
pub struct Exchange {
    /// Requests answered.
    pub served: u64,
    /// Requests refused or degraded.
    pub throttled: u64,
    /// Records taken into the book.
    pub records_kept: u64,
    /// The last recursive requests.
    pub recent: Vec<Recent>,
}

/// A recursive request.
#[derive(Clone, Debug, Deserialize)]
pub struct Recent {
    /// Where it started.
    pub origin: String,
    /// Its id.
    pub request_id: String,
    /// How many times this node sent it on.
    pub sent: u64,
}

/// The libp2p side.
#[derive(Clone, Debug, Deserialize)]
pub struct Libp2p {
    /// Peer ids with a live connection.
    pub connected_peers: BTreeSet<String>,
}

/// What is on disk.
#[derive(Clone, Debug, Deserialize)]
pub struct Database {
    /// `open` or `unavailable`.
    pub state: String,
    /// Records that came back from disk.
    pub restored: usize,
    /// Where the last file is that could not be used.
    pub set_aside: Option<String>,
}

/// CPU.
#[derive(Clone, Debug, Deserialize)]
pub struct Budget {
    /// `normal`, `degraded` or `refusing`.
    pub level: String,
}

impl Status {
    /// The node with this peer id, where it is known.
    ///
    /// # Errors
    /// It is not.
    pub fn peer(&self, peer_id: &str) -> Result<&Peer, String> {
        let known = || self.peers.iter().map(|peer| peer.name.as_str()).collect::<Vec<_>>();
        self.peers
            .iter()
            .find(|peer| peer.peer_id == peer_id)
            .ok_or_else(|| format!("{} knows {:?}, not {peer_id}", self.name, known()))
    }

    /// Kind and names of the members of each ring, sorted.
    pub fn rings(&self) -> Vec<(&str, BTreeSet<&str>)> {
        let members =
            self.rings.iter().map(|ring| ring.members.iter().map(|member| member.name.as_str()));
        self.rings
            .iter()
            .map(|ring| ring.kind.as_str())
            .zip(members.map(Iterator::collect))
            .collect()
    }
}
