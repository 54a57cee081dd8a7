//! What all implementations do with look-ups: one flight per key, and results that serve for seconds.

use std::collections::{HashMap, HashSet, VecDeque};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use libp2p_identity::PeerId;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use unring_dedup_store::{FlightLimits, FlightRefused, SingleFlight};

use crate::key::Key;
use crate::provider::{MAX_PROVIDERS, Provider};
use crate::providers::{Providers, Usage};
use crate::router::LookupError;

/// Bounds and times of [`Lookups`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookupConfig {
    /// How long a result serves. Seconds: a layer is asked for by all containers of a node at once, and a provider that is
    /// gone must not be handed out for long. Spegel's is 5 s.
    pub found_for: Duration,
    /// How long it serves that nobody was found. Shorter, since the next moment somebody may hold it.
    pub missing_for: Duration,
    /// Results kept; at the bound the oldest goes.
    pub cached: NonZeroUsize,
    /// Keys looked up at once; a further one is [`LookupError::TooManyKeys`].
    pub keys: NonZeroUsize,
    /// Callers that wait for one key; a further one is [`LookupError::TooManyCallers`].
    pub callers_per_key: NonZeroUsize,
}

/// Single flight, cache and choice of provider for a router of the local peer.
#[derive(Debug)]
pub struct Lookups {
    local: PeerId,
    config: LookupConfig,
    flights: SingleFlight<Key, Result<Arc<Providers>, LookupError>>,
    cache: Mutex<Cache>,
    usage: Arc<Usage>,
    rng: Mutex<StdRng>,
}

#[derive(Debug, Default)]
struct Cache {
    results: HashMap<Key, (Instant, Arc<Providers>)>,
    /// When each was entered, oldest first; some may be replaced since. At most [`LookupConfig::cached`].
    order: VecDeque<(Instant, Key)>,
}

impl Lookups {
    /// Nothing looked up yet; `seed` orders providers that are equally free.
    #[must_use]
    pub fn new(local: PeerId, config: LookupConfig, seed: u64) -> Self {
        let limits = FlightLimits { keys: config.keys, callers_per_key: config.callers_per_key };
        Self {
            local,
            config,
            flights: SingleFlight::new(limits),
            cache: Mutex::default(),
            usage: Arc::default(),
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
        }
    }

    /// The result for `key`, with `now` as the clock: a kept one, or that of a fetch that is on its way, or that of `fetch`. The local peer is taken
    /// out of it, a peer that is in it twice is in it once with its first addresses, and of many a sample is left.
    ///
    /// # Errors
    /// At a bound, or what `fetch` says. Errors are not kept.
    pub async fn get<C, F, Fut>(
        &self,
        now: C,
        key: Key,
        fetch: F,
    ) -> Result<Arc<Providers>, LookupError>
    where
        C: Fn() -> Instant,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<Vec<Provider>, LookupError>>,
    {
        if let Some(kept) = self.kept(now(), &key) {
            return Ok(kept);
        }
        let work = async || {
            // A flight may have landed since the look above.
            if let Some(kept) = self.kept(now(), &key) {
                return Ok(kept);
            }
            let found = self.chosen(fetch().await?);
            // It serves from when it has come: one that took long is as new as any.
            self.keep(now(), key, Arc::clone(&found));
            Ok(found)
        };
        match self.flights.run(key, work).await {
            Ok(result) => result,
            Err(FlightRefused::Keys { limit }) => Err(LookupError::TooManyKeys { limit }),
            Err(FlightRefused::Callers { limit }) => Err(LookupError::TooManyCallers { limit }),
        }
    }

    /// Results kept, some of them perhaps too old to serve; at most [`LookupConfig::cached`].
    pub fn cached(&self) -> usize {
        self.cache().results.len()
    }

