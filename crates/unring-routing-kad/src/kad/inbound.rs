//! What others ask on streams that they opened, within limits per peer and in all.
//!
//! libp2p's own handler waits for a first message without end, and takes as many requests from one peer as it sends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use libp2p_identity::PeerId;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::kad::config::{
    FREE_BUSY_STREAMS, FREE_REQUEST_BYTES, INBOUND_DEADLINE, INBOUND_IDLE, MAX_BUSY_STREAMS,
    MAX_BUSY_STREAMS_OF_ALL, MAX_INBOUND_STREAMS, MAX_REQUEST_BYTES, MAX_REQUEST_BYTES_HELD,
    MAX_REQUEST_DELAY, REQUEST_BURST, REQUEST_COST, REQUEST_GAP,
};
use crate::kad::framing::{self, Budget, ReadError};
use crate::kad::wire::{self, Request};

/// Requests that wait for the network's loop; then their streams wait.
const REQUEST_QUEUE: usize = 64;
/// A delay below this is left out: timers are no finer.
const SHORT_DELAY: Duration = Duration::from_millis(5);

/// Why a peer's stream was ended by this node.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum KadRefusal {
    /// The peer has [`MAX_INBOUND_STREAMS`] open.
    #[error("more than {MAX_INBOUND_STREAMS} streams")]
    Streams,
    /// More than [`MAX_BUSY_STREAMS`] of its streams do not read what they are answered, or are held back for asking too often.
    #[error("more than {MAX_BUSY_STREAMS} streams held up")]
    Busy,
    /// It asks faster than [`REQUEST_GAP`] allows.
    #[error("too many requests")]
    Rate,
    /// A request has more than [`MAX_REQUEST_BYTES`].
    #[error("a request of more than {MAX_REQUEST_BYTES} bytes")]
    TooLong,
    /// A request or the reading of an answer took longer than [`INBOUND_DEADLINE`].
    #[error("too slow")]
    Slow,
    /// What it sent is no request.
    #[error("not a request")]
    Unreadable,
    /// All peers together hold as many bytes of requests, or as many streams that do not read their answers, as there is room for,
    /// and this one has its share.
    #[error("no room beside other peers")]
    Crowded,
}

/// How often streams were ended for which reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KadRefusals<N = u64> {
    /// [`KadRefusal::Streams`].
    pub streams: N,
    /// [`KadRefusal::Busy`].
    pub busy: N,
    /// [`KadRefusal::Rate`].
    pub rate: N,
    /// [`KadRefusal::TooLong`].
    pub too_long: N,
    /// [`KadRefusal::Slow`].
    pub slow: N,
    /// [`KadRefusal::Unreadable`].
    pub unreadable: N,
    /// [`KadRefusal::Crowded`].
    pub crowded: N,
}

impl KadRefusals<AtomicU64> {
    pub(crate) fn count(&self, refusal: KadRefusal) {
        let counter = match refusal {
            KadRefusal::Streams => &self.streams,
            KadRefusal::Busy => &self.busy,
            KadRefusal::Rate => &self.rate,
            KadRefusal::TooLong => &self.too_long,
            KadRefusal::Slow => &self.slow,
            KadRefusal::Unreadable => &self.unreadable,
            KadRefusal::Crowded => &self.crowded,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> KadRefusals {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        KadRefusals {
            streams: load(&self.streams),
            busy: load(&self.busy),
            rate: load(&self.rate),
            too_long: load(&self.too_long),
            slow: load(&self.slow),
            unreadable: load(&self.unreadable),
            crowded: load(&self.crowded),
        }
    }
}

/// A request for the network's loop.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) peer: PeerId,
    pub(crate) request: Request,
    /// Bytes to send, if there is an answer.
    pub(crate) reply: oneshot::Sender<Option<Vec<u8>>>,
}

/// What all peers share. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Inbound {
    asked: mpsc::Sender<Asked>,
    budget: Budget,
    /// Streams that are held back or do not read, beyond those that each peer has for itself.
    crowd: Arc<Semaphore>,
    refusals: Arc<KadRefusals<AtomicU64>>,
}

impl Inbound {
    pub(crate) fn new(refusals: Arc<KadRefusals<AtomicU64>>) -> (Self, mpsc::Receiver<Asked>) {
        let (asked, requests) = mpsc::channel(REQUEST_QUEUE);
        let budget = Budget::new(MAX_REQUEST_BYTES_HELD, FREE_REQUEST_BYTES);
        let crowd = Arc::new(Semaphore::new(MAX_BUSY_STREAMS_OF_ALL));
        (Self { asked, budget, crowd, refusals }, requests)
    }

