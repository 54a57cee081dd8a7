//! Many readers of a stream of messages, each with a connection of its own, that cost little: they count bytes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use unring_peer::Identity;
use unring_peer_addr::pb::{Caller, WatchPeersRequest};

use crate::h2::{
    ACK, DATA, END_HEADERS, FRAME_HEADER_BYTES, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, frame,
    head, headers, hello, message,
};

/// A node lets in 128 connections from one address.
const PER_ADDRESS: usize = 100;

/// Far longer than any push takes.
const LATE: Duration = Duration::from_secs(20);

/// Messages shorter than this hold no record.
const SHORTEST_RECORD: usize = 150;

/// gRPC's bytes before a message.
const PREFIX: usize = 5;

/// The readers, all on the thread that waits for them.
#[derive(Debug)]
pub(super) struct Subscribers {
    runtime: Runtime,
    readers: Vec<Reader>,
}

#[derive(Debug)]
struct Reader {
    socket: TcpStream,
    /// Bytes not yet taken in.
    inbound: Vec<u8>,
    /// Bytes of gRPC messages that are not complete.
    body: Vec<u8>,
    /// The last message with a record.
    last: Vec<u8>,
}

impl Subscribers {
    /// Opens `count` streams and waits until each had its first message with a record.
    pub(super) fn open(server: SocketAddr, path: &str, identities: &[Identity]) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut readers = Vec::with_capacity(identities.len());
        runtime.block_on(async {
            for (index, identity) in identities.iter().enumerate() {
                let mut reader = Reader::open(server, path, index, identity).await?;
                reader.next().await.with_context(|| format!("open stream {index}"))?;
                readers.push(reader);
            }
            anyhow::Ok(())
        })?;
        Ok(Self { runtime, readers })
    }

    /// The last message that the first of them had.
    pub(super) fn last_message(&self) -> &[u8] {
        self.readers.first().map(|reader| reader.last.as_slice()).unwrap_or_default()
    }

    /// Has `publish` send something, and says how long it took until the last of them had it.
    pub(super) fn time(&mut self, publish: impl FnOnce() -> Result<()>) -> Result<Duration> {
        let started = Instant::now();
        publish()?;
        self.runtime.block_on(async {
            try_join_all(self.readers.iter_mut().map(Reader::next)).await.map(drop)
        })?;
        Ok(started.elapsed())
    }
}

impl Reader {
    async fn open(
        server: SocketAddr,
        path: &str,
        index: usize,
        identity: &Identity,
    ) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        let host = u8::try_from(2 + index / PER_ADDRESS)?;
        socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)))?;
        let mut socket = socket.connect(server).await.context("connect")?;
        let authority = server.to_string();
        let proof = proof(identity, &authority)?;
        let mut open = hello()?;
        let headers = headers(path, &authority, &[("unring-caller-bin", &proof)])?;
        frame(&mut open, HEADERS, END_HEADERS, 1, &headers)?;
        frame(&mut open, DATA, 0, 1, &message(&WatchPeersRequest::default().encode_to_vec())?)?;
        socket.write_all(&open).await.context("open a stream")?;
        Ok(Self { socket, inbound: Vec::new(), body: Vec::new(), last: Vec::new() })
    }

    /// Reads until a message with a record is complete.
    async fn next(&mut self) -> Result<()> {
        timeout(LATE, self.read()).await.context("no message in time")?
    }

    async fn read(&mut self) -> Result<()> {
        loop {
            while let Some(length) =
                self.body.get(1..PREFIX).and_then(|length| length.first_chunk())
            {
                let end = PREFIX + usize::try_from(u32::from_be_bytes(*length))?;
                if self.body.len() < end {
                    break;
                }
                let message: Vec<_> = self.body.drain(..end).skip(PREFIX).collect();
                if message.len() >= SHORTEST_RECORD {
                    self.last = message;
                    return Ok(());
                }
            }
            self.take_in().await?;
        }
    }

    /// Reads once, and takes in the frames that are complete.
    async fn take_in(&mut self) -> Result<()> {
        let read = self.socket.read_buf(&mut self.inbound).await.context("read a stream")?;
        ensure!(read > 0, "the server closed the connection");
        while let Some((kind, flags, _, length)) = head(&self.inbound) {
            let end = FRAME_HEADER_BYTES + length;
            if self.inbound.len() < end {
                break;
            }
            let body: Vec<_> = self.inbound.drain(..end).skip(FRAME_HEADER_BYTES).collect();
            let mut reply = Vec::new();
            match kind {
                DATA => self.body.extend(body),
                SETTINGS if flags & ACK == 0 => frame(&mut reply, SETTINGS, ACK, 0, &[])?,
                PING if flags & ACK == 0 => frame(&mut reply, PING, ACK, 0, &body)?,
                RST_STREAM | GOAWAY => anyhow::bail!("the server ended the stream: {body:?}"),
                _ => {}
            }
            if !reply.is_empty() {
                self.socket.write_all(&reply).await?;
            }
        }
        Ok(())
    }
}

/// Who calls, as a plaintext call says it: the value of a binary header.
fn proof(identity: &Identity, authority: &str) -> Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let issued_at = u64::try_from(now.as_millis())?;
    let signed = [authority.as_bytes(), &issued_at.to_be_bytes()];
    let caller = Caller {
        public_key: identity.public_key().encode_protobuf(),
        issued_at_unix_ms: issued_at,
        signature: identity.sign("unring-caller", &signed),
    };
    let value = tonic::metadata::MetadataValue::from_bytes(&caller.encode_to_vec());
    Ok(String::from_utf8(value.as_encoded_bytes().to_vec())?)
}
