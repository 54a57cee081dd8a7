//! Walks through the network: finding providers, and telling the closest peers of our keys.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use tokio::time::{sleep_until, timeout};
use unring_routing::{Key, LookupError, Provider};

use crate::kad::client::{AskError, Client};
use crate::kad::config::{
    ENOUGH_PROVIDERS, KadConfig, LOOKUP_STALLED_AFTER, MAX_BATCH, PARALLEL_LOOKUP_REQUESTS,
    PARALLEL_REQUESTS, PATIENCE, REPLICATION, SETTLED_ANSWERS, STALLED_AFTER,
};
use crate::kad::position::Position;
use crate::kad::router::KadGauges;
use crate::kad::walk::{Walk, WalkConfig};
use crate::kad::wire::{self, Answer, Contact};

/// Keys share the walk of a neighbour if it found so many of the peers nearest to both: half of those that hold a record.
const SHARED_PEERS: usize = REPLICATION / 2;

const WALK: WalkConfig =
    WalkConfig { closest: REPLICATION, parallel: PARALLEL_REQUESTS, stalled_after: STALLED_AFTER };

const LOOKUP: WalkConfig = WalkConfig {
    closest: REPLICATION,
    parallel: PARALLEL_LOOKUP_REQUESTS,
    stalled_after: LOOKUP_STALLED_AFTER,
};

/// What a look-up has found so far.
#[derive(Debug, Default)]
struct Found {
    providers: BTreeMap<PeerId, Vec<Multiaddr>>,
    /// Answers in a row that named nobody new.
    settled: usize,
}

impl Found {
    /// Takes an answer in; whether it was enough.
    fn on_answer(&mut self, local: PeerId, answer: &Answer) -> bool {
        let before = self.providers.len();
        for provider in answer.providers.iter().filter(|one| one.peer != local) {
            self.providers.entry(provider.peer).or_default().extend(provider.addresses.clone());
        }
        let found = self.providers.len();
        self.settled = if found == before { self.settled + 1 } else { 0 };
        found >= ENOUGH_PROVIDERS || (found > 0 && self.settled >= SETTLED_ANSWERS)
    }
}

/// Walks for the local peer. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Walker {
    pub(crate) local: PeerId,
    pub(crate) client: Client,
    pub(crate) config: KadConfig,
    pub(crate) gauges: Arc<KadGauges>,
}

impl Walker {
    /// Those who provide `key`, by asking ever closer peers until there are enough or the closest have answered.
    pub(crate) async fn find(&self, key: Key) -> Result<Vec<Provider>, LookupError> {
        let mut found = Found::default();
        let mut sizes = (0, 0);
        let walking = async {
            // What others told this node counts as the first answer.
            let known = self.client.known(key.as_bytes()).await?;
            if found.on_answer(self.local, &known) {
                return Ok(());
            }
            let target = Position(key.position());
            let walk = Walk::new(self.local, target, LOOKUP, known.closer);
            let request = wire::get_providers(key.as_bytes());
            let enough = |answer: Option<&Answer>| match answer {
                Some(answer) => found.on_answer(self.local, answer),
                None => !found.providers.is_empty(),
            };
            self.go(walk, &request, enough, &mut sizes).await;
            Ok::<_, AskError>(())
        };
        // At the timeout, what was found until then is found.
        if let Ok(Err(_)) = timeout(self.config.lookup_timeout, walking).await {
            return Err(LookupError::Ended);
        }
        let (asked, answered) = sizes;
        if asked > 0 && answered == 0 && found.providers.is_empty() {
            return Err(LookupError::Unreachable { asked });
        }
        let provider =
            |(peer, addresses): (PeerId, Vec<Multiaddr>)| Provider::new(peer, &addresses);
        Ok(found.providers.into_iter().filter_map(provider).collect())
    }