    /// Serves a stream until it ends, and tells `used` of each request; `None`: the peer has too many.
    pub(crate) fn serve<S>(
        &self,
        peer: PeerId,
        share: Arc<Share>,
        stream: S,
        used: impl Fn() + Send + 'static,
    ) -> Option<impl Future<Output = ()> + Send + 'static>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Ok(place) = Arc::clone(&share.streams).try_acquire_owned() else {
            self.refuse(peer, KadRefusal::Streams);
            return None;
        };
        let inbound = self.clone();
        Some(async move {
            let _place = place;
            if let Err(refusal) = inbound.requests(peer, &share, stream, used).await {
                inbound.refuse(peer, refusal);
            }
        })
    }

    fn refuse(&self, peer: PeerId, refusal: KadRefusal) {
        tracing::debug!(%peer, reason = %refusal, "stream ended");
        self.refusals.count(refusal);
    }

    /// One request after the other. A stream that breaks is the peer's business.
    async fn requests<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        peer: PeerId,
        share: &Share,
        mut stream: S,
        used: impl Fn(),
    ) -> Result<(), KadRefusal> {
        // Some peers keep a stream for later requests.
        let mut patience = INBOUND_DEADLINE;
        loop {
            let reading = framing::read(&mut stream, MAX_REQUEST_BYTES, &self.budget);
            let frame = match timeout(patience, reading).await {
                Err(_) if patience == INBOUND_IDLE => return Ok(()),
                Err(_) => return Err(KadRefusal::Slow),
                Ok(Ok(Some(frame))) => frame,
                Ok(Ok(None)) => {
                    // To whoever told of something this says that it was heard.
                    drop(timeout(INBOUND_DEADLINE, stream.close()).await);
                    return Ok(());
                }
                Ok(Err(ReadError::TooLong { .. })) => return Err(KadRefusal::TooLong),
                Ok(Err(ReadError::Full)) => return Err(KadRefusal::Crowded),
                Ok(Err(ReadError::Length)) => return Err(KadRefusal::Unreadable),
                Ok(Err(ReadError::Stream(_))) => return Ok(()),
            };
            patience = INBOUND_IDLE;
            let request = wire::request(&frame.bytes).map_err(|_| KadRefusal::Unreadable)?;
            drop(frame);
            let cost =
                if matches!(request, Request::AddProvider { .. }) { 1 } else { REQUEST_COST };
            let delay = share.take(Instant::now(), cost).ok_or(KadRefusal::Rate)?;
            if delay > SHORT_DELAY {
                let _busy = share.busy(&self.crowd)?;
                sleep(delay).await;
            }
            used();
            let (reply, answer) = oneshot::channel();
            // When the loop has ended so does the connection.
            if self.asked.send(Asked { peer, request, reply }).await.is_err() {
                return Ok(());
            }
            let Ok(answer) = answer.await else { return Ok(()) };
            if let Some(bytes) = answer {
                let _busy = share.busy(&self.crowd)?;
                let writing = async {
                    stream.write_all(&bytes).await?;
                    stream.flush().await
                };
                match timeout(INBOUND_DEADLINE, writing).await {
                    Err(_) => return Err(KadRefusal::Slow),
                    Ok(Err(_)) => return Ok(()),
                    Ok(Ok(())) => {}
                }
            }
        }
    }
}

/// What one peer has, over all of its connections.
#[derive(Debug)]
pub(crate) struct Share {
    streams: Arc<Semaphore>,
    busy: Arc<Semaphore>,
    /// Those that it has whatever others do.
    own_busy: Arc<Semaphore>,
    rate: Mutex<Rate>,
}

impl Share {
    pub(crate) fn new() -> Self {
        let streams = Arc::new(Semaphore::new(MAX_INBOUND_STREAMS));
        let busy = Arc::new(Semaphore::new(MAX_BUSY_STREAMS));
        let own_busy = Arc::new(Semaphore::new(FREE_BUSY_STREAMS));
        Self { streams, busy, own_busy, rate: Mutex::default() }
    }

    fn busy(&self, crowd: &Arc<Semaphore>) -> Result<[OwnedSemaphorePermit; 2], KadRefusal> {
        let place = |places: &Arc<Semaphore>| Arc::clone(places).try_acquire_owned();
        let busy = place(&self.busy).map_err(|_| KadRefusal::Busy)?;
        let own = place(&self.own_busy).or_else(|_| place(crowd));
        Ok([busy, own.map_err(|_| KadRefusal::Crowded)?])
    }

    fn take(&self, now: Instant, cost: u32) -> Option<Duration> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner).take(now, cost)
    }
}

/// The generic cell rate algorithm (ITU-T I.371, annex A).
#[derive(Debug, Default)]
struct Rate {
    /// When the next request would come if each had come as late as it may.
    clock: Option<Instant>,
}

impl Rate {
    /// How long to wait with a request of this cost; `None`: it is refused, and costs nothing.
    fn take(&mut self, now: Instant, cost: u32) -> Option<Duration> {
        let clock = self.clock.map_or(now, |clock| clock.max(now)) + REQUEST_GAP * cost;
        let ahead = clock.saturating_duration_since(now);
        let delay = ahead.saturating_sub(REQUEST_GAP * REQUEST_BURST);
        if delay > MAX_REQUEST_DELAY {
            return None;
        }
        self.clock = Some(clock);
        Some(delay)
    }
}

#[cfg(test)]
mod tests {
    use futures::io::Cursor;
    use libp2p_identity::PeerId;

    use super::*;
    use crate::kad::wire::Contact;

