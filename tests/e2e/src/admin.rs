//! What a node serves to its operator, as text.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Time for an answer.
const LIMIT: Duration = Duration::from_secs(5);

/// The body of an answer.
///
/// # Errors
/// There is none, or it is none of success.
pub(crate) fn get(admin: SocketAddr, path: &str) -> Result<String, String> {
    let get = || -> std::io::Result<String> {
        let mut tcp = TcpStream::connect(admin)?;
        tcp.set_read_timeout(Some(LIMIT))?;
        write!(tcp, "GET {path} HTTP/1.0\r\nhost: {admin}\r\n\r\n")?;
        let mut answer = String::new();
        tcp.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = get().map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    if head.starts_with("HTTP/1.0 200") { Ok(body.to_owned()) } else { Err(head.to_owned()) }
}

/// The value of a counter or gauge among metrics.
pub(crate) fn metric(metrics: &str, name: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}
