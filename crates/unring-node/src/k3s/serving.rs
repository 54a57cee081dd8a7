//! What this node answers to K3s's clients, and what it lets them use.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::seq::SliceRandom as _;
use tokio::net::TcpListener;
use unring_k3s::{
    Admission, Caller, Closed, Gate, K3sAddress, K3sServer, Peers, Standing, Unavailable, limits,
    network,
};
use unring_rate_governor::{Decision, Limited, Priority};

use super::count;
use crate::admin::not_ready;
use crate::errors::chain;
use crate::exchange::CallerKey;
use crate::log::NODE;
use crate::node::Parts;

/// A TLS handshake in units of an answer from the book: half a millisecond against some 50 us.
const HANDSHAKE_COST: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// How long a list is given out again: to make one costs more than to send it.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// Others that must be known for our own address to be left out. One of them may be who asks.
const ENOUGH_OTHERS: usize = 2;

/// Answers until it is dropped.
pub(crate) async fn serve(parts: Arc<Parts>, listener: std::net::TcpListener) {
    // There is one where there is a listener.
    let Some(served) = parts.k3s.files.served() else { return };
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(target: NODE, error = chain(&error), "K3s's path is not served");
            return;
        }
    };
    let answers = Answers { parts: Arc::clone(&parts), kept: Mutex::default() };
    let server = Arc::new(K3sServer::going_by(answers, served.offer.clone()));
    unring_k3s::serve(listener, move || served.tls(), server, Door(parts)).await;
}

/// What requests get.
struct Answers {
    parts: Arc<Parts>,
    /// The list, and when it was made.
    kept: Mutex<Option<(Duration, Vec<K3sAddress>)>>,
}

impl Peers for Answers {
    fn admit(&self, caller: &Caller<'_>) -> Admission {
        let counters = &self.parts.k3s.counters;
        // Strangers and seekers of the CA get what those who take part leave over.
        let priority = match caller.standing {
            Standing::Unknown => {
                count(&counters.unauthorized);
                Priority::Probe
            }
            Standing::Certified(_) | Standing::Token { .. } => Priority::Exchange,
        };
        match check(&self.parts, caller.address, priority, NonZeroU32::MIN) {
            Ok(()) => Admission::Granted,
            Err(retry_after) => {
                count(&counters.throttled);
                Admission::Later { retry_after }
            }
        }
    }

    fn addresses(
        &self,
        caller: &Caller<'_>,
        at_most: usize,
    ) -> Result<Vec<K3sAddress>, Unavailable> {
        self.parts.k3s.rings.arrived(caller.address);
        count(&self.parts.k3s.counters.served);
        let now = self.parts.exchange.now().mono;
        let mut kept = self.kept.lock();
        if let Some((made, list)) = &*kept
            && now.saturating_sub(*made) < KEPT_FOR
        {
            return Ok(list.clone());
        }
        let (mut list, others) = known(&self.parts);
        // What is known is told at once, whoever else may still be found.
        if others == 0 && not_ready(&self.parts).is_some() {
            return Err(Unavailable::Starting);
        }
        list.truncate(at_most);
        *kept = Some((now, list.clone()));
        Ok(list)
    }
}

/// The nodes of the book, those first that are connected: a client that reads one address gets one that answers. Then
/// those that are connected and were told by one of our sources: of these nobody has signed for how long they are good, and
/// two nodes that told each other would keep a dead one for ever. Then our own, where hardly anybody else is known. And how
/// many others there are.
fn known(parts: &Parts) -> (Vec<K3sAddress>, usize) {
    let connected = parts.network.connected();
    let mut peers = parts.exchange.read(|engine, now| engine.peers(now));
    peers.shuffle(&mut rand::rng());
    peers.sort_by_key(|peer| !connected.contains(&peer.record.record().peer_id));
    let others = peers.iter().flat_map(|peer| {
        let record = peer.record.record();
        let at = |address: &unring_peer::PeerAddress| K3sAddress {
            peer: record.peer_id,
            address: address.clone(),
        };
        record.addresses.iter().map(at)
    });
    let mut found = parts.sources.peers();
    found.retain(|peer, _| {
        connected.contains(peer) && peers.iter().all(|known| known.record.record().peer_id != *peer)
    });
    let told = found.iter().flat_map(|(peer, addresses)| {
        addresses.iter().map(|address| K3sAddress { peer: *peer, address: address.clone() })
    });
    let mut list: Vec<_> = others.chain(told).take(limits::MAX_SERVED_ADDRESSES).collect();
    let is_reachable =
        |peer: &&unring_exchange::PeerView| !peer.record.record().addresses.is_empty();
    let others = peers.iter().filter(is_reachable).count() + found.len();
    if others < ENOUGH_OTHERS {
        let own = parts.advertised.libp2p.iter().cloned();
        list.extend(own.map(|address| K3sAddress { peer: parts.me, address }));
    }
    (list, others)
}

/// Charges who calls from here; else when to come back. All behind one address, or one /64, share what it may use and one
/// place in the table of callers.
fn check(
    parts: &Parts,
    client: IpAddr,
    priority: Priority,
    cost: NonZeroU32,
) -> Result<(), Duration> {
    match parts.governor.check(&CallerKey::Anonymous(network(client)), priority, cost) {
        Decision::Admitted => Ok(()),
        // There is no half of a handshake, and what costs one unit is never degraded.
        Decision::Degraded(Limited { retry_after, .. })
        | Decision::Refused(Limited { retry_after, .. }) => Err(retry_after),
    }
}

/// Who gets a handshake.
struct Door(Arc<Parts>);

impl Gate for Door {
    fn admit(&self, client: IpAddr) -> bool {
        // Nobody knows yet who it is: strangers must not use up what those who take part need.
        let admitted = check(&self.0, client, Priority::Probe, HANDSHAKE_COST).is_ok();
        if !admitted {
            count(&self.0.k3s.counters.refused_connections);
        }
        admitted
    }

    fn pause(&self) -> Option<Duration> {
        // As the gRPC listener does when refusing has not been enough.
        let per_second = self.0.pressure.accept_rate()?;
        Some(Duration::from_secs(1) / per_second.get())
    }

    fn closed(&self, closed: Closed) {
        let counters = &self.0.k3s.counters;
        count(match closed {
            Closed::Newcomer => &counters.full,
            Closed::Quietest => &counters.gave_way,
        });
    }
}