    fn chosen(&self, mut found: Vec<Provider>) -> Arc<Providers> {
        let mut seen = HashSet::from([self.local]);
        found.retain(|provider| seen.insert(provider.peer));
        found.shuffle(&mut *self.rng.lock().unwrap_or_else(PoisonError::into_inner));
        found.truncate(MAX_PROVIDERS);
        Arc::new(Providers::new(found, Arc::clone(&self.usage)))
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, now: Instant, key: &Key) -> Option<Arc<Providers>> {
        let cache = self.cache();
        let (since, found) = cache.results.get(key)?;
        // All that were found may have failed since: then it is as if none had been found.
        let serves = if found.is_empty() { self.config.missing_for } else { self.config.found_for };
        (now.saturating_duration_since(*since) < serves).then(|| Arc::clone(found))
    }

    fn keep(&self, now: Instant, key: Key, found: Arc<Providers>) {
        let longest = self.config.found_for.max(self.config.missing_for);
        let mut cache = self.cache();
        cache.results.insert(key, (now, found));
        cache.order.push_back((now, key));
        while let Some(&(since, old)) = cache.order.front() {
            let expired = now.saturating_duration_since(since) >= longest;
            if !expired && cache.order.len() <= self.config.cached.get() {
                break;
            }
            cache.order.pop_front();
            if cache.results.get(&old).is_some_and(|(entered, _)| *entered == since) {
                cache.results.remove(&old);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures::executor::block_on;

    use super::*;

    const CONFIG: LookupConfig = LookupConfig {
        found_for: Duration::from_secs(5),
        missing_for: Duration::from_millis(500),
        cached: NonZeroUsize::new(3).unwrap(),
        keys: NonZeroUsize::new(2).unwrap(),
        callers_per_key: NonZeroUsize::new(8).unwrap(),
    };

    fn provider() -> Provider {
        Provider { peer: PeerId::random(), addresses: vec![[10, 0, 0, 1].into()] }
    }

    #[test]
    fn lookups_and_what_they_keep_are_bounded() {
        let lookups = Lookups::new(PeerId::random(), CONFIG, 1);
        let now = Instant::now();
        for n in 0..10 {
            let key = Key::new(&n.to_string());
            block_on(lookups.get(|| now, key, async || Ok(vec![provider()]))).unwrap();
            assert!(lookups.cached() <= 3);
        }
        assert_eq!(lookups.cached(), 3);

        // Two keys are looked up at once, eight callers wait for each, and nobody is left behind.
        let never = || std::future::pending::<Result<Vec<Provider>, LookupError>>();
        let mut waiting = Vec::new();
        let mut begin = |key: &str| {
            let mut lookup = Box::pin(lookups.get(|| now, Key::new(key), never));
            let result = futures::FutureExt::now_or_never(&mut lookup);
            waiting.push(lookup);
            result.map(|result| result.unwrap_err())
        };
        for _ in 0..8 {
            assert_eq!((begin("a"), begin("b")), (None, None));
        }
        assert_eq!(begin("c"), Some(LookupError::TooManyKeys { limit: 2 }));
        assert_eq!(begin("a"), Some(LookupError::TooManyCallers { limit: 8 }));
        drop(waiting);
        assert!(block_on(lookups.get(|| now, Key::new("c"), async || Ok(vec![]))).is_ok());
    }

    #[test]
    fn results_serve_for_their_time_and_errors_do_not() {
        let lookups = Lookups::new(PeerId::random(), CONFIG, 1);
        let (start, key) = (Instant::now(), Key::new("x"));
        let fetches = AtomicU64::new(0);
        let get = |after: u64, result: Result<Vec<Provider>, LookupError>| {
            let fetch = async || {
                fetches.fetch_add(1, Ordering::Relaxed);
                result
            };
            let found = block_on(lookups.get(|| start + Duration::from_millis(after), key, fetch));
            (found.map(|found| found.len()), fetches.swap(0, Ordering::Relaxed))
        };
        let failed = Err(LookupError::Unreachable { asked: 3 });
        assert_eq!(get(0, failed.clone()), (Err(LookupError::Unreachable { asked: 3 }), 1));
        assert_eq!(get(0, Ok(vec![])), (Ok(0), 1));
        assert_eq!(get(499, failed.clone()), (Ok(0), 0), "that nobody has it is kept");
        assert_eq!(get(900, Ok(vec![provider(), provider()])), (Ok(2), 1));
        assert_eq!(get(5_499, failed), (Ok(2), 0));
        assert_eq!(get(7_000, Ok(vec![provider()])), (Ok(1), 1));
        assert_eq!(lookups.cached(), 1);
    }

    #[test]
    fn a_slow_result_serves_for_its_time_from_when_it_came() {
        let lookups = Lookups::new(PeerId::random(), CONFIG, 1);
        let (start, key) = (Instant::now(), Key::new("x"));
        let took = CONFIG.found_for * 2;
        let now = std::cell::Cell::new(start);
        let slow = async || {
            now.set(start + took);
            Ok(vec![provider()])
        };
        block_on(lookups.get(|| now.get(), key, slow)).unwrap();
        let again = async || Err(LookupError::Unreachable { asked: 1 });
        let last = start + took + CONFIG.found_for - Duration::from_millis(1);
        assert_eq!(block_on(lookups.get(|| last, key, again)).unwrap().len(), 1);
        let over = start + took + CONFIG.found_for;
        assert!(block_on(lookups.get(|| over, key, again)).is_err());
    }

    #[test]
    fn of_many_providers_a_random_sample_is_left() {
        let all: Vec<_> = (0..2 * MAX_PROVIDERS).map(|_| provider()).collect();
        let sample = |seed| {
            let lookups = Lookups::new(PeerId::random(), CONFIG, seed);
            let fetch = async || Ok(all.clone());
            let found = block_on(lookups.get(Instant::now, Key::new("x"), fetch)).unwrap();
            found.all().iter().map(|provider| provider.peer).collect::<Vec<_>>()
        };
        assert_eq!((sample(1).len(), sample(1) == sample(2)), (MAX_PROVIDERS, false));
    }

    #[test]
    fn what_expired_makes_room_for_what_is_found() {
        let lookups = Lookups::new(PeerId::random(), CONFIG, 1);
        let start = Instant::now();
        for (key, after) in [("a", 0), ("b", 4), ("c", 5)] {
            let now = || start + Duration::from_secs(after);
            block_on(lookups.get(now, Key::new(key), async || Ok(vec![provider()]))).unwrap();
        }
        assert_eq!(lookups.cached(), 2);
    }

    #[test]
    fn a_flight_that_landed_meanwhile_is_not_flown_again() {
        let lookups = Lookups::new(PeerId::random(), CONFIG, 1);
        let (start, key, looks) = (Instant::now(), Key::new("x"), AtomicU64::new(0));
        let now = || {
            // After the first look at what is kept, on another thread.
            if looks.fetch_add(1, Ordering::Relaxed) == 1 {
                lookups.keep(start, key, lookups.chosen(vec![provider()]));
            }
            start
        };
        let found = block_on(lookups.get(now, key, async || Ok(Vec::new()))).unwrap();
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_peer_that_is_busy_with_another_key_comes_last() {
        let local = PeerId::random();
        let lookups = Lookups::new(local, CONFIG, 1);
        let (busy, free) = (provider(), provider());
        let own = Provider { peer: local, ..provider() };
        let now = Instant::now();
        let elsewhere = Provider { addresses: vec![[10, 9, 9, 9].into()], ..busy.clone() };
        let both = vec![busy.clone(), free.clone(), own, elsewhere.clone(), elsewhere];
        let first =
            block_on(lookups.get(|| now, Key::new("a"), async || Ok(vec![busy.clone()]))).unwrap();
        let lease = first.pick().unwrap();
        let second = block_on(lookups.get(|| now, Key::new("b"), async || Ok(both))).unwrap();
        assert_eq!(second.len(), 2, "self is left out, and who is named twice is there once");
        // Used more often for this key, and yet the one with less to do.
        for _ in 0..3 {
            assert_eq!(second.pick().unwrap().provider(), &free);
        }
        drop(lease);
        assert_eq!(second.pick().unwrap().provider(), &busy);
    }
}
