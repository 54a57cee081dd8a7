//! A configuration that is wrong: 64, before anything is bound or written.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::support::{Ended, Setup, ports, run, taken, unring};

/// Runs `serve` on three ports that others listen on, with a data folder that does not exist: a node that bound before
/// it read would complain of a port, and one that wrote before it read would leave the folder.
#[track_caller]
fn refused(make: impl FnOnce(&Setup) -> std::process::Command, says: &[&str]) -> Ended {
    let taken = taken();
    let setup = Setup { ports: ports(&taken), ..Setup::new() };
    let ended = run(&mut make(&setup));
    ended.refused(64, says);
    assert!(!ended.stderr.contains("cannot listen"), "{}", ended.stderr);
    assert!(!setup.data_dir().exists(), "nothing is written");
    ended
}

/// The file is named beside what is wrong in it.
#[track_caller]
fn file_refused(top: &str, tables: &str, says: &[&str]) {
    let ended = refused(|setup| setup.serve(top, tables), says);
    assert!(ended.stderr.contains("unring.toml"), "{}", ended.stderr);
}

#[test]
fn the_ports_of_these_tests_are_really_taken() {
    let taken = taken();
    let setup = Setup { ports: ports(&taken), ..Setup::new() };
    run(&mut setup.serve("", "")).refused(1, &["cannot listen"]);
}

#[test]
fn a_key_that_does_not_exist_is_named_with_the_nearest_one() {
    file_refused("upstream = []", "", &["\"upstream\"", "did you mean \"upstreams\"?"]);
    file_refused(
        "",
        "[limits]\ncpu_budget_percnt = 5",
        &["\"limits.cpu_budget_percnt\"", "did you mean"],
    );
    file_refused("", "[nonsense]\na = 1", &["\"nonsense\""]);
}

#[test]
fn a_value_that_is_not_accepted_is_named_with_what_is() {
    let many = format!("upstreams = [{}]", "\"https://10.0.0.1:1\",".repeat(33));
    let tops = [
        ("zone = 7", "zone = 7", "at most 63 bytes"),
        ("upstreams = [\"ftp://10.0.0.1:1\"]", "\"ftp://10.0.0.1:1\"", "https://HOST:PORT"),
        ("upstreams = [\"https://:5871\"]", "\"https://:5871\"", "https://HOST:PORT"),
        (many.as_str(), "upstreams = [", "at most 32"),
        ("insecure = \"maybe\"", "insecure = \"maybe\"", "true or false"),
    ];
    for (top, says, accepts) in tops {
        file_refused(top, "", &[says, accepts, "is not accepted"]);
    }
    let tables = [
        ("[limits]\ncpu_budget_percent = 500", "limits.cpu_budget_percent = 500", "0.5 to 100"),
        ("[limits]\ncpu_budget_percent = nan", "limits.cpu_budget_percent = nan", "0.5 to 100"),
        ("[limits]\nslots_per_upstream = 0", "limits.slots_per_upstream = 0", "1 to "),
        ("[limits]\nbook_capacity = -1", "limits.book_capacity = -1", "16 to 32000"),
        ("[limits]\nmax_connections = 5.5", "limits.max_connections = 5.5", "2 to 4096"),
        ("[timing]\nrecord_ttl = \"1s\"", "timing.record_ttl = \"1s\"", "5s to 24h"),
        ("[timing]\nrequest_timeout = 10", "timing.request_timeout = 10", "100ms to 30s"),
        ("[timing]\ndrain_deadline = \"soon\"", "timing.drain_deadline = \"soon\"", "0s to 5m"),
        ("[log]\nformat = \"xml\"", "log.format = \"xml\"", "auto, human or json"),
        (
            "[advertise]\nlibp2p = [\"/ip4/10.0.0.1/udp/1/quic-v1\"]",
            "advertise.libp2p",
            "/tcp/PORT",
        ),
        ("[advertise]\ngrpc = \"10.0.0.1\"", "advertise.grpc", "https://HOST:PORT"),
    ];
    for (table, says, accepts) in tables {
        file_refused("", table, &[says, accepts, "is not accepted"]);
    }
}

