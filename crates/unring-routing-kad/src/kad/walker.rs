//! Walks through the network: finding providers, and telling the closest peers of our keys.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures::StreamExt as _;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use tokio::task::yield_now;
use tokio::time::timeout;
use unring_routing::{Key, LookupError, MAX_PROVIDERS, Provider};

use crate::kad::asking::Asking;
use crate::kad::client::{AskError, Client};
use crate::kad::config::{
    ENOUGH_PROVIDERS, ENOUGH_RESPONDERS, KadConfig, LOOKUP_STALLED_AFTER, MAX_BATCH,
    MAX_PROVIDERS_IN_ANSWER, PARALLEL_LOOKUP_REQUESTS, PARALLEL_REQUESTS, REPLICATION,
    SETTLED_ANSWERS, STALLED_AFTER,
};
use crate::kad::patience::Patience;
use crate::kad::position::Position;
use crate::kad::router::KadGauges;
use crate::kad::walk::{Walk, WalkConfig};
use crate::kad::wire::{self, Answer, Contact};

/// Keys share the walk of a neighbour if it found so many of the peers nearest to both: half of those that hold a record.
const SHARED_PEERS: usize = REPLICATION / 2;

/// More bits than two different positions can have in common.
const OWN_KEY_ONLY: u32 = 256;

/// Keys for which the closest peers are sought between two looks at the network; some 20 us each in a pool of 100.
const YIELD_AFTER: usize = 32;

const WALK: WalkConfig = WalkConfig {
    closest: 2 * REPLICATION,
    parallel: PARALLEL_REQUESTS,
    stalled_after: STALLED_AFTER,
};

const LOOKUP: WalkConfig = WalkConfig {
    closest: REPLICATION,
    parallel: PARALLEL_LOOKUP_REQUESTS,
    stalled_after: LOOKUP_STALLED_AFTER,
};

/// What a look-up has found so far.
#[derive(Debug, Default)]
struct Found {
    providers: HashSet<PeerId>,
    /// What each who answered named.
    named: Vec<Vec<Contact>>,
    /// Answers in a row that named nobody new.
    settled: usize,
}

impl Found {
    /// Takes an answer in; whether it was enough.
    fn on_answer(&mut self, local: PeerId, answer: &Answer) -> bool {
        let before = self.providers.len();
        let others = answer.providers.iter().filter(|one| one.peer != local);
        let named: Vec<Contact> = others.take(MAX_PROVIDERS_IN_ANSWER).cloned().collect();
        self.providers.extend(named.iter().map(|one| one.peer));
        self.named.push(named);
        let found = self.providers.len();
        self.settled = if found == before { self.settled + 1 } else { 0 };
        let heard = self.named.len() >= ENOUGH_RESPONDERS;
        (found >= ENOUGH_PROVIDERS && heard) || (found > 0 && self.settled >= SETTLED_ANSWERS)
    }

    /// The first of each answer, then the second of each, and so on, and their addresses likewise: whoever names many, or many
    /// addresses, takes no more than a share.
    fn into_providers(self) -> Vec<Provider> {
        let mut order: Vec<PeerId> = Vec::new();
        let mut addresses: HashMap<PeerId, Vec<&[Multiaddr]>> = HashMap::new();
        let most = self.named.iter().map(Vec::len).max().unwrap_or(0);
        for place in 0..most {
            for contact in self.named.iter().filter_map(|named| named.get(place)) {
                let known = addresses.entry(contact.peer).or_default();
                if known.is_empty() {
                    order.push(contact.peer);
                }
                known.push(&contact.addresses);
            }
        }
        let provider = |peer: PeerId| {
            let told = addresses.get(&peer)?;
            let most = told.iter().map(|told| told.len()).max().unwrap_or(0);
            let in_turn =
                (0..most).flat_map(|place| told.iter().filter_map(move |told| told.get(place)));
            Provider::new(peer, in_turn)
        };
        order.into_iter().filter_map(provider).take(MAX_PROVIDERS).collect()
    }
}

