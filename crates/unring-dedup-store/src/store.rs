//! The store itself.
//!
//! Both generations are in one map, and an entry's stamp says which it belongs to. So the lookup and the insert of a key
//! happen under one shard lock and a rotation cannot come between them; with a map per generation, either a guard on one
//! would be held while the other is locked, or two threads could each find the key absent.
//!
//! Lock order: a shard of `seen`, then a shard of `accounts`, then an account; never the other way round. Purging holds one
//! shard at a time.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroUsize;

use std::time::Duration;

use crate::account::{Account, SharedAccount, lock};
use crate::config::{Config, MAX_CAPACITY};
use crate::generation::{Generation, Stamp, nanos};
use crate::introducer::Introducer;
use crate::occupancy::{Gone, Limits, NoRoom, Occupancy};
use crate::outcome::{Outcome, Standing};
use crate::sync::{self, Arc, AtomicU64, DashMap, Entry, Mutex, Ordering};
use crate::timestamp::Timestamp;

/// Places that a purge gives back at a time: a thread that finds the store full meanwhile is refused for want of at most these.
const PURGE_BATCH: u32 = 64;

/// What an account takes beside its slot in the table: its counts, a lock, and the two counts of its owners.
pub(crate) const ACCOUNT_BYTES: usize = size_of::<Mutex<Account>>() + 2 * size_of::<usize>();

/// The exact set of the keys seen in the last `T..2T`. See the [crate] for what it promises.
///
/// `K` is the key, `I` the introducer that an entry is charged to, `S` the hasher of both. Keys are often chosen by strangers:
/// the default hasher is randomly keyed (SipHash-1-3) so that they cannot be chosen to collide; pass another only where a
/// run has to be repeatable.
///
/// Every method takes `&self` and may be called from any thread. None blocks on anything but the map's short shard locks.
/// `now` is read by the caller from a monotonic clock of type `C`: see [`Timestamp`]. Going backwards is harmless (the
/// generation stays); a leap forwards that is taken back keeps what is entered meanwhile until the clock is there again.
pub struct DedupStore<K, I, C = Duration, S = RandomState> {
    seen: DashMap<K, Stamp, S>,
    accounts: DashMap<I, SharedAccount, S>,
    /// Where the caller's clock counts from here.
    epoch: C,
    occupancy: Occupancy,
    /// Start of the present generation, in nanoseconds; only ever raised.
    start: AtomicU64,
    evicted: AtomicU64,
    length: u64,
    limits: Limits,
    per_introducer: NonZeroUsize,
}

impl<K: Hash + Eq, I: Hash + Eq, C: Timestamp> DedupStore<K, I, C> {
    /// An empty store, on a clock that counts from its default: zero, for [`Duration`] and [`Millis`](crate::Millis).
    /// Memory is taken as entries come, not in advance.
    pub fn new(config: Config) -> Self
    where
        C: Default,
    {
        Self::starting_at(config, C::default())
    }

    /// An empty store, on a clock that has no zero, as [`Instant`](std::time::Instant). Times before `epoch` are taken as `epoch`.
    pub fn starting_at(config: Config, epoch: C) -> Self {
        Self::with_hasher(config, epoch, RandomState::new())
    }
}

impl<K: Hash + Eq, I: Hash + Eq, C: Timestamp, S: BuildHasher + Clone> DedupStore<K, I, C, S> {
    /// An empty store that counts time from `epoch`, with a hasher of the caller's choice.
    pub fn with_hasher(config: Config, epoch: C, hasher: S) -> Self {
        let capacity = config.capacity.get().min(MAX_CAPACITY);
        let newcomers = capacity.saturating_sub(config.reserved_for_known);
        Self {
            seen: sync::map(hasher.clone()),
            accounts: sync::map(hasher),
            epoch,
            occupancy: Occupancy::default(),
            start: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            length: nanos(config.retention, Duration::ZERO).max(1),
            limits: Limits {
                total: u32::try_from(capacity).unwrap_or(u32::MAX),
                newcomers: u32::try_from(newcomers).unwrap_or(u32::MAX),
            },
            per_introducer: config.per_introducer,
        }
    }

