//! A client that costs as little as one can: HTTP/2 frames that were made once, over a plain socket. The server is what
//! limits the number of calls, and a call costs every contender's client the same.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::h2::{
    self, ACK, DATA, END_HEADERS, END_STREAM, FRAME_HEADER_BYTES, GOAWAY, HEADERS, INITIAL_WINDOW,
    PING, RST_STREAM, SETTINGS, WINDOW, WINDOW_UPDATE, frame, head, headers, hello,
};

/// Nothing that is measured takes so long.
const TIMEOUT: Duration = Duration::from_secs(20);

/// One connection on which one gRPC method is called.
#[derive(Debug)]
pub(crate) struct Load {
    socket: TcpStream,
    /// HEADERS and DATA of a call; the stream's id is filled in.
    call: Vec<u8>,
    /// Where the two ids are.
    ids: [usize; 2],
    message_bytes: u32,
    next_stream: u32,
    /// Calls without an answer yet.
    open: Vec<Call>,
    inbound: Vec<u8>,
    filled: usize,
    outbound: Vec<u8>,
    /// Bytes of messages that the server will still take.
    may_send: i64,
    /// Bytes of messages taken since the server was last told.
    taken: u32,
    /// Bytes that every answer has had, prefix included.
    answer_bytes: Option<usize>,
}

#[derive(Debug)]
struct Call {
    stream: u32,
    begun: Instant,
    bytes: usize,
}

impl Load {
    /// Connects, to call `path` with `message` again and again.
    pub(crate) fn connect(server: SocketAddr, path: &str, message: &[u8]) -> Result<Self> {
        let mut socket = TcpStream::connect(server).context("connect to the server")?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        socket.write_all(&hello()?).context("greet the server")?;

        let mut call = Vec::new();
        let headers = headers(path, &server.to_string(), &[("grpc-timeout", "10S")])?;
        frame(&mut call, HEADERS, END_HEADERS, 0, &headers)?;
        let data = call.len();
        let prefixed = h2::message(message)?;
        frame(&mut call, DATA, END_STREAM, 0, &prefixed)?;
        Ok(Self {
            socket,
            call,
            ids: [5, data + 5],
            message_bytes: u32::try_from(prefixed.len())?,
            next_stream: 1,
            open: Vec::new(),
            inbound: vec![0; 1 << 18],
            filled: 0,
            outbound: Vec::new(),
            may_send: INITIAL_WINDOW.into(),
            taken: 0,
            answer_bytes: None,
        })
    }

    /// Bytes of an answer, gRPC's five before it included. All were of this size.
    pub(crate) fn answer_bytes(&self) -> Option<usize> {
        self.answer_bytes
    }

    /// Makes `calls` calls with up to `in_flight` open at once, and says how long each took, and all.
    ///
    /// New ones are sent once half of them are answered, so that the server always has some before it. A client that
    /// sends one for each answer is woken for each, and what is measured is how fast two threads wake each other.
    pub(crate) fn run(
        &mut self,
        calls: u64,
        in_flight: usize,
        mut each: impl FnMut(Duration),
    ) -> Result<Duration> {
        let started = Instant::now();
        let (mut begun, mut ended) = (0, 0);
        while ended < calls {
            let enough = self.open.len() > in_flight / 2;
            while !enough && begun < calls && self.open.len() < in_flight && self.begin()? {
                begun += 1;
            }
            if !self.outbound.is_empty() {
                self.socket.write_all(&self.outbound).context("send calls")?;
                self.outbound.clear();
            }
            self.read(|took| {
                ended += 1;
                each(took);
            })?;
        }
        Ok(started.elapsed())
    }

    /// Whether there is room in the server's window for another call, which is then written.
    fn begin(&mut self) -> Result<bool> {
        if self.may_send < self.message_bytes.into() {
            return Ok(false);
        }
        self.may_send -= i64::from(self.message_bytes);
        let stream = self.next_stream;
        ensure!(stream < WINDOW - 2, "this connection has used up its streams");
        self.next_stream += 2;
        for at in self.ids {
            self.call[at..at + 4].copy_from_slice(&stream.to_be_bytes());
        }
        self.outbound.extend_from_slice(&self.call);
        self.open.push(Call { stream, begun: Instant::now(), bytes: 0 });
        Ok(true)
    }

    /// Reads once, and takes in the frames that are complete.
    fn read(&mut self, mut ended: impl FnMut(Duration)) -> Result<()> {
        let free = self.inbound.get_mut(self.filled..).unwrap_or_default();
        let read = self.socket.read(free).context("read answers")?;
        ensure!(read > 0, "the server closed the connection");
        self.filled += read;
        let mut at = 0;
        while let Some((kind, flags, stream, length)) = head(&self.inbound[at..self.filled]) {
            let body = at + FRAME_HEADER_BYTES;
            if body + length > self.filled {
                break;
            }
            at = body + length;
            if let Some(took) = self.frame(kind, flags, stream, body..at)? {
                ended(took);
            }
        }
        self.inbound.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(())
    }

    /// One frame of the server; the time that a call took when the frame ends it.
    fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        body: std::ops::Range<usize>,
    ) -> Result<Option<Duration>> {
        let length = body.len();
        let body = self.inbound.get(body).unwrap_or_default();
        match kind {
            DATA => {
                self.taken += u32::try_from(length)?;
                if self.taken > WINDOW / 2 {
                    frame(&mut self.outbound, WINDOW_UPDATE, 0, 0, &self.taken.to_be_bytes())?;
                    self.taken = 0;
                }
                if let Some(call) = self.open.iter_mut().find(|call| call.stream == stream) {
                    call.bytes += length;
                }
            }
            SETTINGS if flags & ACK == 0 => frame(&mut self.outbound, SETTINGS, ACK, 0, &[])?,
            PING if flags & ACK == 0 => {
                let body = body.to_vec();
                frame(&mut self.outbound, PING, ACK, 0, &body)?;
            }
            WINDOW_UPDATE if stream == 0 => {
                let more = body.first_chunk().context("a WINDOW_UPDATE has four bytes")?;
                self.may_send += i64::from(u32::from_be_bytes(*more));
            }
            RST_STREAM => bail!("the server broke a call off: {body:?}"),
            GOAWAY => bail!("the server closes the connection: {body:?}"),
            _ => {}
        }
        if !matches!(kind, DATA | HEADERS) || flags & END_STREAM == 0 {
            return Ok(None);
        }
        let place = self.open.iter().position(|call| call.stream == stream);
        let call = self.open.swap_remove(place.context("an answer to no call")?);
        // A refusal has no message.
        ensure!(call.bytes > 0, "a call was refused");
        let bytes = *self.answer_bytes.get_or_insert(call.bytes);
        ensure!(bytes == call.bytes, "answers of {bytes} and of {} bytes", call.bytes);
        Ok(Some(call.begun.elapsed()))
    }
}
