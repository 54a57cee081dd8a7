//! `unring lookup`: who provides a key, asked of the node on this machine.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;
use serde::Deserialize;

use super::{EXIT_FAILURE, print_error, print_line};

/// A look-up ends after 5 s.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of an answer that are read: 64 providers with 8 addresses are 40 KiB.
const MAX_ANSWER_BYTES: u64 = 256 * 1024;

#[derive(Debug, Deserialize)]
struct Found {
    multihash: String,
    providers: Vec<Provider>,
    took_ms: f64,
}

#[derive(Debug, Deserialize)]
struct Provider {
    peer_id: String,
    addresses: Vec<String>,
}

pub(super) fn run(args: &ArgMatches) -> ExitCode {
    let (Some(key), Some(admin)) =
        (args.get_one::<String>("key"), args.get_one::<SocketAddr>("admin"))
    else {
        return EXIT_FAILURE.into();
    };
    let (status, body) = match ask(*admin, key) {
        Ok(answer) => answer,
        Err(error) => {
            print_error(&format!("no answer from the node's admin port {admin}: {error}"));
            return EXIT_FAILURE.into();
        }
    };
    let found: Option<Found> = serde_json::from_str(&body).ok().filter(|_| status == 200);
    let Some(found) = found else {
        let said: String = body.trim().chars().take(300).collect();
        print_error(&format!("{admin} answered {status}: {said}"));
        return EXIT_FAILURE.into();
    };
    print_line(&format!("{} providers in {:.1} ms", found.providers.len(), found.took_ms));
    print_line(&format!("multihash {}", found.multihash));
    for provider in found.providers {
        print_line(&format!("{} {}", provider.peer_id, provider.addresses.join(" ")));
    }
    ExitCode::SUCCESS
}

/// Status and body of the answer.
fn ask(admin: SocketAddr, key: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&admin, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let query = encode(key);
    write!(stream, "GET /dht?key={query} HTTP/1.0\r\nhost: {admin}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER_BYTES).read_to_string(&mut answer)?;
    let (head, body) =
        answer.split_once("\r\n\r\n").ok_or(io::Error::from(io::ErrorKind::InvalidData))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok((status, body.to_owned()))
}

/// Percent-encoded, but for what a query may hold (RFC 3986, section 3.4) and nothing gives a meaning to.
fn encode(key: &str) -> String {
    let mut encoded = String::new();
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"/:.@-_~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02x}"));
        }
    }
    encoded
}
