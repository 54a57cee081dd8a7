//! Reading no faster than the pressure allows.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::AcceptCounters;
use super::bucket::Bucket;
use crate::Pressure;

/// Bytes that a connection reads before the rate holds it back: several ordinary requests, so that who asks now and
/// then is not slowed down. It is also the most that is read at once under pressure.
const READ_BURST: u64 = 8 * 1024;

/// Bytes worth waking up for, or one second's worth where that is less: each read costs a system call.
const USEFUL_READ: u64 = 1024;

/// Longest pause, after which the rate is looked at again.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(1);

/// A connection below TLS, where every byte that costs CPU is counted, whatever record it comes in.
#[derive(Debug)]
pub(super) struct Throttled<S> {
    inner: S,
    gauge: Option<Gauge>,
}

#[derive(Debug)]
struct Gauge {
    pressure: Arc<Pressure>,
    counters: Arc<AcceptCounters>,
    bucket: Bucket,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<S> Throttled<S> {
    /// Reads without bounds until [`start`](Self::start).
    pub(super) fn new(inner: S) -> Self {
        Self { inner, gauge: None }
    }

    pub(super) fn start(&mut self, pressure: Arc<Pressure>, counters: Arc<AcceptCounters>) {
        let bucket = Bucket::new(Instant::now());
        self.gauge = Some(Gauge { pressure, counters, bucket, pause: None });
    }
}

impl Gauge {
    /// Waits until something may be read, and says how many bytes; none: no limit.
    fn poll_allowed(&mut self, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        loop {
            let Some(rate) = self.pressure.read_rate() else {
                self.pause = None;
                return Poll::Ready(None);
            };
            let rate = u64::from(rate.get());
            let now = Instant::now();
            let tokens = self.bucket.refill(now, rate, READ_BURST);
            let useful = rate.min(USEFUL_READ);
            if tokens >= useful {
                self.pause = None;
                return Poll::Ready(Some(tokens));
            }
            let until = self.bucket.ready_at(useful, rate).min(now + MAX_PAUSE);
            let pause = self.pause.get_or_insert_with(|| {
                self.counters.paused_read();
                Box::pin(sleep_until(until))
            });
            if pause.is_elapsed() {
                // The rate fell meanwhile.
                pause.as_mut().reset(until);
            }
            ready!(pause.as_mut().poll(cx));
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Throttled<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(gauge) = &mut this.gauge else {
            return Pin::new(&mut this.inner).poll_read(cx, buf);
        };
        let Some(allowed) = ready!(gauge.poll_allowed(cx)) else {
            return Pin::new(&mut this.inner).poll_read(cx, buf);
        };
        let most = usize::try_from(allowed).unwrap_or(usize::MAX).min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
        let read = Pin::new(&mut this.inner).poll_read(cx, &mut part);
        let got = part.filled().len();
        buf.advance(got);
        gauge.bucket.take(u64::try_from(got).unwrap_or(u64::MAX));
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Throttled<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use tokio::io::{AsyncReadExt as _, DuplexStream};
    use tokio::time::timeout;

    use super::*;

    const RATE: u32 = 2_000;

    /// A peer that sends without end, read through a throttle.
    fn flooded(
        pressure: &Arc<Pressure>,
        counters: &Arc<AcceptCounters>,
    ) -> Throttled<DuplexStream> {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        tokio::spawn(async move { tokio::io::copy(&mut tokio::io::repeat(7), &mut far).await });
        let mut throttled = Throttled::new(near);
        throttled.start(Arc::clone(pressure), Arc::clone(counters));
        throttled
    }

    async fn read_for(io: &mut Throttled<DuplexStream>, time: Duration) -> u64 {
        let mut total = 0;
        let mut buf = vec![0; 64 * 1024];
        let reads = async {
            loop {
                let got = io.read(&mut buf).await.unwrap();
                assert!(buf[..got].iter().all(|byte| *byte == 7));
                total += got as u64;
            }
        };
        timeout(time, reads).await.unwrap_err();
        total
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_reads_its_burst_and_then_its_rate() {
        let (pressure, counters) = (Arc::new(Pressure::new()), Arc::default());
        pressure.set_read_rate(NonZeroU32::new(RATE));
        let mut io = flooded(&pressure, &counters);
        let total = read_for(&mut io, Duration::from_secs(100)).await;
        let most = READ_BURST + 100 * u64::from(RATE);
        assert!(total <= most && total >= most - 2 * USEFUL_READ, "{total} of {most}");
        let paused = counters.counts().paused_reads;
        assert!((150..=250).contains(&paused), "{paused} pauses for about 200 KiB");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_below_a_useful_read_still_lets_bytes_through() {
        let (pressure, counters) = (Arc::new(Pressure::new()), Arc::default());
        pressure.set_read_rate(Some(NonZeroU32::MIN));
        let mut io = flooded(&pressure, &counters);
        let total = read_for(&mut io, Duration::from_secs(100)).await;
        assert!((READ_BURST + 98..=READ_BURST + 100).contains(&total), "{total}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_pressure_nothing_waits_and_lifting_it_is_noticed() {
        let (pressure, counters) = (Arc::new(Pressure::new()), Arc::default());
        let mut io = flooded(&pressure, &counters);
        let start = Instant::now();
        let mut megabyte = vec![0; 1 << 20];
        io.read_exact(&mut megabyte).await.unwrap();
        assert_eq!((start.elapsed(), counters.counts().paused_reads), (Duration::ZERO, 0));

        pressure.set_read_rate(Some(NonZeroU32::MIN));
        let lift = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            pressure.set_read_rate(None);
        };
        let (read, ()) = tokio::join!(io.read_exact(&mut megabyte), lift);
        read.unwrap();
        assert!(start.elapsed() <= MAX_PAUSE + Duration::from_millis(2), "{:?}", start.elapsed());
        assert_eq!(counters.counts().paused_reads, 1);
    }
}