    /// Walks until it is done or `enough` says so of an answer; it is asked about none when only slow peers are waited for. If it
    /// was not enough these have [`PATIENCE`], as long as anybody has answered at all.
    async fn go(
        &self,
        mut walk: Walk,
        request: &[u8],
        mut enough: impl FnMut(Option<&Answer>) -> bool,
        (asked, answered): &mut (usize, usize),
    ) -> Walk {
        let mut on_their_way = FuturesUnordered::new();
        // Since when only slow peers are waited for.
        let mut stuck: Option<Instant> = None;
        while !walk.is_done() {
            while let Some(contact) = walk.next(Instant::now()) {
                *asked += 1;
                self.gauges.requests.fetch_add(1, Ordering::Relaxed);
                let peer = contact.peer;
                on_their_way.push(async move { (peer, self.client.ask(contact, request).await) });
            }
            let now = Instant::now();
            stuck = walk.only_stalled_left(now).then(|| stuck.unwrap_or(now));
            let patience = stuck.filter(|_| *answered > 0).map(|since| since + PATIENCE);
            if stuck.is_some() && (enough(None) || patience.is_some_and(|end| end <= now)) {
                break;
            }
            let stalled = walk.next_due(now).into_iter().chain(patience).min();
            tokio::select! {
                Some((peer, answer)) = on_their_way.next() => match answer {
                    Ok(answer) => {
                        *answered += 1;
                        let ends = enough(Some(&answer));
                        walk.on_answer(&peer, answer.closer);
                        if ends {
                            break;
                        }
                    }
                    Err(error) => {
                        self.gauges.request_failures.fetch_add(1, Ordering::Relaxed);
                        tracing::debug!(%peer, error = crate::failure::chain(&error), "request failed");
                        walk.on_failure(&peer);
                    }
                },
                () = async { match stalled {
                    Some(due) => sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }} => {}
                // Nothing on its way and nobody to ask.
                else => break,
            }
        }
        walk
    }

    /// The peers closest to `key` that answer, closest first.
    pub(crate) async fn closest(&self, key: &[u8]) -> Result<Vec<Contact>, AskError> {
        let seeds = self.client.known(key).await?.closer;
        let walk = Walk::new(self.local, Position::of_key(key), WALK, seeds);
        let walk = self.go(walk, &wire::find_node(key), |_| false, &mut (0, 0)).await;
        self.gauges.walks.fetch_add(1, Ordering::Relaxed);
        Ok(walk.into_answered())
    }

    /// Tells the peers closest to each of `keys`, which lie next to one another, that `own` provides it; returns those keys that
    /// nobody was told of.
    pub(crate) async fn provide(&self, keys: Vec<Key>, own: Contact) -> Vec<Key> {
        let mut pool: BTreeMap<PeerId, Contact> = BTreeMap::new();
        let mut walked: Vec<(Position, u32)> = Vec::new();
        let mut by_peer: HashMap<PeerId, Vec<usize>> = HashMap::new();
        for key in &keys {
            let position = Position(key.position());
            let served = |(other, depth): &(Position, u32)| position.common_bits(other) >= *depth;
            if walked.iter().any(served) {
                continue;
            }
            // A network that has ended tells nobody anything.
            let Ok(closest) = self.closest(key.as_bytes()).await else { return keys };
            walked.push((position, shared_depth(&position, &closest)));
            pool.extend(closest.into_iter().map(|contact| (contact.peer, contact)));
        }
        for (place, key) in keys.iter().enumerate() {
            let position = Position(key.position());
            let mut closest: Vec<_> = pool.keys().collect();
            closest.sort_by_cached_key(|peer| position.distance(&Position::of_peer(peer)));
            for peer in closest.into_iter().take(REPLICATION) {
                by_peer.entry(*peer).or_default().push(place);
            }
        }
        let told = self.tell_all(&keys, &own, pool, by_peer).await;
        let untold = keys.iter().zip(told).filter(|(_, told)| *told == 0);
        untold.map(|(key, _)| *key).collect()
    }

    /// Tells `peer`, which is connected, of those of `keys` to which it is one of the closest in our routing table.
    pub(crate) async fn tell_newcomer(
        &self,
        peer: PeerId,
        keys: &[Key],
        own: &Contact,
    ) -> Result<(), AskError> {
        let contact = Contact { peer, addresses: Vec::new() };
        let table = self.client.table().await?;
        let table: Vec<Position> = table.iter().map(Position::of_peer).collect();
        let newcomer = Position::of_peer(&peer);
        for batch in keys.chunks(MAX_BATCH) {
            let is_close = |key: &&Key| {
                let position = Position(key.position());
                let distance = position.distance(&newcomer);
                let closer = table.iter().filter(|other| position.distance(other) < distance);
                closer.count() < REPLICATION
            };
            let close: Vec<&Key> = batch.iter().filter(is_close).collect();
            if close.is_empty() {
                continue;
            }
            let messages: Vec<u8> =
                close.iter().flat_map(|key| wire::add_provider(key.as_bytes(), own)).collect();
            self.client.tell(contact.clone(), &messages).await?;
            let sent = u64::try_from(close.len()).unwrap_or(u64::MAX);
            self.gauges.records_sent.fetch_add(sent, Ordering::Relaxed);
        }
        Ok(())
    }