    /// A stream whose other end sends what it has and takes what it is sent.
    struct Peer {
        reads: Cursor<Vec<u8>>,
        /// Nothing more comes, and no end either.
        silent: bool,
        /// It does not read.
        deaf: bool,
    }

    impl AsyncRead for Peer {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            buffer: &mut [u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            let end = self.reads.get_ref().len() as u64;
            if self.silent && self.reads.position() == end {
                return std::task::Poll::Pending;
            }
            std::pin::Pin::new(&mut self.reads).poll_read(cx, buffer)
        }
    }

    impl AsyncWrite for Peer {
        fn poll_write(
            self: std::pin::Pin<&mut Self>,
            _cx: &mut std::task::Context<'_>,
            buffer: &[u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            if self.deaf {
                std::task::Poll::Pending
            } else {
                std::task::Poll::Ready(Ok(buffer.len()))
            }
        }

        fn poll_flush(
            self: std::pin::Pin<&mut Self>,
            _cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn poll_close(
            self: std::pin::Pin<&mut Self>,
            _cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
    }

    struct World {
        inbound: Inbound,
        share: Arc<Share>,
        refusals: Arc<KadRefusals<AtomicU64>>,
        served: Arc<AtomicU64>,
    }

    fn world() -> World {
        let refusals = Arc::<KadRefusals<AtomicU64>>::default();
        let (inbound, mut requests) = Inbound::new(Arc::clone(&refusals));
        let served = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&served);
        tokio::spawn(async move {
            while let Some(Asked { reply, .. }) = requests.recv().await {
                count.fetch_add(1, Ordering::Relaxed);
                _ = reply.send(Some(vec![1]));
            }
        });
        World { inbound, share: Arc::new(Share::new()), refusals, served }
    }

    impl World {
        async fn send(&self, bytes: Vec<u8>, silent: bool, deaf: bool) {
            let peer = Peer { reads: Cursor::new(bytes), silent, deaf };
            let id = PeerId::random();
            let serving = self.inbound.serve(id, Arc::clone(&self.share), peer, || ());
            serving.unwrap().await;
        }

        fn counts(&self) -> KadRefusals {
            self.refusals.read()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_refusal_has_its_reason() {
        let world = world();
        world.send(wire::find_node(b"k").repeat(3), false, false).await;
        assert_eq!(
            (world.served.load(Ordering::Relaxed), world.counts()),
            (3, KadRefusals::default())
        );
        let start = tokio::time::Instant::now();
        world.send(vec![], true, false).await;
        world.send(vec![200, 1, 8], true, false).await;
        world.send(wire::find_node(b"k"), false, true).await;
        assert_eq!(start.elapsed(), INBOUND_DEADLINE * 3);
        world.send(vec![0xff, 0xff, 0x7f], true, false).await;
        world.send(vec![2, 0x0a, 0xff], true, false).await;
        // Who keeps a stream for later is no offender.
        world.send(wire::find_node(b"k"), true, false).await;
        let wanted = KadRefusals { slow: 3, too_long: 1, unreadable: 1, ..KadRefusals::default() };
        assert_eq!(world.counts(), wanted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_has_so_many_streams_and_no_more() {
        let world = world();
        let open = || {
            let peer = Peer { reads: Cursor::new(vec![]), silent: true, deaf: false };
            world.inbound.serve(PeerId::random(), Arc::clone(&world.share), peer, || ())
        };
        let first: Vec<_> = (0..MAX_INBOUND_STREAMS).map(|_| open().unwrap()).collect();
        assert!(open().is_none());
        assert_eq!(world.counts().streams, 1);
        drop(first);
        assert!(open().is_some());
        let deaf = || world.send(wire::find_node(b"k"), false, true);
        futures::future::join_all((0..MAX_BUSY_STREAMS + 3).map(|_| deaf())).await;
        assert_eq!(world.counts().busy, 3);
    }

    #[tokio::test]
    async fn who_asks_without_end_is_refused_and_who_tells_of_thousands_of_keys_is_not() {
        let (begin, mut rate) = (Instant::now(), Rate::default());
        let asks = (0..10_000).take_while(|_| rate.take(begin, REQUEST_COST).is_some()).count();
        let most = (REQUEST_GAP * REQUEST_BURST + MAX_REQUEST_DELAY).as_micros()
            / (REQUEST_GAP * REQUEST_COST).as_micros();
        assert_eq!(asks as u128, most);
        let (mut rate, mut waited) = (Rate::default(), Duration::ZERO);
        for n in 0..5000 {
            let now = begin + Duration::from_millis(n / 2);
            waited = waited.max(rate.take(now, 1).unwrap());
        }
        assert_eq!(waited, Duration::ZERO, "5000 in 2.5 s");
        let own = Contact {
            peer: PeerId::random(),
            addresses: vec!["/ip4/10.0.0.1/tcp/1".parse().unwrap()],
        };
        let world = world();
        world.send(wire::add_provider(b"k", &own).repeat(512), false, false).await;
        assert_eq!(
            (world.served.load(Ordering::Relaxed), world.counts()),
            (512, KadRefusals::default())
        );
    }
}
