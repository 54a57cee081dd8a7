//! One GET at a time from a node's admin endpoint: HTTP/1.0, so that the answer ends with the connection.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The longest answer that is read. A status page of a full book (4096 peers of about 600 bytes) stays below it;
/// a longer one is an error.
pub const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The connection could not be made, broke or took too long.
    #[error("GET http://{at}{path}")]
    Io {
        /// Where.
        at: SocketAddr,
        /// What.
        path: String,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The answer is longer than [`MAX_ANSWER`].
    #[error("GET http://{at}{path}: the answer is longer than {MAX_ANSWER} bytes")]
    TooLong {
        /// Where.
        at: SocketAddr,
        /// What.
        path: String,
    },
    /// The answer is not HTTP.
    #[error("GET http://{at}{path}: the answer is not HTTP")]
    NotHttp {
        /// Where.
        at: SocketAddr,
        /// What.
        path: String,
    },
}

/// Gets `path` from `at` within `timeout`, connecting included.
///
/// # Errors
/// No answer in time, a longer one than [`MAX_ANSWER`], or one that is not HTTP.
pub fn get(at: SocketAddr, path: &str, timeout: Duration) -> Result<Answer, HttpError> {
    let bytes = exchange(at, path, timeout).map_err(|source| HttpError::Io {
        at,
        path: path.to_owned(),
        source,
    })?;
    if bytes.len() > MAX_ANSWER {
        return Err(HttpError::TooLong { at, path: path.to_owned() });
    }
    parse(&bytes).ok_or_else(|| HttpError::NotHttp { at, path: path.to_owned() })
}

fn exchange(at: SocketAddr, path: &str, timeout: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + timeout;
    let left = || {
        let left = deadline.saturating_duration_since(Instant::now());
        // A zero timeout would mean none.
        if left.is_zero() { Err(io::Error::from(io::ErrorKind::TimedOut)) } else { Ok(left) }
    };
    let mut stream = TcpStream::connect_timeout(&at, left()?)?;
    stream.set_write_timeout(Some(left()?))?;
    // In one write, and so in one segment: `write!` would send each piece of the format by itself.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {at}\r\n\r\n").as_bytes())?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        stream.set_read_timeout(Some(left()?))?;
        let read = match stream.read(&mut chunk) {
            // What a read timeout is called differs between systems and says little.
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            read => read?,
        };
        bytes.extend_from_slice(chunk.get(..read).unwrap_or_default());
        if read == 0 || bytes.len() > MAX_ANSWER {
            return Ok(bytes);
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let mut words = head.split_ascii_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    let status = words.next()?.parse().ok()?;
    Some(Answer { status, body: bytes.get(end + 4..)?.to_vec() })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpListener};
    use std::thread;
    use std::time::Duration;

    use super::{Answer, HttpError, get};

    /// A server of one connection that answers with these bytes, and what it was asked.
    fn serve(answer: &'static [u8]) -> (SocketAddr, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let asked = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = vec![0; 4096];
            let read = stream.read(&mut asked).unwrap();
            stream.write_all(answer).unwrap();
            String::from_utf8_lossy(&asked[..read]).into_owned()
        });
        (at, asked)
    }

    const TIMEOUT: Duration = Duration::from_secs(5);

    #[test]
    fn an_answer_is_its_status_and_its_body() {
        let (at, asked) = serve(b"HTTP/1.1 503 Not Ready\r\ncontent-length: 3\r\n\r\nnot");
        let answer = get(at, "/readyz", TIMEOUT).unwrap();
        assert_eq!(answer, Answer { status: 503, body: b"not".to_vec() });
        assert_eq!(asked.join().unwrap(), format!("GET /readyz HTTP/1.0\r\nHost: {at}\r\n\r\n"));
    }

    #[test]
    fn garbage_is_refused() {
        for answer in
            [&b""[..], b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n"]
        {
            let (at, _) = serve(answer);
            let error = get(at, "/", TIMEOUT).unwrap_err();
            assert!(matches!(error, HttpError::NotHttp { .. }), "{answer:?}: {error}");
        }
    }

    #[test]
    fn silence_ends_at_the_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let error =
            get(listener.local_addr().unwrap(), "/", Duration::from_millis(20)).unwrap_err();
        assert!(crate::error_chain(&error).ends_with(": timed out"), "{error}");
    }

    #[test]
    fn an_endless_answer_is_cut_off() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(&[b'x'; 64 * 1024]).is_ok() {}
        });
        assert!(matches!(get(at, "/", TIMEOUT).unwrap_err(), HttpError::TooLong { .. }));
    }
}