/// Walks for the local peer. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Walker {
    pub(crate) local: PeerId,
    pub(crate) client: Client,
    pub(crate) config: KadConfig,
    pub(crate) gauges: Arc<KadGauges>,
    pub(crate) patience: Patience,
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
            let ask = |contact| self.client.ask(contact, &request);
            self.asking(false).walk(walk, ask, enough, &mut sizes).await;
            Ok::<_, AskError>(())
        };
        // At the timeout, what was found until then is found.
        if let Ok(Err(_)) = timeout(self.config.lookup_timeout, walking).await {
            return Err(LookupError::Ended);
        }
        let (asked, answered) = sizes;
        let requests = u64::try_from(asked).unwrap_or(u64::MAX);
        self.gauges.lookup_requests.fetch_add(requests, Ordering::Relaxed);
        if asked > 0 && answered == 0 && found.providers.is_empty() {
            return Err(LookupError::Unreachable { asked });
        }
        Ok(found.into_providers())
    }

    fn asking(&self, to_the_end: bool) -> Asking<'_> {
        Asking { patience: &self.patience, gauges: &self.gauges, to_the_end }
    }

    /// The peers closest to `key` that answer, closest first, and how many leading bits a key must share with it to be served by
    /// the same walk.
    pub(crate) async fn closest(&self, key: &[u8]) -> Result<(Vec<Contact>, u32), AskError> {
        let seeds = self.client.known(key).await?.closer;
        let target = Position::of_key(key);
        let walk = Walk::new(self.local, target, WALK, seeds);
        let request = wire::find_node(key);
        let ask = |contact| self.client.ask(contact, &request);
        let walk = self.asking(true).walk(walk, ask, |_| false, &mut (0, 0)).await;
        self.gauges.walks.fetch_add(1, Ordering::Relaxed);
        let all = walk.is_exhausted();
        let closest = walk.into_answered();
        let depth = shared_depth(&target, &closest, all);
        Ok((closest, depth))
    }

    /// Tells the peers closest to each of `keys`, which lie next to one another, that `own` provides it. Those of one walk are told
    /// before the next begins, and when `deadline` is over no further one does.
    pub(crate) async fn provide(
        &self,
        keys: Vec<Key>,
        own: Contact,
        deadline: Instant,
    ) -> Provided {
        let mut left: Vec<(Position, Key)> =
            keys.into_iter().map(|key| (Position(key.position()), key)).collect();
        let mut provided = Provided::default();
        let mut pool: BTreeMap<PeerId, (Position, Contact)> = BTreeMap::new();
        while let Some((position, key)) = left.first().copied() {
            if Instant::now() >= deadline {
                break;
            }
            // A network that has ended tells nobody anything.
            let Ok((closest, depth)) = self.closest(key.as_bytes()).await else { break };
            pool.extend(
                closest
                    .into_iter()
                    .map(|contact| (contact.peer, (Position::of_peer(&contact.peer), contact))),
            );
            let served = |(other, _): &(Position, Key)| position.common_bits(other) >= depth;
            let (now, later) = left.into_iter().partition(served);
            left = later;
            self.tell_all(now, &own, &pool, &mut provided).await;
        }
        provided.left = left.into_iter().map(|(_, key)| key).collect();
        provided
    }

    /// Tells `peer`, which is connected, of those of `keys` to which it is one of the closest in our routing table.
    pub(crate) async fn tell_newcomer(
        &self,
        peer: PeerId,
        keys: &[(Position, Key)],
        own: &Contact,
    ) -> Result<(), AskError> {
        let contact = Contact { peer, addresses: Vec::new() };
        let table = self.client.table().await?;
        let table: Vec<Position> = table.iter().map(Position::of_peer).collect();
        let newcomer = Position::of_peer(&peer);
        let is_close = |position: &Position| {
            let distance = position.distance(&newcomer);
            let closer = table.iter().filter(|other| position.distance(other) < distance);
            closer.take(REPLICATION).count() < REPLICATION
        };
        for batch in keys.chunks(MAX_BATCH) {
            let mut close = Vec::new();
            for (place, (position, key)) in batch.iter().enumerate() {
                if is_close(position) {
                    close.push(key);
                }
                if place % YIELD_AFTER == YIELD_AFTER - 1 {
                    yield_now().await;
                }
            }
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

    /// Tells the closest of `pool` of each key, and sorts the keys by how many heard of them.
    async fn tell_all(
        &self,
        keys: Vec<(Position, Key)>,
        own: &Contact,
        pool: &BTreeMap<PeerId, (Position, Contact)>,
        provided: &mut Provided,
    ) {
        let mut by_peer: HashMap<PeerId, Vec<usize>> = HashMap::new();
        for (place, (position, _)) in keys.iter().enumerate() {
            let mut closest: Vec<_> =
                pool.iter().map(|(peer, (other, _))| (position.distance(other), *peer)).collect();
            if closest.len() > REPLICATION {
                closest.select_nth_unstable(REPLICATION - 1);
                closest.truncate(REPLICATION);
            }
            for (_, peer) in closest {
                by_peer.entry(peer).or_default().push(place);
            }
            // Thousands of keys must not hold up the network's loop, which runs in the same task.
            if place % YIELD_AFTER == YIELD_AFTER - 1 {
                yield_now().await;
            }
        }
        let tell = by_peer.into_iter().filter_map(|(peer, places)| {
            let contact = pool.get(&peer)?.1.clone();
            let keys = &keys;
            Some(async move {
                let named = places.iter().filter_map(|place| keys.get(*place));
                let messages: Vec<u8> =
                    named.flat_map(|(_, key)| wire::add_provider(key.as_bytes(), own)).collect();
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
        drop(telling);
        let wanted = pool.len().min(REPLICATION).div_ceil(2);
        for ((_, key), told) in keys.into_iter().zip(told) {
            match told {
                0 => provided.nobody.push(key),
                few if few < wanted => provided.few.push(key),
                _ => provided.enough += 1,
            }
        }
    }
}

/// What came of telling others of keys.
#[derive(Debug, Default)]
pub(crate) struct Provided {
    /// How many keys at least half of those heard of that hold a record.
    pub(crate) enough: usize,
    /// Keys that fewer heard of.
    pub(crate) few: Vec<Key>,
    /// Keys that nobody heard of.
    pub(crate) nobody: Vec<Key>,
    /// Keys for which there was no time.
    pub(crate) left: Vec<Key>,
}

/// How many leading bits a key must share with `target` for the peers closest to `target` to serve it too. All peers that share
/// more bits than the furthest of the closest are among them; `all`: so is everybody.
///
/// The walk looks for twice as many peers as hold a record, so that there are nearly always enough which share more bits than the
/// furthest: with as many as hold a record, one walk in a few would serve its own key only.
fn shared_depth(target: &Position, closest: &[Contact], all: bool) -> u32 {
    let bits = |contact: &Contact| target.common_bits(&Position::of_peer(&contact.peer));
    let furthest = match closest.get(WALK.closest - 1) {
        Some(furthest) => furthest,
        None if all => return 0,
        None => match closest.last() {
            Some(furthest) => furthest,
            // Nobody answers, which another walk will not change.
            None => return 0,
        },
    };
    let depth = bits(furthest) + 1;
    let inside = closest.iter().filter(|contact| bits(contact) >= depth).count();
    if inside >= SHARED_PEERS { depth } else { OWN_KEY_ONLY }
}

#[cfg(test)]
mod tests;
