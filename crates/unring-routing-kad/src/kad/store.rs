//! What other nodes told this one that they provide, and what it provides itself.
//!
//! Not libp2p's `MemoryStore`: its bound of 1024 counts our own keys and those of others together, the first 20 providers of a key
//! keep all later ones out, and what expired stays until it is read.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::iter::{Empty, empty};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use libp2p::kad::store::{Error, RecordStore, Result};
use libp2p::kad::{ProviderRecord, Record, RecordKey};
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use unring_routing::Key;

use crate::kad::config::StoreLimits;
use crate::kad::wire::Contact;

/// What became of a record that somebody told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is kept.
    Kept,
    /// It is kept, in the place of another one of its key, chosen at random: then each has the same chance to be known.
    Replaced,
    /// The store is full.
    Full,
    /// Its provider has as many records as one may have.
    ProviderFull,
    /// The key is not a sha2-256 multihash.
    BadKey,
    /// None of its addresses is an IP address.
    NoAddress,
}

/// Provider records, bounded in total, per provider and per key.
pub(crate) struct Records {
    local: PeerId,
    limits: StoreLimits,
    own: HashSet<Key>,
    own_addresses: Vec<Multiaddr>,
    keys: HashMap<Key, Vec<Held>>,
    /// Everyone with at least one record: their newest addresses, and how many they have.
    providers: HashMap<PeerId, (Vec<Multiaddr>, usize)>,
    total: usize,
    rng: StdRng,
    /// Answers given.
    turn: AtomicUsize,
    /// The alarm was given and the store has not emptied since.
    alarmed: bool,
}

#[derive(Debug)]
struct Held {
    provider: PeerId,
    expires: Instant,
}

impl Records {
    pub(crate) fn new(local: PeerId, limits: StoreLimits, seed: u64) -> Self {
        let (own, own_addresses, keys, providers) = Default::default();
        let rng = StdRng::seed_from_u64(seed);
        let (total, turn, alarmed) = Default::default();
        Self { local, limits, own, own_addresses, keys, providers, total, rng, turn, alarmed }
    }

    /// What others are told of where this node is.
    pub(crate) fn set_own_addresses(&mut self, addresses: Vec<Multiaddr>) {
        self.own_addresses = addresses;
    }

    /// Answers that this node provides `keys`, or no longer. Bounded by what the router advertises.
    pub(crate) fn set_own(&mut self, keys: Vec<Key>, owned: bool) {
        if owned {
            self.own.extend(keys);
        } else {
            keys.iter().for_each(|key| _ = self.own.remove(key));
        }
    }

    /// Keeps what `record`'s provider told of itself, if there is room.
    pub(crate) fn admit(&mut self, now: Instant, record: ProviderRecord) -> Admission {
        let Some(key) = Key::from_multihash(record.key.as_ref()) else { return Admission::BadKey };
        let Contact { peer, addresses } = Contact::new(record.provider, record.addresses);
        if addresses.is_empty() {
            return Admission::NoAddress;
        }
        let expires = record.expires.unwrap_or(now + self.limits.validity);
        if let Some(held) = self.keys.get_mut(&key)
            && let Some(held) = held.iter_mut().find(|held| held.provider == peer)
        {
            held.expires = expires;
            if let Some((known, _)) = self.providers.get_mut(&peer) {
                *known = addresses;
            }
            return Admission::Kept;
        }
        let count = self.providers.get(&peer).map_or(0, |(_, count)| *count);
        if count >= self.limits.per_provider {
            return Admission::ProviderFull;
        }
        let at_key = self.keys.get(&key).map_or(0, Vec::len);
        let replaces = at_key >= self.limits.per_key;
        if replaces {
            let place = self.rng.random_range(0..at_key);
            self.remove_at(&key, place);
        } else if self.total >= self.limits.records {
            return Admission::Full;
        }
        self.keys.entry(key).or_default().push(Held { provider: peer, expires });
        let known = self.providers.entry(peer).or_default();
        *known = (addresses, known.1 + 1);
        self.total += 1;
        if replaces { Admission::Replaced } else { Admission::Kept }
    }

    fn remove_at(&mut self, key: &Key, place: usize) {
        let Some(held) = self.keys.get_mut(key).filter(|held| place < held.len()) else { return };
        let gone = held.swap_remove(place);
        if held.is_empty() {
            self.keys.remove(key);
        }
        self.forget_one(&gone.provider);
    }

    fn forget_one(&mut self, provider: &PeerId) {
        self.total -= 1;
        if let Some((_, count)) = self.providers.get_mut(provider) {
            *count -= 1;
            if *count == 0 {
                self.providers.remove(provider);
            }
        }
    }

