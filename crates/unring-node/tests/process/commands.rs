//! The commands beside `serve`, and where a running node has its configuration from.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::support::{Node, Setup, run, unring};

#[test]
fn help_and_version_are_no_errors() {
    for args in [&["--help"][..], &["help"], &["serve", "--help"], &["client-cert", "--help"]] {
        let ended = run(unring().args(args));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{args:?}");
        assert!(ended.stdout.contains("Usage: unring"), "{args:?}: {}", ended.stdout);
    }
    let ended = run(unring().args(["serve", "--help"]));
    for flag in ["--config", "--upstreams", "--listen-grpc", "--limits-cpu-budget-percent"] {
        assert!(ended.stdout.contains(flag), "{flag}: {}", ended.stdout);
    }
}

#[test]
fn version_says_version_commit_and_protocol() {
    let ended = run(unring().arg("version"));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let lines: Vec<_> = ended.stdout.lines().collect();
    let [version, commit, protocol] = lines[..] else { panic!("{lines:?}") };
    assert_eq!(version, format!("unring {}", env!("CARGO_PKG_VERSION")));
    let commit = commit.strip_prefix("commit ").unwrap();
    let is_hash = commit.len() >= 7
        && commit.trim_end_matches("-dirty").chars().all(|c| c.is_ascii_hexdigit());
    assert!(is_hash || commit == "unknown", "{commit}");
    assert_eq!(protocol, "protocol unring.peeraddr.v1");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_client_certificate_is_for_its_user_alone() {
    let setup = Setup::new();
    let out = setup.path("a/b");
    let make = || {
        let ended = run(unring().args(["client-cert", "--out"]).arg(&out));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        ended.stdout.trim().to_owned()
    };
    let first = make();
    assert!(first.starts_with("12D3Koo"), "{first}");
    let files = ["client.pem", "client.key"].map(|name| out.join(name));
    let texts = files.each_ref().map(|file| fs::read_to_string(file).unwrap());
    assert!(texts[0].starts_with("-----BEGIN CERTIFICATE-----"), "{}", texts[0]);
    assert!(texts[1].starts_with("-----BEGIN PRIVATE KEY-----"));
    // One that others could read is replaced, not written into.
    fs::set_permissions(&files[1], fs::Permissions::from_mode(0o644)).unwrap();
    assert_ne!(make(), first, "a new identity each time");
    assert_eq!(files.each_ref().map(|file| mode(file)), [0o600, 0o600]);
    assert_ne!(fs::read_to_string(&files[1]).unwrap(), texts[1]);
}

#[test]
fn a_client_certificate_needs_a_folder() {
    let setup = Setup::new();
    let file = setup.path("file");
    fs::write(&file, "kept").unwrap();
    let ended = run(unring().args(["client-cert", "--out"]).arg(&file));
    ended.refused(1, &["client.pem", file.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let setup = Setup::new();
    let mut command = setup.serve("zone = \"file\"", "[limits]\ncpu_budget_percent = 5");
    command.env("UNRING_NAME", "environment").env("UNRING_LIMITS_CPU_BUDGET_PERCENT", "6");
    // Kubernetes sets such variables for a service called unring; they are nobody's mistake.
    command.env("UNRING_SERVICE_HOST", "10.43.0.1").env("UNRING_PORT", "tcp://10.43.0.1:5871");
    command.arg("--limits-cpu-budget-percent=7");
    let node = Node::start(setup, command);
    let status = node.status();
    assert_eq!(status["name"], "environment");
    assert_eq!(status["budget"]["limit_percent"], 7.0);
    node.is_well();
    let setup = node.stop();
    assert_eq!(mode(&setup.data_dir().join("identity.key")), 0o600);
}

#[test]
fn a_node_runs_without_a_file() {
    let setup = Setup::new();
    let mut command = unring();
    command.args([
        "serve",
        "--name=flags",
        "--listen-grpc=127.0.0.1:0",
        "--listen-admin=127.0.0.1:0",
    ]);
    command.arg("--listen-libp2p=/ip4/127.0.0.1/tcp/0");
    command.arg(format!("--data-dir={}", setup.data_dir().display()));
    let node = Node::start(setup, command);
    assert_eq!(node.status()["name"], "flags");
    let peer_id = node.peer_id.clone();
    // The same folder is the same node.
    let setup = node.stop();
    let node = setup.start("", "");
    assert_eq!(node.peer_id, peer_id);
    node.is_well();
}