    /// Says whether `key` was seen, and enters it if it was not and there is room. A duplicate is charged to nobody.
    ///
    /// Of concurrent calls with one key, exactly one gets [`Outcome::New`] (or all are refused for want of room). While one
    /// thread purges a full store, another may be refused for entries that are on their way out.
    ///
    /// The first call in a new generation also removes what has expired, in time linear in the entries held; call
    /// [`rotate`](Self::rotate) from a timer to keep that out of requests.
    pub fn check_and_insert(
        &self,
        key: K,
        introducer: I,
        standing: Standing,
        now: C,
    ) -> Outcome<C> {
        self.enter(key, standing, now, |replaced, generation| {
            match self.accounts.entry(introducer) {
                Entry::Occupied(entry) => {
                    self.charge(entry.get(), standing, replaced, generation)?;
                }
                Entry::Vacant(entry) => {
                    // Before the account exists, so that callers refused at the cap leave nothing behind.
                    self.occupancy.take(standing, replaced, self.limits).map_err(full)?;
                    let mut account = Account::new(generation);
                    account.charge(generation);
                    entry.insert(Arc::new(Mutex::new(account)));
                }
            }
            Ok(())
        })
    }

    /// Opens the account of `introducer` once for many calls. See [`Introducer`].
    pub fn introducer(self: &Arc<Self>, introducer: I) -> Introducer<K, I, C, S>
    where
        I: Clone,
    {
        let account = match self.accounts.entry(introducer.clone()) {
            Entry::Occupied(entry) => Arc::clone(entry.get()),
            Entry::Vacant(entry) => {
                let account = Arc::new(Mutex::new(Account::new(self.generation())));
                entry.insert(Arc::clone(&account));
                account
            }
        };
        Introducer::new(Arc::clone(self), introducer, account)
    }

    /// As [`check_and_insert`](Self::check_and_insert), with an account that is open already.
    pub(crate) fn check_and_insert_for(
        &self,
        key: K,
        account: &SharedAccount,
        standing: Standing,
        now: C,
    ) -> Outcome<C> {
        self.enter(key, standing, now, |replaced, generation| {
            self.charge(account, standing, replaced, generation)
        })
    }

    /// Gives `account` up, and forgets it if nobody else has it open and it holds nothing.
    pub(crate) fn close(&self, introducer: &I, account: SharedAccount) {
        // First, so that of two that close at once the later one finds that it is the last.
        drop(account);
        let generation = self.generation();
        self.accounts.remove_if(introducer, |_, account| is_idle(account, generation));
    }

    /// Says whether `key` was seen, and enters it if it was not and `charge` finds room. `charge` is told whose place is taken over.
    fn enter(
        &self,
        key: K,
        standing: Standing,
        now: C,
        charge: impl FnOnce(Option<Standing>, Generation) -> Result<(), Outcome<C>>,
    ) -> Outcome<C> {
        let now = nanos(now, self.epoch);
        let (generation, _) = self.generation_at(now);
        let stamp = Stamp::new(now.max(generation.start), standing);
        // Held to the end: this guard is what makes the check and the insert one step.
        match self.seen.entry(key) {
            Entry::Occupied(mut entry) => {
                let old = *entry.get();
                if generation.remembers(old) {
                    return Outcome::Duplicate { first_seen: self.epoch.plus_nanos(old.nanos()) };
                }
                if let Err(refusal) = charge(Some(old.standing()), generation) {
                    return refusal;
                }
                entry.insert(stamp);
                self.evicted.fetch_add(1, Ordering::Relaxed);
            }
            Entry::Vacant(entry) => {
                if let Err(refusal) = charge(None, generation) {
                    return refusal;
                }
                entry.insert(stamp);
            }
        }
        Outcome::New
    }

    /// Takes a place for one entry and charges its introducer, or does neither.
    fn charge(
        &self,
        account: &SharedAccount,
        standing: Standing,
        replaced: Option<Standing>,
        generation: Generation,
    ) -> Result<(), Outcome<C>> {
        let mut account = lock(account);
        account.advance(generation);
        let (held, limit) = (account.held(), self.per_introducer.get());
        if held >= limit {
            return Err(Outcome::IntroducerFull { held, limit });
        }
        self.occupancy.take(standing, replaced, self.limits).map_err(full)?;
        account.charge(generation);
        Ok(())
    }

