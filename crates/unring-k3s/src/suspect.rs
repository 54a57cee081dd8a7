//! Rings through legacy servers, which no request tells of: suspected when requests come in while ours are out.
//!
//! A legacy server that has no address of its own asks its own servers before it answers. In a ring our request to it so
//! comes back as a request to us, from the last server of the ring, while ours is in flight. It carries nothing by which to
//! know it, so time is the only evidence.
//!
//! # The rule
//!
//! For each pair of a server that we ask and a client that asks us, a score is kept (CUSUM: Page 1954). Let *f* be the share
//! of the time for which a request of ours to the server was in flight, over the last [`WINDOWS`] requests. The client's
//! first request during one of ours adds log2(0.5 / *f*); each of its requests at another time adds
//! log2(0.5 / (1 - *f*)), which is about -1. The score is never below 0. At [`SUSPECT_AT`] bits the ring is suspected.
//!
//! # False positives
//!
//! A client whose requests come independently of ours hits one of ours with probability *f*, so each step is the logarithm
//! of a likelihood ratio, and on average at least 2^[`SUSPECT_AT`] of its requests pass between two false alarms
//! (Lorden 1971). That is a million; a client that asks each half hour takes 60 years. *f* is taken as at least
//! [`LEAST_SHARE`], so that no fewer than 3 hits suffice, and where requests of ours are in flight for half of the time
//! or more, nothing can be told and nothing is.
//!
//! It takes that our requests are not sent in step with the client's. A caller must therefore jitter them.
//!
//! # What is missed
//!
//! A ring with another unring node between us and the client: that node answers from its book and asks nobody. A server
//! that knows an address asks nobody either (K3s since April 2025). A client behind an address that others share.

mod history;
mod pair;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use thiserror::Error;

use self::history::History;
use self::pair::Pair;
use crate::url::ServerUrl;

/// Requests to a server by which the share of time is measured.
pub const WINDOWS: usize = 16;

/// Score at which a ring is suspected, in bits.
pub const SUSPECT_AT: f64 = 20.0;

/// The least share of time that is reckoned with: 7 bits for a hit, so 3 hits are needed.
pub const LEAST_SHARE: f64 = 1.0 / 256.0;

/// Requests of ours in a row that brought none of the client's, after which a suspicion is withdrawn.
pub const MISSES_TO_WITHDRAW: u32 = 3;

/// A server may go on with what we asked for after we gave up: K3s does for as long as its own calls take. What comes within
/// this time counts neither for nor against.
pub const LATE_FOR: Duration = Duration::from_secs(10);

/// Servers that are watched: every list that a person keeps by hand. The next is refused.
pub const MAX_SERVERS: usize = 32;

/// Clients watched for each server. The one with the lowest score gives way, unless it is suspected.
pub const MAX_CLIENTS: usize = 64;

/// Watches the requests of this node to legacy servers, and those of legacy clients to this node.
///
/// Time is an argument, measured from any fixed point, and must not go back; where it does it is taken to stand still.
#[derive(Debug, Default)]
pub struct LegacyRings {
    servers: BTreeMap<ServerUrl, Watched>,
}

#[derive(Debug)]
struct Watched {
    history: History,
    pairs: BTreeMap<IpAddr, Pair>,
    /// Where its name last led to.
    remote: Option<IpAddr>,
}

/// A server more than [`MAX_SERVERS`].
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("at most {MAX_SERVERS} legacy servers are watched")]
pub struct TooManyServers;

/// How a request of ours ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With an answer, whatever it was, from this address.
    Answered(IpAddr),
    /// It got there, and no answer came, or one of which it is not known from where.
    Failed,
    /// It never got there: no connection.
    NotSent,
    /// We did not wait longer, and the server may still be at it.
    GaveUp,
}

/// A ring through a legacy server, as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspicion {
    /// The server that we ask.
    pub server: ServerUrl,
    /// The client whose requests come with ours: the last server of the ring.
    pub client: IpAddr,
    /// Whether client and server have one address, so that nobody else is in the ring.
    pub direct: bool,
    /// Requests of ours during which one of the client's came.
    pub hits: u64,
    /// Requests of the client at other times.
    pub others: u64,
    /// How much likelier a ring is than chance, as a power of 2.
    pub bits: f64,
}

/// What changed.
#[derive(Clone, Debug, PartialEq)]
pub enum RingNews {
    /// A ring is suspected from now on.
    Suspected(Suspicion),
    /// It is not any more.
    Withdrawn(Suspicion),
}

