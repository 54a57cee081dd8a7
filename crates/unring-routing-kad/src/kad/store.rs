//! What other nodes told this one that they provide, and what it provides itself.
//!
//! Not libp2p's `MemoryStore`: its bound of 1024 counts our own keys and those of others together, the first 20 providers of a key
//! keep all later ones out, and what expired stays until it is read.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::iter::{Empty, empty};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use libp2p::kad::store::{Error, RecordStore, Result};
use libp2p::kad::{ProviderRecord, Record, RecordKey};
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use unring_routing::Key;

use crate::kad::config::StoreLimits;
use crate::kad::wire::Contact;

/// Nodes of which records are kept; those of a further one are refused. Each takes half a kilobyte.
pub(crate) const MAX_PROVIDERS_HELD: usize = 8192;
/// Addresses kept of each, and bytes of one: it announces one or two, of IP and port.
const MAX_HELD_ADDRESSES: usize = 4;
const MAX_HELD_ADDRESS: usize = 64;

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
    keys: HashMap<Key, AtKey>,
    /// Everyone with at least one record, by place; places that are free again are used first.
    providers: Vec<Option<Known>>,
    places: HashMap<PeerId, u32>,
    free: Vec<u32>,
    total: usize,
    /// What [`Held::expires`] counts from.
    start: Instant,
    rng: StdRng,
    /// Answers given.
    turn: AtomicUsize,
    /// The alarm was given and the store has not emptied since.
    alarmed: bool,
}

/// A provider: its newest addresses, and how many records it has.
#[derive(Debug)]
struct Known {
    peer: PeerId,
    addresses: Vec<Multiaddr>,
    count: usize,
}

/// A record. Small, since there are many.
#[derive(Debug, Clone, Copy)]
struct Held {
    /// Its place among the providers.
    provider: u32,
    /// In tenths of a second.
    expires: u32,
}

/// The records of a key. Nearly all keys have one provider.
#[derive(Debug)]
enum AtKey {
    One(Held),
    #[expect(clippy::box_collection, reason = "half of the size of a key's entry")]
    Many(Box<Vec<Held>>),
}

impl AtKey {
    fn all(&self) -> &[Held] {
        match self {
            Self::One(held) => std::slice::from_ref(held),
            Self::Many(all) => all,
        }
    }

    fn all_mut(&mut self) -> &mut [Held] {
        match self {
            Self::One(held) => std::slice::from_mut(held),
            Self::Many(all) => all,
        }
    }

    fn push(&mut self, held: Held) {
        match self {
            Self::One(first) => *self = Self::Many(Box::new(vec![*first, held])),
            Self::Many(all) => all.push(held),
        }
    }

    /// Keeps those of which `keep` says so; whether one is left.
    fn retain(&mut self, mut keep: impl FnMut(&Held) -> bool) -> bool {
        match self {
            Self::One(held) => keep(held),
            Self::Many(all) => {
                all.retain(keep);
                if let [one] = all[..] {
                    *self = Self::One(one);
                    return true;
                }
                !all.is_empty()
            }
        }
    }
}

impl Records {
    pub(crate) fn new(local: PeerId, limits: StoreLimits, seed: u64) -> Self {
        let (own, own_addresses, keys, providers) = Default::default();
        let (places, free) = Default::default();
        let (rng, start) = (StdRng::seed_from_u64(seed), Instant::now());
        let (total, turn, alarmed) = Default::default();
        Self {
            local,
            limits,
            own,
            own_addresses,
            keys,
            providers,
            places,
            free,
            total,
            start,
            rng,
            turn,
            alarmed,
        }
    }

    fn tenths(&self, time: Instant) -> u32 {
        let tenths = time.saturating_duration_since(self.start).as_millis() / 100;
        u32::try_from(tenths).unwrap_or(u32::MAX)
    }

    fn known_of(&self, place: u32) -> Option<&Known> {
        self.providers.get(usize::try_from(place).ok()?)?.as_ref()
    }

    fn known_of_mut(&mut self, place: u32) -> Option<&mut Known> {
        self.providers.get_mut(usize::try_from(place).ok()?)?.as_mut()
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
        let Contact { peer, mut addresses } = Contact::new(record.provider, record.addresses);
        addresses.retain(|address| address.len() <= MAX_HELD_ADDRESS);
        addresses.truncate(MAX_HELD_ADDRESSES);
        addresses.shrink_to_fit();
        if addresses.is_empty() {
            return Admission::NoAddress;
        }
        let expires = self.tenths(record.expires.unwrap_or(now + self.limits.validity));
        let place = self.places.get(&peer).copied();
        if let Some(place) = place
            && let Some(at_key) = self.keys.get_mut(&key)
            && let Some(held) = at_key.all_mut().iter_mut().find(|held| held.provider == place)
        {
            held.expires = expires;
            if let Some(known) = self.known_of_mut(place) {
                known.addresses = addresses;
            }
            return Admission::Kept;
        }
        let count = place.and_then(|place| self.known_of(place)).map_or(0, |known| known.count);
        if count >= self.limits.per_provider {
            return Admission::ProviderFull;
        }
        if place.is_none() && self.places.len() >= MAX_PROVIDERS_HELD {
            return Admission::Full;
        }
        let replaces = self.make_room_at(now, &key);
        if !replaces && self.total >= self.limits.records && !self.make_room(count) {
            return Admission::Full;
        }
        let place = self.enter(peer, addresses);
        let held = Held { provider: place, expires };
        self.keys.entry(key).and_modify(|at_key| at_key.push(held)).or_insert(AtKey::One(held));
        self.total += 1;
        if replaces { Admission::Replaced } else { Admission::Kept }
    }

