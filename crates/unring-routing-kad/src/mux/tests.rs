//! Two ends of a connection in memory.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::core::muxing::StreamMuxer as _;
use tokio::io::{AsyncRead as _, AsyncWrite as _, DuplexStream, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet, yield_now};
use tokio::time::timeout;
use yamux::{Connection, Mode};

use super::flow::Flow;
use super::muxer::{Multiplex, Muxer, Substream};
use crate::config::{
    CLOSE_DEADLINE, MAX_INBOUND_BYTES_HELD, MAX_INBOUND_STREAMS_PER_CONNECTION,
    MAX_OUTBOUND_BYTES_HELD, MAX_OUTBOUND_STREAMS_PER_CONNECTION, MAX_PIECE,
    MAX_STREAMS_PER_CONNECTION,
};

const DEADLINE: Duration = Duration::from_secs(60);
/// More than any test opens.
const QUEUE: usize = 1024;

/// One end, which may stop reading.
struct End {
    io: DuplexStream,
    deaf: Arc<AtomicBool>,
}

fn pair() -> (End, End) {
    let (one, other) = tokio::io::duplex(64 * 1024);
    let end = |io| End { io, deaf: Arc::default() };
    (end(one), end(other))
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.deaf.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl AsyncWrite for End {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A muxer that works, as in a swarm.
struct Node {
    opened: mpsc::Receiver<Substream>,
    open: mpsc::Sender<oneshot::Sender<Substream>>,
    task: JoinHandle<()>,
}

impl Node {
    fn start(mut muxer: Muxer<End>) -> Self {
        let (opened_sender, opened) = mpsc::channel(QUEUE);
        let (open, mut wanted) = mpsc::channel::<oneshot::Sender<Substream>>(QUEUE);
        let mut next = None;
        let task = poll_fn(move |cx| {
            let mut muxer = Pin::new(&mut muxer);
            loop {
                if next.is_none()
                    && let Poll::Ready(Some(wanted)) = wanted.poll_recv(cx)
                {
                    next = Some(wanted);
                }
                if next.is_some()
                    && let Poll::Ready(Ok(stream)) = muxer.as_mut().poll_outbound(cx)
                    && let Some(wanted) = next.take()
                {
                    drop(wanted.send(stream));
                    continue;
                }
                match muxer.as_mut().poll_inbound(cx) {
                    Poll::Ready(Ok(stream)) => drop(opened_sender.try_send(stream)),
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending if muxer.as_mut().poll(cx).is_ready() => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        Self { opened, open, task: tokio::spawn(task) }
    }

    async fn open(&self) -> Substream {
        let (wanted, stream) = oneshot::channel();
        self.open.try_send(wanted).unwrap();
        timeout(DEADLINE, stream).await.unwrap().unwrap()
    }

    async fn accept(&mut self) -> Substream {
        timeout(DEADLINE, self.opened.recv()).await.unwrap().unwrap()
    }
}

fn node(io: End, mode: Mode) -> (Node, Flow) {
    let (muxer, flow) = Multiplex::default().watched(io, mode);
    (Node::start(muxer), flow)
}

/// A peer without these bounds.
struct Plain(mpsc::Sender<oneshot::Sender<yamux::Stream>>);

impl Plain {
    fn start(io: End) -> Self {
        let mut connection = Connection::new(io, yamux::Config::default(), Mode::Client);
        let (open, mut wanted) = mpsc::channel::<oneshot::Sender<yamux::Stream>>(QUEUE);
        let mut next = None;
        tokio::spawn(poll_fn(move |cx| {
            loop {
                if next.is_none()
                    && let Poll::Ready(Some(wanted)) = wanted.poll_recv(cx)
                {
                    next = Some(wanted);
                }
                if next.is_some()
                    && let Poll::Ready(Ok(stream)) = connection.poll_new_outbound(cx)
                    && let Some(wanted) = next.take()
                {
                    drop(wanted.send(stream));
                    continue;
                }
                return match connection.poll_next_inbound(cx) {
                    Poll::Ready(Some(Ok(_))) => continue,
                    Poll::Ready(_) => Poll::Ready(()),
                    Poll::Pending => Poll::Pending,
                };
            }
        }));
        Self(open)
    }

    async fn open(&self) -> yamux::Stream {
        let (wanted, stream) = oneshot::channel();
        self.0.try_send(wanted).unwrap();
        timeout(DEADLINE, stream).await.unwrap().unwrap()
    }
}

async fn settle() {
    for _ in 0..2000 {
        yield_now().await;
    }
}

fn bytes(count: usize) -> Vec<u8> {
    (0..=250).cycle().take(count).collect()
}

#[tokio::test]
async fn much_goes_both_ways_at_once_and_arrives_whole() {
    let (one, other) = pair();
    let ((one, flow), (mut other, other_flow)) =
        (node(one, Mode::Client), node(other, Mode::Server));
    let sent = bytes(3_000_000);
    let mut all = JoinSet::new();
    for _ in 0..8 {
        let (stream, sent) = (one.open().await, sent.clone());
        all.spawn(async move {
            let (mut reader, mut writer) = stream.split();
            let mut back = Vec::new();
            let write = async {
                writer.write_all(&sent).await.unwrap();
                writer.close().await.unwrap();
            };
            let read = async { reader.read_to_end(&mut back).await.unwrap() };
            futures::join!(write, read);
            assert!(back == sent);
        });
        // Streams are told of with their first bytes.
        let stream = other.accept().await;
        all.spawn(async move {
            let (reader, mut writer) = stream.split();
            futures::io::copy(reader, &mut writer).await.unwrap();
            writer.close().await.unwrap();
        });
    }
    while let Some(ended) = timeout(DEADLINE, all.join_next()).await.unwrap() {
        ended.unwrap();
    }
    settle().await;
    assert_eq!((flow.held(), other_flow.held()), ((0, 0), (0, 0)), "all is accounted for");
}

#[tokio::test]
async fn what_nobody_reads_is_not_taken_in() {
    // Pieces of one byte count for more, so that fewer bytes will do.
    for (piece, length) in [(100_000, 100_000), (1, 10_000)] {
        let (one, other) = pair();
        let plain = Plain::start(one);
        let (mut node, flow) = node(other, Mode::Server);
        let mut held = Vec::new();
        for _ in 0..10 {
            let mut stream = plain.open().await;
            tokio::spawn(async move {
                for chunk in bytes(length).chunks(piece) {
                    stream.write_all(chunk).await.unwrap();
                }
                stream.close().await.unwrap();
                std::future::pending::<()>().await;
            });
        }
        settle().await;
        while let Ok(stream) = node.opened.try_recv() {
            held.push(stream);
        }
        settle().await;
        let most = MAX_INBOUND_BYTES_HELD + 2 * MAX_PIECE;
        assert!(
            (MAX_INBOUND_BYTES_HELD..most).contains(&flow.held().0),
            "{:?} in {piece}",
            flow.held()
        );
        // Whoever is dropped makes room, and whoever is read gets everything.
        drop(held.pop());
        let mut readers = JoinSet::new();
        let read = |mut stream: Substream| async move {
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.unwrap();
            assert!(read == bytes(length));
        };
        held.into_iter().for_each(|stream| _ = readers.spawn(read(stream)));
        let mut ended = 0;
        while ended < 9 {
            tokio::select! {
                stream = node.accept() => { readers.spawn(read(stream)); }
                Some(reader) = readers.join_next() => {
                    reader.unwrap();
                    ended += 1;
                }
            }
        }
    }
}

#[tokio::test]
async fn for_whoever_does_not_read_nothing_is_kept() {
    let (one, other) = pair();
    let deaf = Arc::clone(&one.deaf);
    let plain = Plain::start(one);
    let (mut node, flow) = node(other, Mode::Server);
    let mut kept = Vec::new();
    for _ in 0..20 {
        let mut stream = plain.open().await;
        stream.write_all(b"x").await.unwrap();
        kept.push(stream);
        let mut stream = node.accept().await;
        deaf.store(true, Ordering::Relaxed);
        tokio::spawn(async move {
            loop {
                stream.write_all(&[0; 4096]).await.unwrap();
            }
        });
        deaf.store(false, Ordering::Relaxed);
    }
    deaf.store(true, Ordering::Relaxed);
    settle().await;
    let held = flow.held().1;
    let most = (MAX_OUTBOUND_BYTES_HELD + MAX_PIECE).cast_signed();
    assert!((MAX_OUTBOUND_BYTES_HELD.cast_signed()..most).contains(&held), "{held}");
}

#[tokio::test]
async fn streams_that_are_dropped_while_their_peer_does_not_read_count() {
    let (one, other) = pair();
    let deaf = Arc::clone(&one.deaf);
    let plain = Plain::start(one);
    let (mut node, flow) = node(other, Mode::Server);
    let mut first = plain.open().await;
    first.write_all(b"x").await.unwrap();
    let mut answering = node.accept().await;
    deaf.store(true, Ordering::Relaxed);
    tokio::spawn(async move {
        loop {
            answering.write_all(&[0; 4096]).await.unwrap();
        }
    });
    settle().await;
    let mut kept = vec![];
    for _ in 0..30 {
        let mut stream = plain.open().await;
        kept.push(tokio::spawn(async move {
            stream.write_all(&bytes(20_000)).await.unwrap();
            stream
        }));
        settle().await;
        while let Ok(stream) = node.opened.try_recv() {
            drop(stream);
        }
    }
    let held = flow.held().0;
    assert!(
        (MAX_INBOUND_BYTES_HELD..MAX_INBOUND_BYTES_HELD + 2 * MAX_PIECE).contains(&held),
        "{held}"
    );
}

#[tokio::test]
async fn streams_too_many_are_reset_and_own_ones_wait() {
    let (one, other) = pair();
    let plain = Plain::start(one);
    let multiplex = Multiplex::default();
    let refused = Arc::clone(&multiplex.refused);
    let (muxer, _) = multiplex.watched(other, Mode::Server);
    let mut node = Node::start(muxer);
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..MAX_INBOUND_STREAMS_PER_CONNECTION + 5 {
        let mut stream = plain.open().await;
        stream.write_all(b"x").await.unwrap();
        theirs.push(stream);
    }
    for _ in 0..MAX_INBOUND_STREAMS_PER_CONNECTION {
        ours.push(node.accept().await);
    }
    settle().await;
    assert_eq!(refused.load(Ordering::Relaxed), 5);
    assert!(node.opened.try_recv().is_err());
    ours.clear();
    let mut stream = plain.open().await;
    stream.write_all(b"x").await.unwrap();
    node.accept().await;
    for _ in 0..MAX_OUTBOUND_STREAMS_PER_CONNECTION {
        ours.push(node.open().await);
    }
    let (wanted, mut waits) = oneshot::channel();
    node.open.try_send(wanted).unwrap();
    settle().await;
    assert!(waits.try_recv().is_err());
    drop(ours.pop());
    timeout(DEADLINE, waits).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_peer_does_not_read_ends_all_the_same() {
    let (one, other) = pair();
    let (mut muxer, _) = Multiplex::default().watched(one, Mode::Client);
    let mut stream = poll_fn(|cx| Pin::new(&mut muxer).poll_outbound(cx)).await.unwrap();
    let mut full = false;
    while !full {
        poll_fn(|cx| {
            full = Pin::new(&mut stream).poll_write(cx, &[0; 4096]).is_pending();
            assert!(Pin::new(&mut muxer).poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
    }
    let began = tokio::time::Instant::now();
    poll_fn(|cx| Pin::new(&mut muxer).poll_close(cx)).await.unwrap();
    assert_eq!(began.elapsed(), CLOSE_DEADLINE);
    drop(other);
}

#[tokio::test]
async fn streams_that_are_only_announced_are_not_remembered_without_end() {
    const SYN: u8 = 1;
    const RST: u8 = 8;
    // Opened and reset in one frame, and with ids that are this end's own: yamux makes no stream of either.
    for (flags, first) in [(SYN | RST, 1), (SYN, 2)] {
        let (mut one, other) = pair();
        let (_node, flow) = node(other, Mode::Server);
        for id in (first..).step_by(2).take(10_000) {
            let [a, b, c, d] = u32::to_be_bytes(id);
            let frame = [0, 1, 0, flags, a, b, c, d, 0, 0, 0, 0];
            // It may have hung up.
            if one.write_all(&frame).await.is_err() {
                break;
            }
        }
        settle().await;
        assert!(flow.streams() <= MAX_STREAMS_PER_CONNECTION, "{} with {flags}", flow.streams());
    }
}

#[tokio::test]
async fn who_waits_to_write_is_told_that_the_connection_is_gone() {
    let (one, other) = pair();
    let deaf = Arc::clone(&one.deaf);
    let _plain = Plain::start(one);
    let (node, _flow) = node(other, Mode::Server);
    let mut stream = node.open().await;
    deaf.store(true, Ordering::Relaxed);
    let writer = tokio::spawn(async move {
        let too_much = bytes(10 * MAX_OUTBOUND_BYTES_HELD);
        while stream.write_all(&too_much).await.is_ok() {}
    });
    settle().await;
    assert!(!writer.is_finished());
    node.task.abort();
    timeout(DEADLINE, writer).await.unwrap().unwrap();
}
