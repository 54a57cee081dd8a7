//! The program as a process: it ends with whoever started it.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PEER: &str =
    "/ip4/127.0.0.1/tcp/5001/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5";

fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_naive-node"))
}

fn serve(dir: &std::path::Path, lifetime: &str) -> Child {
    let made = command().arg("certs").arg("--out").arg(dir).status().unwrap();
    assert!(made.success());
    let mut serve = command();
    serve.args(["serve", "--name", "a", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    serve.args(["--address", PEER, "--lifetime", lifetime, "--tls"]).arg(dir);
    serve.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Its exit code; killed, and so without one, after a minute.
fn end(child: &mut Child) -> Option<i32> {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    None
}

/// Waits for the line that it writes once it runs.
fn bootstrapped(child: &mut Child) {
    let mut line = Vec::new();
    let mut log = child.stderr.take().unwrap();
    while !line.ends_with(b"bootstrapped with 1 addresses\"\n") {
        let mut byte = [0];
        assert_eq!(log.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&line));
        line.push(byte[0]);
    }
}

#[test]
fn it_runs_as_long_as_its_standard_input_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = serve(dir.path(), "5min");
    bootstrapped(&mut child);
    assert_eq!(child.try_wait().unwrap(), None);
    // What the kernel does when whoever started it ends, in whatever way.
    drop(child.stdin.take());
    assert_eq!(end(&mut child), Some(0));
}

#[test]
fn it_ends_after_its_lifetime() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = serve(dir.path(), "100ms");
    assert_eq!(end(&mut child), Some(0));
}

#[test]
fn what_is_wrong_is_said_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    let output = command().args(["get", "127.0.0.1:1", "--tls"]).arg(dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("ca.pem: No such file"), "{said}");
}