    /// How many peers were told of each key.
    async fn tell_all(
        &self,
        keys: &[Key],
        own: &Contact,
        mut pool: BTreeMap<PeerId, Contact>,
        by_peer: HashMap<PeerId, Vec<usize>>,
    ) -> Vec<usize> {
        let tell = by_peer.into_iter().filter_map(|(peer, places)| {
            let contact = pool.remove(&peer)?;
            Some(async move {
                let named = places.iter().filter_map(|place| keys.get(*place));
                let messages: Vec<u8> =
                    named.flat_map(|key| wire::add_provider(key.as_bytes(), own)).collect();
                (peer, self.client.tell(contact, &messages).await, places)
            })
        });
        let mut telling = futures::stream::iter(tell).buffer_unordered(PARALLEL_REQUESTS);
        let mut told = vec![0; keys.len()];
        while let Some((peer, result, places)) = telling.next().await {
            match result {
                Ok(()) => {
                    let messages = u64::try_from(places.len()).unwrap_or(u64::MAX);
                    self.gauges.records_sent.fetch_add(messages, Ordering::Relaxed);
                    for place in places {
                        if let Some(count) = told.get_mut(place) {
                            *count += 1;
                        }
                    }
                }
                Err(error) => {
                    self.gauges.request_failures.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(%peer, error = crate::failure::chain(&error), "not told of keys");
                }
            }
        }
        told
    }
}

/// How many leading bits a key must share with `target` for the peers closest to `target` to serve it too. All peers that share
/// more bits than the furthest of the closest are among them; where these are few, one bit less would not do, so none does.
fn shared_depth(target: &Position, closest: &[Contact]) -> u32 {
    let bits = |contact: &Contact| target.common_bits(&Position::of_peer(&contact.peer));
    let Some(furthest) = closest.get(REPLICATION - 1) else {
        // Fewer than hold a record: that is everybody.
        return 0;
    };
    let depth = bits(furthest) + 1;
    let inside = closest.iter().filter(|contact| bits(contact) >= depth).count();
    if inside >= SHARED_PEERS { depth } else { 257 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_serves_the_keys_whose_closest_it_has_found() {
        let target = Position::of_key(b"target");
        let network = |count: usize| {
            let contact = |_| Contact { peer: PeerId::random(), addresses: vec![] };
            let mut all: Vec<Contact> = (0..count).map(contact).collect();
            all.sort_by_key(|contact| target.distance(&Position::of_peer(&contact.peer)));
            all
        };
        assert_eq!(shared_depth(&target, &network(19)), 0);
        for _ in 0..20 {
            let all = network(500);
            let depth = shared_depth(&target, &all);
            if depth == 257 {
                continue;
            }
            let bits = |contact: &Contact| target.common_bits(&Position::of_peer(&contact.peer));
            let inside: Vec<_> = all.iter().filter(|contact| bits(contact) >= depth).collect();
            assert!((SHARED_PEERS..REPLICATION).contains(&inside.len()));
            // Any key in there has all of these among its closest twenty.
            let mut key = target;
            key.0[31] ^= 0xff;
            let mut closest = all.clone();
            closest.sort_by_key(|contact| key.distance(&Position::of_peer(&contact.peer)));
            assert!(inside.iter().all(|contact| closest[..REPLICATION].contains(contact)));
        }
    }

    #[test]
    fn a_look_up_has_enough_when_nobody_new_is_named() {
        let local = PeerId::random();
        let named = |peers: &[PeerId]| Answer {
            providers: peers
                .iter()
                .map(|peer| Contact { peer: *peer, addresses: vec![] })
                .collect(),
            ..Answer::default()
        };
        let peers: Vec<PeerId> = (0..ENOUGH_PROVIDERS).map(|_| PeerId::random()).collect();
        let mut found = Found::default();
        // Nobody found, or only this node itself: that never is enough.
        assert!((0..20).all(|_| !found.on_answer(local, &named(&[local]))));
        let (first, second) = (named(&peers[..1]), named(&peers[..2]));
        let answers = [&first, &first, &first, &second, &first, &second, &first];
        let enough: Vec<bool> =
            answers.iter().map(|answer| found.on_answer(local, answer)).collect();
        assert_eq!(enough, [false, false, false, false, false, false, true]);
        assert!(Found::default().on_answer(local, &named(&peers)));
    }
}