    /// Forgets what expired.
    pub(crate) fn expire(&mut self, now: Instant) {
        let mut gone = Vec::new();
        self.keys.retain(|_, held| {
            held.retain(|held| {
                let valid = now < held.expires;
                if !valid {
                    gone.push(held.provider);
                }
                valid
            });
            !held.is_empty()
        });
        gone.iter().for_each(|provider| self.forget_one(provider));
        let calm = self.total.saturating_mul(10) < self.limits.records.saturating_mul(7);
        self.alarmed &= !calm;
    }

    /// Once when four fifths of the places are taken, and again only after it has fallen below seven tenths.
    pub(crate) fn take_alarm(&mut self) -> bool {
        let high = self.total.saturating_mul(5) >= self.limits.records.saturating_mul(4);
        let alarm = high && !self.alarmed;
        self.alarmed |= high;
        alarm
    }

    /// Records of others, at most [`StoreLimits::records`].
    pub(crate) fn len(&self) -> usize {
        self.total
    }

    /// Nodes with at least one record.
    pub(crate) fn providers_held(&self) -> usize {
        self.providers.len()
    }

    fn known(&self, now: Instant, key: &RecordKey) -> Vec<ProviderRecord> {
        let Some(found) = Key::from_multihash(key.as_ref()) else { return Vec::new() };
        let record = |provider, expires, addresses: &Vec<Multiaddr>| ProviderRecord {
            key: key.clone(),
            provider,
            expires,
            addresses: addresses.clone(),
        };
        let own = self.own.contains(&found).then(|| record(self.local, None, &self.own_addresses));
        let held = self.keys.get(&found).map_or(&[][..], Vec::as_slice);
        // Answers have room for 20: each asker is told of others.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let first = turn.checked_rem(held.len()).unwrap_or(0);
        let (last, first) = held.split_at(first);
        let valid = first.iter().chain(last).filter(|held| now < held.expires);
        let others = valid.filter_map(|held| {
            let (addresses, _) = self.providers.get(&held.provider)?;
            Some(record(held.provider, Some(held.expires), addresses))
        });
        own.into_iter().chain(others).collect()
    }
}

/// Values are not kept: nobody here uses them.
impl RecordStore for Records {
    type RecordsIter<'a> = Empty<Cow<'a, Record>>;
    type ProvidedIter<'a> = Empty<Cow<'a, ProviderRecord>>;