impl LegacyRings {
    /// Watches nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A request to `server` is about to be sent.
    ///
    /// # Errors
    /// When too many servers are watched already; this one is then not.
    pub fn fetch_started(
        &mut self,
        server: &ServerUrl,
        now: Duration,
    ) -> Result<(), TooManyServers> {
        if !self.servers.contains_key(server) && self.servers.len() >= MAX_SERVERS {
            return Err(TooManyServers);
        }
        let watched = self.servers.entry(server.clone()).or_insert_with(|| Watched {
            history: History::new(now),
            pairs: BTreeMap::new(),
            remote: None,
        });
        watched.history.start(now);
        Ok(())
    }

    /// A request to `server` ended.
    pub fn fetch_ended(&mut self, server: &ServerUrl, how: Ended, now: Duration) -> Vec<RingNews> {
        let Some(watched) = self.servers.get_mut(server) else { return Vec::new() };
        if let Ended::Answered(remote) = how {
            watched.remote = Some(remote.to_canonical());
        }
        let last = watched.history.end(now, how == Ended::GaveUp);
        if !last {
            return Vec::new();
        }
        let remote = watched.remote;
        let mut news = Vec::new();
        for (client, pair) in &mut watched.pairs {
            if pair.window_over(how != Ended::NotSent) {
                news.push(RingNews::Withdrawn(pair.suspicion(server, *client, remote)));
                pair.clear();
            }
        }
        watched.pairs.retain(|_, pair| !pair.is_idle());
        news
    }

    /// A request of a legacy client came in. To be called for those that are let in alone.
    pub fn request_arrived(&mut self, client: IpAddr, now: Duration) -> Vec<RingNews> {
        let client = client.to_canonical();
        let mut news = Vec::new();
        for (server, watched) in &mut self.servers {
            let (when, remote) = (watched.history.when(now), watched.remote);
            let Some(pair) = watched.pair(client, when) else { continue };
            let was = pair.suspected;
            pair.arrived(when);
            match (was, pair.suspected) {
                (false, true) => {
                    news.push(RingNews::Suspected(pair.suspicion(server, client, remote)));
                }
                (true, false) => {
                    news.push(RingNews::Withdrawn(pair.suspicion(server, client, remote)));
                    pair.clear();
                }
                _ => {}
            }
        }
        news
    }

    /// Watches `server` no longer: it was taken out of the configuration. What was suspected of it is withdrawn.
    pub fn forget(&mut self, server: &ServerUrl) -> Vec<RingNews> {
        let Some(watched) = self.servers.remove(server) else { return Vec::new() };
        let suspected = watched.pairs.iter().filter(|(_, pair)| pair.suspected);
        suspected
            .map(|(client, pair)| {
                RingNews::Withdrawn(pair.suspicion(server, *client, watched.remote))
            })
            .collect()
    }

    /// All that is suspected now.
    pub fn suspicions(&self) -> impl Iterator<Item = Suspicion> {
        self.servers.iter().flat_map(|(server, watched)| {
            let suspected = watched.pairs.iter().filter(|(_, pair)| pair.suspected);
            suspected.map(|(client, pair)| pair.suspicion(server, *client, watched.remote))
        })
    }
}

impl Watched {
    /// The pair of this client; made only for a hit, for a miss of somebody unknown says nothing.
    fn pair(&mut self, client: IpAddr, when: When) -> Option<&mut Pair> {
        if !self.pairs.contains_key(&client) {
            if !matches!(when, When::During { .. }) {
                return None;
            }
            if self.pairs.len() >= MAX_CLIENTS {
                let open = self.pairs.iter().filter(|(_, pair)| !pair.suspected);
                let least = open.min_by(|a, b| a.1.score().total_cmp(&b.1.score()))?;
                let least = *least.0;
                self.pairs.remove(&least);
            }
        }
        Some(self.pairs.entry(client).or_default())
    }
}

/// When a client's request came, seen from ours to one server.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    /// While ours was in flight, which it is for this share of the time.
    During { share: f64 },
    /// While none was.
    Outside { share: f64 },
    /// Shortly after we gave up.
    Late,
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, client, hits, others, .. } = self;
        write!(f, "a ring of joins through {server} is suspected: ")?;
        write!(f, "during {hits} requests to it one from {client} came back")?;
        if *others > 0 {
            write!(f, ", and {others} at other times")?;
        }
        match self.direct {
            true => write!(f, "; that is the server itself, which joins this node"),
            false => write!(f, "; that server joins this node, and is joined behind {server}"),
        }
    }
}
