//! A peer that speaks libp2p down to its streams, and keeps to nothing above them.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::core::muxing::{StreamMuxer as _, StreamMuxerExt as _};
use libp2p::core::upgrade::OutboundConnectionUpgrade as _;
use libp2p::{noise, yamux};
use libp2p_identity::{Keypair, PeerId};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use unring_routing::Key;

pub(crate) const KAD: &str = "/spegel/kad/1.0.0";
pub(crate) const IDENTIFY_PUSH: &str = "/ipfs/id/push/1.0.0";

struct Socket {
    tcp: TcpStream,
    deaf: Arc<AtomicBool>,
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.deaf.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// A name of multistream-select, with its length in front.
fn line(name: &str) -> Vec<u8> {
    let mut line = vec![u8::try_from(name.len() + 1).unwrap()];
    line.extend(name.as_bytes());
    line.push(b'\n');
    line
}

/// Agrees on a protocol.
async fn select<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, name: &str) -> io::Result<()> {
    let both = [line("/multistream/1.0.0"), line(name)].concat();
    stream.write_all(&both).await?;
    stream.flush().await?;
    let mut said = vec![0; both.len()];
    stream.read_exact(&mut said).await?;
    if said == both { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
}

type Opened = <yamux::Muxer<noise::Output<Socket>> as libp2p::core::StreamMuxer>::Substream;

/// A peer with a connection.
#[derive(Clone)]
pub(crate) struct Hostile {
    id: PeerId,
    open: mpsc::Sender<oneshot::Sender<Opened>>,
}

impl Hostile {
    /// `None`: it is not let in.
    pub(crate) async fn connect(server: SocketAddr, deaf: Arc<AtomicBool>) -> Option<Self> {
        let connecting = Self::try_connect(server, deaf);
        tokio::time::timeout(Duration::from_secs(10), connecting).await.ok()?.ok()
    }

    async fn try_connect(server: SocketAddr, deaf: Arc<AtomicBool>) -> io::Result<Self> {
        let keypair = Keypair::generate_ed25519();
        let tcp = TcpStream::connect(server).await?;
        let mut socket = Socket { tcp, deaf };
        select(&mut socket, "/noise").await?;
        let noise = noise::Config::new(&keypair).map_err(io::Error::other)?;
        let (_, mut secured) =
            noise.upgrade_outbound(socket, "/noise").await.map_err(io::Error::other)?;
        select(&mut secured, "/yamux/1.0.0").await?;
        let mut config = yamux::Config::default();
        config.set_max_num_streams(2000);
        let mut muxer = config.upgrade_outbound(secured, "/yamux/1.0.0").await?;
        let (open, mut wanted) = mpsc::channel::<oneshot::Sender<Opened>>(256);
        let mut next = None;
        tokio::spawn(poll_fn(move |cx| {
            loop {
                if next.is_none() {
                    match wanted.poll_recv(cx) {
                        Poll::Ready(Some(wanted)) => next = Some(wanted),
                        // Nobody attacks any more.
                        Poll::Ready(None) => return Poll::Ready(()),
                        Poll::Pending => {}
                    }
                }
                if next.is_some() {
                    match muxer.poll_outbound_unpin(cx) {
                        Poll::Ready(Ok(stream)) => {
                            if let Some(wanted) = next.take() {
                                drop(wanted.send(stream));
                            }
                            continue;
                        }
                        Poll::Ready(Err(_)) => return Poll::Ready(()),
                        Poll::Pending => {}
                    }
                }
                // What the server wants is of no interest.
                if let Poll::Ready(opened) = muxer.poll_inbound_unpin(cx) {
                    if opened.is_err() {
                        return Poll::Ready(());
                    }
                    continue;
                }
                return Pin::new(&mut muxer).poll(cx).map(drop);
            }
        }));
        Ok(Self { id: keypair.public().to_peer_id(), open })
    }

    pub(crate) fn id(&self) -> PeerId {
        self.id
    }

    pub(crate) fn somebody() -> PeerId {
        Keypair::generate_ed25519().public().to_peer_id()
    }

    /// A stream on which nothing is agreed.
    pub(crate) async fn raw(&self) -> io::Result<Stream> {
        let gone = || io::Error::from(io::ErrorKind::ConnectionReset);
        let (wanted, stream) = oneshot::channel();
        self.open.send(wanted).await.map_err(|_| gone())?;
        Ok(Stream(stream.await.map_err(|_| gone())?))
    }

    pub(crate) async fn open(&self, protocol: &str) -> io::Result<Stream> {
        let mut stream = self.raw().await?;
        select(&mut stream.0, protocol).await?;
        Ok(stream)
    }
}

pub(crate) struct Stream(Opened);

impl Stream {
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }

    /// Until the other end has read it all and closed.
    pub(crate) async fn finish(&mut self) {
        drop(self.0.close().await);
        self.wait().await;
    }

    pub(crate) async fn wait(&mut self) {
        drop(self.0.read(&mut [0]).await);
    }
}

/// A field of bytes (<https://protobuf.dev/programming-guides/encoding>).
fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![tag << 3 | 2];
    field.extend(varint(bytes.len()));
    field.extend(bytes);
    field
}

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

fn message(kind: u8, key: &[u8], more: &[u8]) -> Vec<u8> {
    let body = [vec![1 << 3, kind], field(2, key), more.to_vec()].concat();
    [varint(body.len()), body].concat()
}

/// A record of `provider` with so many addresses.
pub(crate) fn add_provider(key: &str, provider: &PeerId, addresses: u8) -> Vec<u8> {
    let mut peer = field(1, &provider.to_bytes());
    for n in 0..addresses {
        // /ip6/fd00::n/tcp/1
        let mut address = vec![41, 0xfd];
        address.resize(17, 0);
        address[16] = n;
        address.extend([6, 0, 1]);
        peer.extend(field(2, &address));
    }
    message(2, Key::new(key).as_bytes(), &field(9, &peer))
}

pub(crate) fn get_providers(key: &str) -> Vec<u8> {
    message(3, Key::new(key).as_bytes(), &[])
}
