//! A stand-in for `naive-node`: it listens and tells of a storm that it does not make.

use std::io::{Read as _, Write as _, stderr, stdin};
use std::net::TcpListener;
use std::path::Path;
use std::process::exit;
use std::sync::OnceLock;
use std::thread;

use crate::fake::Fake;

/// What each process says that it has sent.
pub(crate) const SENT: u64 = 1000;

/// Lines that each process writes.
pub(crate) const LINES: u64 = 50;

/// A program that behaves as `naive-node` does: this test binary, or nothing but a folder for `certs`. What it was
/// asked to `get` is in `asked` beside the key pair.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<Fake> = OnceLock::new();
    let other_commands = r#"if [ "$1" = certs ]; then exec mkdir -p "$3"; fi
if [ "$1" = get ]; then tls="$3"; shift 3; exec echo "$@" >> "$tls/asked"; fi"#;
    PROGRAM.get_or_init(|| Fake::new("naive-node", other_commands, "fake_naive::fake_naive")).path()
}

/// Not a test: the body of the fake node, run only with its arguments.
#[test]
fn fake_naive() {
    let words: Vec<String> = std::env::args().collect();
    let value =
        |name: &str| words.windows(2).find(|words| words[0] == name).map(|words| words[1].clone());
    let (Some(admin), Some(_)) = (value("--admin"), value("--max-in-flight")) else { return };
    thread::spawn(|| {
        // The pipe of whoever started it.
        let _ = stdin().read(&mut [0]);
        exit(0);
    });
    let mut log = stderr().lock();
    for line in 0..LINES {
        let _ = writeln!(log, "level=debug msg=\"{line}\" {words:?}");
    }
    let listener = TcpListener::bind(admin).unwrap();
    for stream in listener.incoming().flatten() {
        let mut stream = stream;
        let mut asked = [0; 256];
        let read = stream.read(&mut asked).unwrap_or(0);
        let body = match String::from_utf8_lossy(&asked[..read]).split(' ').nth(1) {
            Some("/statusz") => format!(r#"{{"sent":{SENT},"limits_met":["in_flight"]}}"#),
            _ => "ready".to_owned(),
        };
        let _ = write!(stream, "HTTP/1.0 200 OK\r\n\r\n{body}");
    }
}
