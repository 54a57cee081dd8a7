//! The router that the rest of the node holds.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use libp2p_identity::PeerId;
use tokio::sync::{mpsc, oneshot, watch};
use unring_routing::{
    AdvertiseError, Key, LookupError, Lookups, Provider, Providers, Readiness, Router,
    WithdrawError,
};

use crate::handle::Wish;
use crate::kad::config::KadConfig;
use crate::kad::inbound::KadRefusals;

/// A look-up for the network's own task, which alone speaks to others.
pub(crate) type Find = (Key, oneshot::Sender<Result<Vec<Provider>, LookupError>>);

/// Finds and tells who holds what through Kademlia.
#[derive(Debug)]
pub struct KadRouter {
    lookups: Lookups,
    max_advertised: usize,
    finds: mpsc::Sender<Find>,
    advertised: watch::Sender<Advertised>,
    wish: watch::Receiver<Wish>,
    gauges: Arc<KadGauges>,
    changing: Mutex<()>,
}

/// What this node advertises, at most [`KadConfig::max_advertised`].
#[derive(Debug, Default)]
pub(crate) struct Advertised {
    pub(crate) keys: BTreeSet<Key>,
}

/// Counts since the start, and sizes now.
#[derive(Debug, Default)]
pub(crate) struct KadGauges {
    pub(crate) peers: AtomicUsize,
    pub(crate) connected: AtomicUsize,
    pub(crate) records: AtomicUsize,
    pub(crate) pending: AtomicUsize,
    pub(crate) lookups: AtomicU64,
    pub(crate) lookup_requests: AtomicU64,
    pub(crate) walks: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) request_failures: AtomicU64,
    pub(crate) records_sent: AtomicU64,
    pub(crate) records_kept: AtomicU64,
    pub(crate) records_refused: AtomicU64,
    pub(crate) providers: AtomicUsize,
    pub(crate) alarms: AtomicU64,
    pub(crate) times: LookupTimes<AtomicU64>,
    pub(crate) requests_served: AtomicU64,
    pub(crate) refused: Arc<KadRefusals<AtomicU64>>,
}

/// Upper ends of the buckets of [`LookupTimes`], in milliseconds. A look-up in a network at hand takes a few; one with silent peers
/// up to a second; [`crate::LOOKUP_TIMEOUT`] ends all.
pub const LOOKUP_BUCKETS_MS: [u64; 10] = [1, 2, 5, 10, 25, 50, 100, 250, 1000, 5000];

/// How long look-ups took that went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LookupTimes<N = u64> {
    /// How many took at most as long as [`LOOKUP_BUCKETS_MS`] says and longer than the bucket before; those that took longer
    /// than all are the last.
    pub counts: [N; LOOKUP_BUCKETS_MS.len() + 1],
    /// All together, in microseconds.
    pub sum_us: N,
}

impl LookupTimes<AtomicU64> {
    fn add(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = LOOKUP_BUCKETS_MS.iter().position(|end| us <= end * 1000);
        if let Some(count) = self.counts.get(bucket.unwrap_or(LOOKUP_BUCKETS_MS.len())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    fn read(&self) -> LookupTimes {
        let mut read = LookupTimes::default();
        for (count, now) in read.counts.iter_mut().zip(&self.counts) {
            *count = now.load(Ordering::Relaxed);
        }
        read.sum_us = self.sum_us.load(Ordering::Relaxed);
        read
    }
}

/// What Kademlia has done since the start, and how full it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KadCounters {
    /// Peers in the routing table now; some of them may have gone since they were last spoken to.
    pub peers: usize,
    /// Connected peers that speak the protocol.
    pub connected: usize,
    /// Records of other nodes that are kept now.
    pub records: usize,
    /// Keys of our own that wait to be told now.
    pub pending: usize,
    /// Look-ups that went out; those that were served from a result at hand are not among them.
    pub lookups: u64,
    /// Requests that these sent.
    pub lookup_requests: u64,
    /// Walks for keys of our own.
    pub walks: u64,
    /// Requests sent, by look-ups and walks.
    pub requests: u64,
    /// Requests and messages that failed.
    pub request_failures: u64,
    /// Records that others were told.
    pub records_sent: u64,
    /// Records of others that were kept or renewed.
    pub records_kept: u64,
    /// Records of others that were refused.
    pub records_refused: u64,
    /// Nodes of which records are kept now.
    pub providers: usize,
    /// Times that [`crate::Event::StoreAlmostFull`] was told.
    pub alarms: u64,
    /// How long the look-ups took that went out.
    pub times: LookupTimes,
    /// Requests of others that were answered or taken note of.
    pub requests_served: u64,
    /// Streams of others that were ended, by reason.
    pub refused: KadRefusals,
}

impl KadRouter {
    pub(crate) fn new(
        local: PeerId,
        config: &KadConfig,
        seed: u64,
        finds: mpsc::Sender<Find>,
        wish: watch::Receiver<Wish>,
        gauges: Arc<KadGauges>,
    ) -> (Self, watch::Receiver<Advertised>) {
        let (advertised, changes) = watch::channel(Advertised::default());
        let lookups = Lookups::new(local, config.lookup, seed);
        let (max_advertised, changing) = (config.max_advertised, Mutex::new(()));
        let router = Self { lookups, max_advertised, finds, advertised, wish, gauges, changing };
        (router, changes)
    }