#[test]
fn a_variable_with_a_bad_value_is_named() {
    let cases = [
        ("UNRING_NAME", "", "name", "1 to 63 bytes"),
        ("UNRING_LISTEN_GRPC", "somewhere", "listen.grpc", "ADDRESS:PORT"),
        ("UNRING_LISTEN_GRPC", "127.0.0.1:70000", "listen.grpc", "ADDRESS:PORT"),
        ("UNRING_LISTEN_LIBP2P", "/ip6/127.0.0.1/tcp/1", "listen.libp2p", "/tcp/PORT"),
        ("UNRING_LISTEN_LIBP2P", "/ip4/127.0.0.1/udp/1/quic-v1", "listen.libp2p", "/tcp/PORT"),
        ("UNRING_LISTEN_ADMIN", "127.0.0.1", "listen.admin", "ADDRESS:PORT"),
    ];
    for (variable, value, key, accepts) in cases {
        let make = |setup: &Setup| {
            let mut command = setup.serve("", "");
            command.env(variable, value);
            command
        };
        refused(make, &["environment variable", variable, key, value, accepts]);
    }
}

#[test]
fn a_flag_with_a_bad_value_is_named() {
    let make = |setup: &Setup| {
        let mut command = setup.serve("", "");
        command.arg("--timing-record-ttl=never");
        command
    };
    refused(make, &["flag --timing-record-ttl", "never", "5s to 24h"]);
}

#[test]
fn plaintext_beyond_loopback_needs_a_word() {
    let says = ["plaintext beyond loopback", "insecure = true"];
    let upstream = |setup: &Setup| setup.serve("upstreams = [\"http://10.0.0.1:5871\"]", "");
    refused(upstream, &says).refused(64, &["upstreams = http://10.0.0.1:5871"]);
    let listener = |setup: &Setup| {
        let mut command = setup.serve("", "");
        command.args(["--listen-grpc-plaintext", "--listen-grpc=0.0.0.0:0"]);
        command
    };
    refused(listener, &says).refused(64, &["listen.grpc_plaintext", "0.0.0.0:0"]);
}

#[test]
fn a_file_that_is_not_there_or_no_file_is_named() {
    let with = |path: &Path| {
        let mut command = unring();
        command.arg("serve").arg("--config").arg(path);
        command
    };
    let missing = |setup: &Setup| with(&setup.path("missing.toml"));
    refused(missing, &["cannot read the configuration file", "missing.toml", "check the path"]);
    refused(|setup| with(setup.dir.path()), &["cannot read the configuration file", "directory"]);
    let binary = |setup: &Setup| {
        fs::write(setup.path("binary.toml"), [0xff, 0xfe, 0x00]).unwrap();
        with(&setup.path("binary.toml"))
    };
    refused(binary, &["cannot read the configuration file", "binary.toml", "UTF-8"]);
    let hostile = |_: &Setup| with(Path::new(std::ffi::OsStr::from_bytes(b"/no/\xff.toml")));
    refused(hostile, &["cannot read the configuration file"]);
}

#[test]
fn broken_toml_is_shown_with_its_line() {
    file_refused("", "[limits\nbook_capacity = 16", &["is not valid TOML", "line 8"]);
    file_refused("name = \"twice\"", "", &["is not valid TOML", "duplicate key"]);
}

#[test]
fn a_flag_or_command_that_does_not_exist_is_named() {
    let flag = |setup: &Setup| {
        let mut command = setup.serve("", "");
        command.arg("--upstreem=https://10.0.0.1:1");
        command
    };
    refused(flag, &["--upstreem", "--upstreams"]);
    for (args, says) in [
        (&["serve", "--config"][..], "--config"),
        (&["sreve"], "sreve"),
        (&["client-cert"], "--out"),
        (&["serve", "extra"], "extra"),
    ] {
        let mut command = unring();
        run(command.args(args)).refused(64, &[says]);
    }
    // Without a command the help is the error.
    run(&mut unring()).refused(64, &["Usage:", "client-cert"]);
}