    /// Whether `key` is remembered at `now`. Changes nothing.
    pub fn contains<Q>(&self, key: &Q, now: C) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut generation = self.generation();
        let now = nanos(now, self.epoch);
        if generation.is_over(now) {
            generation = Generation::at(now, self.length);
        }
        self.seen.view(key, |_, stamp| generation.remembers(*stamp)).unwrap_or(false)
    }

    /// Entries that `introducer` has alive at the latest time the store was told.
    pub fn held_by<Q>(&self, introducer: &Q) -> usize
    where
        I: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let Some(mut account) = self.accounts.view(introducer, |_, account| *lock(account)) else {
            return 0;
        };
        account.advance(self.generation());
        account.held()
    }

    /// Starts a new generation if the present one is over at `now`, and removes what has expired. Returns how many entries that were.
    pub fn rotate(&self, now: C) -> usize {
        self.generation_at(nanos(now, self.epoch)).1
    }

    /// The generation at `now`, and how many entries were removed to get there.
    fn generation_at(&self, now: u64) -> (Generation, usize) {
        let mut generation = self.generation();
        while generation.is_over(now) {
            let next = Generation::at(now, self.length);
            match self.start.compare_exchange(
                generation.start,
                next.start,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return (next, self.purge(next)),
                Err(start) => generation.start = start,
            }
        }
        (generation, 0)
    }

    fn generation(&self) -> Generation {
        Generation { start: self.start.load(Ordering::Acquire), length: self.length }
    }

    /// Removes what `generation` does not remember. Accounts first, so that there are never more of them than entries.
    fn purge(&self, generation: Generation) -> usize {
        self.accounts.retain(|_, account| !is_idle(account, generation));
        let (mut removed, mut gone) = (0, Gone::default());
        sync::purge(&self.seen, |stamp| {
            let keep = generation.remembers(*stamp);
            if !keep {
                // The map has removed all but this one: their places are given back while others wait for them, in batches
                // because each costs an atomic operation that other threads compete for.
                if gone.total() >= PURGE_BATCH {
                    self.occupancy.release(std::mem::take(&mut gone));
                }
                gone.add(stamp.standing());
                removed += 1;
            }
            keep
        });
        self.occupancy.release(gone);
        self.evicted.fetch_add(removed, Ordering::Relaxed);
        usize::try_from(removed).unwrap_or(usize::MAX)
    }

    /// Entries in memory, at most the capacity: those alive, and the expired that no call has removed yet.
    pub fn len(&self) -> usize {
        usize::try_from(self.occupancy.total()).unwrap_or(usize::MAX)
    }

    /// Whether no entry is in memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Introducers with an account in memory; never more than twice the capacity and those that an [`Introducer`] is open for.
    pub fn introducers(&self) -> usize {
        self.accounts.len()
    }

    /// Entries that expired and were removed since the store was made.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Bytes of the tables: the slots of both times an entry and one control byte, and what the shards themselves take; and
    /// the accounts. What keys and introducers own on the heap is not counted. Locks one shard at a time.
    pub fn memory_estimate(&self) -> usize {
        let table = |slots: usize, entry: usize| slots.saturating_mul(entry + 1);
        table(sync::slots(&self.seen), size_of::<(K, Stamp)>())
            .saturating_add(table(sync::slots(&self.accounts), size_of::<(I, SharedAccount)>()))
            .saturating_add(self.accounts.len().saturating_mul(ACCOUNT_BYTES))
            .saturating_add(2 * sync::EMPTY_MAP_BYTES)
    }

    /// Starts the generation at `now` as a thread does that sleeps before it purges.
    #[cfg(test)]
    pub(crate) fn rotate_without_purge(&self, now: C) {
        self.start
            .store(Generation::at(nanos(now, self.epoch), self.length).start, Ordering::Release);
    }

    /// What the map itself holds, to be compared with what is counted.
    #[cfg(test)]
    pub(crate) fn seen_len(&self) -> usize {
        self.seen.len()
    }

    /// Gives memory that a flood left empty back to the allocator. Locks one shard at a time, in time linear in the entries.
    pub fn shrink(&self) {
        self.seen.shrink_to_fit();
        self.accounts.shrink_to_fit();
    }
}

/// Whether an account can be forgotten: it holds nothing that `generation` remembers, and no handle is open. Called with the
/// account's shard locked, so that none is opened meanwhile.
fn is_idle(account: &SharedAccount, generation: Generation) -> bool {
    let mut counts = lock(account);
    counts.advance(generation);
    counts.held() == 0 && Arc::strong_count(account) == 1
}

fn full<C>(no_room: NoRoom) -> Outcome<C> {
    let widen = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    Outcome::Full { held: widen(no_room.held), limit: widen(no_room.limit) }
}

impl<K, I, C, S> fmt::Debug for DedupStore<K, I, C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DedupStore")
            .field("len", &self.occupancy.total())
            .field("limits", &self.limits)
            .field("per_introducer", &self.per_introducer)
            .field("retention", &Duration::from_nanos(self.length))
            .finish_non_exhaustive()
    }
}