    /// Keys that are advertised, at most [`KadConfig::max_advertised`].
    #[must_use]
    pub fn advertised(&self) -> usize {
        self.advertised.borrow().keys.len()
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> KadCounters {
        let gauges = &self.gauges;
        KadCounters {
            peers: gauges.peers.load(Ordering::Relaxed),
            connected: gauges.connected.load(Ordering::Relaxed),
            records: gauges.records.load(Ordering::Relaxed),
            pending: gauges.pending.load(Ordering::Relaxed),
            lookups: gauges.lookups.load(Ordering::Relaxed),
            lookup_requests: gauges.lookup_requests.load(Ordering::Relaxed),
            walks: gauges.walks.load(Ordering::Relaxed),
            requests: gauges.requests.load(Ordering::Relaxed),
            request_failures: gauges.request_failures.load(Ordering::Relaxed),
            records_sent: gauges.records_sent.load(Ordering::Relaxed),
            records_kept: gauges.records_kept.load(Ordering::Relaxed),
            records_refused: gauges.records_refused.load(Ordering::Relaxed),
            providers: gauges.providers.load(Ordering::Relaxed),
            alarms: gauges.alarms.load(Ordering::Relaxed),
            times: gauges.times.read(),
            requests_served: gauges.requests_served.load(Ordering::Relaxed),
            refused: gauges.refused.read(),
        }
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn find(&self, key: Key) -> Result<Vec<Provider>, LookupError> {
        let (reply, found) = oneshot::channel();
        let began = Instant::now();
        self.finds.send((key, reply)).await.map_err(|_| LookupError::Ended)?;
        let found = found.await.unwrap_or(Err(LookupError::Ended));
        self.gauges.times.add(began.elapsed());
        found
    }
}

impl Router for KadRouter {
    fn ready(&self) -> Readiness {
        // Not those of the routing table: on the other side of a partition they may all be.
        match self.gauges.connected.load(Ordering::Relaxed) {
            0 if self.wish.borrow().peers.is_empty() => Readiness::Alone,
            0 => Readiness::Starting,
            peers => Readiness::Connected { peers },
        }
    }

    async fn lookup(&self, key: Key) -> Result<Arc<Providers>, LookupError> {
        let found = self.lookups.get(Instant::now, key, || self.find(key)).await?;
        // It may have been found before the lists were what they are.
        let lists = Arc::clone(&self.wish.borrow().lists);
        found.retain(|provider| lists.let_in(&provider.peer));
        Ok(found)
    }

    fn advertise(&self, keys: &[Key]) -> Result<(), AdvertiseError> {
        let changing = self.changing();
        if self.advertised.is_closed() {
            return Err(AdvertiseError::Ended);
        }
        let new: BTreeSet<Key> = {
            let known = &self.advertised.borrow().keys;
            let new: BTreeSet<Key> =
                keys.iter().filter(|key| !known.contains(key)).copied().collect();
            let (held, limit) = (known.len(), self.max_advertised);
            if held.saturating_add(new.len()) > limit {
                return Err(AdvertiseError::TooMany { new: new.len(), held, limit });
            }
            new
        };
        if !new.is_empty() {
            self.advertised.send_modify(|advertised| advertised.keys.extend(new));
        }
        drop(changing);
        Ok(())
    }

    fn withdraw(&self, keys: &[Key]) -> Result<(), WithdrawError> {
        let _changing = self.changing();
        if self.advertised.is_closed() {
            return Err(WithdrawError::Ended);
        }
        self.advertised.send_if_modified(|advertised| {
            let before = advertised.keys.len();
            keys.iter().for_each(|key| _ = advertised.keys.remove(key));
            advertised.keys.len() != before
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_one_bucket() {
        let times = LookupTimes::default();
        for us in [0, 1000, 1001, 5_000_000, 5_000_001] {
            times.add(Duration::from_micros(us));
        }
        let LookupTimes { counts, sum_us } = times.read();
        assert_eq!((counts[0], counts[1], counts[9], counts[10]), (2, 1, 1, 1));
        assert_eq!((counts.iter().sum::<u64>(), sum_us), (5, 10_002_002));
    }
}