    fn get(&self, _key: &RecordKey) -> Option<Cow<'_, Record>> {
        None
    }

    fn put(&mut self, _record: Record) -> Result<()> {
        Err(Error::MaxRecords)
    }

    fn remove(&mut self, _key: &RecordKey) {}

    fn records(&self) -> Self::RecordsIter<'_> {
        empty()
    }

    fn add_provider(&mut self, record: ProviderRecord) -> Result<()> {
        match self.admit(Instant::now(), record) {
            Admission::Kept | Admission::Replaced => Ok(()),
            _ => Err(Error::MaxProvidedKeys),
        }
    }

    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        self.known(Instant::now(), key)
    }

    /// Nothing: what is our own is told by the sweep, not by libp2p.
    fn provided(&self) -> Self::ProvidedIter<'_> {
        empty()
    }

    fn remove_provider(&mut self, key: &RecordKey, provider: &PeerId) {
        let Some(key) = Key::from_multihash(key.as_ref()) else { return };
        let held = self.keys.get(&key).map_or(&[][..], Vec::as_slice);
        if let Some(place) = held.iter().position(|held| held.provider == *provider) {
            self.remove_at(&key, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const LIMITS: StoreLimits =
        StoreLimits { records: 10, per_provider: 6, per_key: 4, validity: Duration::from_secs(60) };

    fn store() -> (Records, Instant) {
        (Records::new(PeerId::random(), LIMITS, 1), Instant::now())
    }

    fn record(key: &str, provider: PeerId, address: &str) -> ProviderRecord {
        let key = Key::new(key).as_bytes().to_vec();
        ProviderRecord::new(key, provider, vec![address.parse().unwrap()])
    }

    const IP: &str = "/ip4/10.0.0.1/tcp/1";

    fn ids(records: &Records, now: Instant, key: &str) -> Vec<PeerId> {
        let key = RecordKey::from(Key::new(key).as_bytes().to_vec());
        records.known(now, &key).iter().map(|record| record.provider).collect()
    }

    #[test]
    fn what_is_told_is_known_until_its_time_and_with_the_newest_address() {
        let (mut records, now) = store();
        let peer = PeerId::random();
        assert_eq!(records.admit(now, record("a", peer, IP)), Admission::Kept);
        let moved = "/ip4/10.0.0.2/tcp/1";
        assert_eq!(
            records.admit(now + LIMITS.validity / 2, record("a", peer, moved)),
            Admission::Kept
        );
        assert_eq!(records.len(), 1);
        let key = RecordKey::from(Key::new("a").as_bytes().to_vec());
        let known = records.known(now, &key);
        assert_eq!(known[0].addresses, [moved.parse::<Multiaddr>().unwrap()]);
        let end = now + LIMITS.validity * 3 / 2;
        assert_eq!(ids(&records, end - Duration::from_millis(1), "a"), [peer]);
        assert_eq!(ids(&records, end, "a"), []);
        records.expire(end);
        assert_eq!((records.len(), records.providers.len(), records.keys.len()), (0, 0, 0));
    }

    #[test]
    fn what_is_no_key_or_has_no_address_is_refused() {
        let (mut records, now) = store();
        let mut bad = record("a", PeerId::random(), IP);
        bad.key = RecordKey::from(vec![0x12, 0x20, 1]);
        assert_eq!(records.admit(now, bad), Admission::BadKey);
        let name = record("a", PeerId::random(), "/dns4/server1/tcp/1");
        assert_eq!(records.admit(now, name), Admission::NoAddress);
    }

    #[test]
    fn a_full_key_keeps_a_sample_and_a_full_store_refuses() {
        let (mut records, now) = store();
        let peers: Vec<_> = (0..40).map(|_| PeerId::random()).collect();
        for (n, peer) in peers.iter().enumerate() {
            let wanted = if n < 4 { Admission::Kept } else { Admission::Replaced };
            assert_eq!(records.admit(now, record("a", *peer, IP)), wanted);
        }
        let known = ids(&records, now, "a");
        assert_eq!(known.len(), 4);
        assert!(known.iter().any(|peer| !peers[..4].contains(peer)), "not the first ones for ever");
        let one = PeerId::random();
        for n in 0..6 {
            assert_eq!(records.admit(now, record(&n.to_string(), one, IP)), Admission::Kept);
        }
        assert_eq!(records.admit(now, record("6", one, IP)), Admission::ProviderFull);
        assert_eq!(records.admit(now, record("6", PeerId::random(), IP)), Admission::Full);
        assert_eq!(
            records.admit(now, record("0", one, IP)),
            Admission::Kept,
            "a renewal needs no room"
        );
        records.expire(now + LIMITS.validity);
        assert_eq!(records.admit(now, record("6", one, IP)), Admission::Kept);
    }

    #[test]
    fn the_alarm_is_given_once_before_the_store_is_full() {
        let (mut records, now) = store();
        let mut alarms = Vec::new();
        for n in 0..10 {
            let peer = PeerId::random();
            assert_eq!(records.admit(now, record(&n.to_string(), peer, IP)), Admission::Kept);
            alarms.push(records.take_alarm());
        }
        assert_eq!(alarms.iter().position(|alarm| *alarm), Some(7));
        assert_eq!(alarms.iter().filter(|alarm| **alarm).count(), 1);
        records.expire(now + LIMITS.validity);
        assert!(!records.take_alarm());
        for n in 0..8 {
            records.admit(now, record(&n.to_string(), PeerId::random(), IP));
        }
        assert!(records.take_alarm());
    }

    #[test]
    fn our_own_are_told_first_and_others_in_turn() {
        let (mut records, now) = store();
        records.set_own_addresses(vec![IP.parse().unwrap()]);
        records.set_own(vec![Key::new("a")], true);
        let others: Vec<_> = (0..3).map(|_| PeerId::random()).collect();
        for peer in &others {
            records.admit(now, record("a", *peer, IP));
        }
        let firsts: HashSet<_> = (0..3)
            .map(|_| {
                let known = ids(&records, now, "a");
                assert_eq!((known.len(), known[0]), (4, records.local));
                known[1]
            })
            .collect();
        assert_eq!(firsts, others.into_iter().collect());
        records.set_own(vec![Key::new("a")], false);
        assert_eq!(ids(&records, now, "a").len(), 3);
    }

    proptest! {
        #[test]
        fn counts_stay_true(steps in prop::collection::vec((0_usize..5, 0_usize..8, 0_u64..100, any::<bool>()), 1..200)) {
            let (mut records, start) = store();
            let peers: Vec<_> = (0..8).map(|_| PeerId::random()).collect();
            for (key, peer, after, expire) in steps {
                let now = start + Duration::from_secs(after);
                records.admit(now, record(&key.to_string(), peers[peer], IP));
                if expire {
                    records.expire(now);
                }
                let held: usize = records.keys.values().map(Vec::len).sum();
                let counted: usize = records.providers.values().map(|(_, count)| *count).sum();
                prop_assert_eq!((held, counted), (records.len(), records.len()));
                prop_assert!(records.len() <= LIMITS.records);
                prop_assert!(records.keys.values().all(|held| (1..=LIMITS.per_key).contains(&held.len())));
                prop_assert!(records.providers.values().all(|(_, count)| *count <= LIMITS.per_provider));
            }
        }
    }
}