    /// Takes one more record of `peer` into account.
    fn enter(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) -> u32 {
        if let Some(place) = self.places.get(&peer).copied()
            && let Some(known) = self.known_of_mut(place)
        {
            known.addresses = addresses;
            known.count += 1;
            return place;
        }
        let known = Some(Known { peer, addresses, count: 1 });
        let place = self.free.pop();
        let slot = place.and_then(|place| self.providers.get_mut(usize::try_from(place).ok()?));
        let place = match (place, slot) {
            (Some(place), Some(slot)) => {
                *slot = known;
                place
            }
            _ => {
                self.providers.push(known);
                u32::try_from(self.providers.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.places.insert(peer, place);
        place
    }

    /// Takes a record out of a key that is full, one that has expired if there is one; whether it was.
    fn make_room_at(&mut self, now: Instant, key: &Key) -> bool {
        let now = self.tenths(now);
        let Some(at_key) = self.keys.get_mut(key) else { return false };
        let all = at_key.all();
        if all.len() < self.limits.per_key {
            return false;
        }
        let expired = all.iter().find(|held| held.expires <= now);
        let gone = expired.or_else(|| all.get(self.rng.random_range(0..all.len()))).copied();
        let Some(gone) = gone else { return false };
        if !at_key.retain(|held| held.provider != gone.provider) {
            self.keys.remove(key);
        }
        self.forget_one(gone.provider);
        true
    }

    /// Takes records from whoever has the most, if that is more than twice what the newcomer has: so a few cannot keep all others
    /// out. Many at once, since each time all records are looked through.
    fn make_room(&mut self, count: usize) -> bool {
        let known = self.providers.iter().enumerate();
        let counts = known.filter_map(|(place, known)| Some((known.as_ref()?.count, place)));
        let Some((most, place)) = counts.max() else { return false };
        let Ok(place) = u32::try_from(place) else { return false };
        if most / 2 <= count {
            return false;
        }
        let mut left = (most / 16).max(1);
        let mut gone = 0;
        self.keys.retain(|_, at_key| {
            at_key.retain(|held| {
                let goes = left > 0 && held.provider == place;
                left -= usize::from(goes);
                gone += usize::from(goes);
                !goes
            })
        });
        (0..gone).for_each(|_| self.forget_one(place));
        true
    }

    fn forget_one(&mut self, place: u32) {
        self.total -= 1;
        let slot = usize::try_from(place).ok().and_then(|place| self.providers.get_mut(place));
        let Some(slot) = slot else { return };
        let Some(known) = slot.as_mut() else { return };
        known.count -= 1;
        if known.count == 0 {
            self.places.remove(&known.peer);
            *slot = None;
            self.free.push(place);
        }
    }

    /// Forgets what expired.
    pub(crate) fn expire(&mut self, now: Instant) {
        let tenths = self.tenths(now);
        let mut gone = Vec::new();
        self.keys.retain(|_, at_key| {
            at_key.retain(|held| {
                let valid = tenths < held.expires;
                if !valid {
                    gone.push(held.provider);
                }
                valid
            })
        });
        gone.iter().for_each(|provider| self.forget_one(*provider));
        if self.keys.len() < self.keys.capacity() / 4 {
            self.keys.shrink_to(self.keys.len() * 2);
        }
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
        self.places.len()
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
        let held = self.keys.get(&found).map_or(&[][..], AtKey::all);
        // Answers have room for 20: each asker is told of others.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let first = turn.checked_rem(held.len()).unwrap_or(0);
        let (last, first) = held.split_at(first);
        let tenths = self.tenths(now);
        let valid = first.iter().chain(last).filter(|held| tenths < held.expires);
        let others = valid.filter_map(|held| {
            let known = self.known_of(held.provider)?;
            let left = Duration::from_millis(u64::from(held.expires - tenths) * 100);
            Some(record(known.peer, Some(now + left), &known.addresses))
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
        let Some(place) = self.places.get(provider).copied() else { return };
        let Some(at_key) = self.keys.get_mut(&key) else { return };
        if !at_key.all().iter().any(|held| held.provider == place) {
            return;
        }
        if !at_key.retain(|held| held.provider != place) {
            self.keys.remove(&key);
        }
        self.forget_one(place);
    }
}

mod lists;
#[cfg(test)]
mod tests;
