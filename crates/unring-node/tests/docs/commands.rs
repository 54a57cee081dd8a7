//! Every command line in the documents is run by somebody.

use std::collections::BTreeSet;

use crate::architecture::source;
use crate::markdown::{DOCUMENTS, blocks, document, root};

/// Who runs a command line.
enum Runs {
    /// A step of `.ci/run`.
    Ci,
    /// This test, which has the same program run with the same kind of arguments.
    Test(&'static str),
    /// Nobody, for this reason.
    Nobody(&'static str),
}

use Runs::{Ci, Nobody, Test};

const DEV_CLUSTER: Runs = Test("a_good_run_passes_and_prints_nothing_but_its_report");
const REFLECTION: Runs = Test("health_and_reflection_answer");
const RINGS: Runs = Test("a_plain_client_gets_rings_and_decoded_records");
const TOPOLOGY: Runs = Test("the_topology_is_served_in_every_documented_format");
const K3S: Runs = Test("a_lone_node_gives_its_own_address_to_those_with_a_token");
const HEALTH: Runs = Test("a_node_that_joins_nobody_is_alive_and_ready");

const LOOKUP: Runs = Test("what_another_node_advertises_is_looked_up");

/// Each command line, and who runs it. Programs of the operating system are not listed.
const COMMANDS: &[(&str, Runs)] = &[
    ("cargo build --workspace", Ci),
    ("cargo build --release --package unring-node", Nobody("tests build it in another profile")),
    ("cargo test --workspace", Ci),
    ("cargo test -p unring-dedup-store", Ci),
    ("cargo clippy --workspace --all-targets -- -D warnings", Ci),
    ("cargo clippy -p unring-dedup-store --all-targets -- -D warnings", Ci),
    ("cargo fmt --all --check", Ci),
    ("cargo doc --workspace --no-deps", Ci),
    ("cargo deny check bans licenses sources", Ci),
    ("cargo xtask bench", Nobody("numbers to publish are taken by hand, on a quiet machine")),
    ("cargo xtask bench storm", Nobody("numbers to publish are taken by hand, on a quiet machine")),
    ("cargo xtask bench --quick", Ci),
    ("sudo cargo xtask dev-cluster --netns --nodes 4 --partition 5s,35s --for 60s", Ci),
    (
        "sudo cargo xtask dev-cluster --netns --topology tools/dev-cluster/topologies/forgetful.toml --partition 5s,35s --for 60s",
        Ci,
    ),
    ("cargo xtask fuzz", Ci),
    ("cargo xtask fuzz record --for 600", Nobody("the same, for longer")),
    ("cargo xtask check-crate unring-dedup-store", Ci),
    ("cargo xtask check-crate --each", Ci),
    ("cargo xtask codegen", Ci),
    ("cargo xtask codegen --check", Ci),
    (
        "cargo xtask package",
        Nobody("CI packs without building again: it takes as long as the workspace"),
    ),
    ("cargo xtask dev-cluster", Test("without_arguments_it_is_a_ring_of_three_until_ctrl_c")),
    ("cargo xtask dev-cluster --for 15s", DEV_CLUSTER),
    ("cargo xtask dev-cluster --topology star --nodes 5 --for 15s", DEV_CLUSTER),
    (
        "cargo xtask dev-cluster --topology random --nodes 12 --seed 4 --for 15s",
        Test("a_seed_is_a_topology"),
    ),
    (
        "cargo xtask dev-cluster --topology my.toml --for 1min --json",
        Test("a_file_names_the_nodes"),
    ),
    (
        "cargo xtask dev-cluster --baseline naive --for 20s",
        Test("both_are_told_side_by_side_with_their_ratios"),
    ),
    (
        "cargo xtask dev-cluster --mixed legacy=2 --for 15s",
        Test("a_ring_that_is_there_is_suspected_and_said_once_in_time"),
    ),
    ("cargo xtask dev-cluster --help", Test("a_wrong_argument_exits_64_and_touches_nothing")),
    ("unring serve --config /etc/unring/unring.toml", Test("every_setup_of_the_documents_parses")),
    ("unring serve --help", Test("help_and_version_are_no_errors")),
    (
        "unring lookup canary/server-1",
        Test("keys_of_the_configuration_are_provided_and_follow_a_reload"),
    ),
    ("unring lookup docker.io/library/nginx:1.27", LOOKUP),
    ("curl 'http://127.0.0.1:5873/dht?key=docker.io/library/nginx:1.27'", LOOKUP),
    ("unring version", Test("version_says_version_commit_and_protocol")),
    ("unring client-cert --out client", Test("a_client_certificate_is_for_its_user_alone")),
    (
        "curl http://127.0.0.1:5873/metrics",
        Test("every_metric_is_documented_and_every_documented_one_is_served"),
    ),
    ("curl http://127.0.0.1:5873/statusz", Test("every_field_of_the_status_page_is_documented")),
    ("curl http://127.0.0.1:5873/topology", TOPOLOGY),
    ("curl 'http://127.0.0.1:5873/topology?format=mermaid'", TOPOLOGY),
    ("curl 'http://127.0.0.1:5873/topology?format=json'", TOPOLOGY),
    ("curl 'http://127.0.0.1:5873/topology?format=dot' | dot -Tsvg -o joins.svg", TOPOLOGY),
    ("curl http://127.0.0.1:5873/healthz", HEALTH),
    ("curl http://127.0.0.1:5873/readyz", HEALTH),
    (
        "grpcurl -insecure -cert client/client.pem -key client/client.key 127.0.0.1:5871 list",
        REFLECTION,
    ),
    (
        "grpcurl -insecure -cert client/client.pem -key client/client.key 127.0.0.1:5871 unring.peeraddr.v1.PeerAddrService/GetTopology",
        Test("a_topology_crosses_the_wire"),
    ),
    (
        "grpcurl -insecure -cert client/client.pem -key client/client.key -d '{\"scope\": \"SCOPE_RECURSIVE\", \"decode\": true}' 127.0.0.1:5871 unring.peeraddr.v1.PeerAddrService/ListPeers",
        RINGS,
    ),
    (
        "grpcurl -insecure -cert client/client.pem -key client/client.key -d '{\"decode\": true}' 127.0.0.1:5871 unring.peeraddr.v1.PeerAddrService/WatchPeers",
        Test("records_flow_both_ways_and_go_on_after_half_close"),
    ),
    (
        "grpcurl -insecure -cert client/client.pem -key client/client.key -d '{\"decode\": true, \"resume_version\": \"17\", \"epoch\": \"11400714819323198485\"}' 127.0.0.1:5871 unring.peeraddr.v1.PeerAddrService/WatchPeers",
        Test("records_flow_both_ways_and_go_on_after_half_close"),
    ),
    (
        "grpcurl -insecure -cert client/client.pem -key client/client.key -H \"authorization: Bearer $(cat token)\" 127.0.0.1:5871 unring.peeraddr.v1.PeerAddrService/GetTopology",
        Test("a_person_shows_the_token_itself_and_a_probe_of_health_nothing"),
    ),
    (
        "kubectl get --raw /v1-k3s/p2p --server https://10.0.0.1:5874 --certificate-authority ca.crt --token ID.SECRET",
        K3S,
    ),
    (
        "curl --cacert ca.crt -H 'Accept: application/json' -u node:PASSWORD https://10.0.0.1:5874/v1-k3s/p2p",
        K3S,
    ),
    (
        "grpcurl -plaintext 127.0.0.1:5871 unring.peeraddr.v1.PeerAddrService/GetTopology",
        Test("nobody_is_anonymous_but_on_loopback"),
    ),
];

/// Programs whose lines are listed above.
const OURS: [&str; 5] = ["cargo", "unring", "curl", "grpcurl", "kubectl"];

/// Programs of the operating system.
const SYSTEM: [&str; 3] = ["sudo", "journalctl", "openssl"];

fn lines() -> BTreeSet<String> {
    let blocks = DOCUMENTS.iter().flat_map(|name| blocks(&document(name), "sh"));
    blocks.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn every_command_of_the_documents_is_listed_and_every_listed_one_is_there() {
    let lines = lines();
    for line in &lines {
        let program = line.split(' ').next().unwrap();
        let listed = COMMANDS.iter().any(|(command, _)| command == line);
        let system = SYSTEM.contains(&program);
        assert!(listed || system, "{line:?} is in no list: who runs it?");
        assert!(system || OURS.contains(&program), "{line:?}");
    }
    for (command, _) in COMMANDS {
        assert!(lines.contains(*command), "{command:?} is in no document");
    }
}

#[test]
fn whoever_runs_a_command_exists() {
    let source = source();
    for (command, runs) in COMMANDS {
        match runs {
            Test(name) => {
                assert!(source.contains(&format!("fn {name}(")), "{command}: no test {name}");
            }
            Ci => {
                let command = command.strip_prefix("sudo ").unwrap_or(command);
                assert!(command.starts_with("cargo "), "{command}");
            }
            Nobody(why) => assert!(!why.is_empty(), "{command}"),
        }
    }
}

/// What `unring` and `grpcurl` are given is what the program and the protocol know.
#[test]
fn every_setup_of_the_documents_parses() {
    for (command, _) in COMMANDS {
        if let Some(arguments) = command.strip_prefix("unring ") {
            let mut run = std::process::Command::new(env!("CARGO_BIN_EXE_unring"));
            let arguments = arguments.split(' ').filter(|argument| *argument != "--help");
            // It stops behind the command line: whatever is asked for, help wins.
            let done = run.args(arguments).arg("--help").output().unwrap();
            assert_eq!(done.status.code(), Some(0), "{command}: {done:?}");
        }
        let proto = document("proto/unring/peeraddr/v1/peer_addr_service.proto");
        if let Some((_, method)) = command.split_once("unring.peeraddr.v1.PeerAddrService/") {
            assert!(proto.contains(&format!("rpc {method}(")), "{command}");
        }
    }
}

/// Every `cargo run` in a table names an example that is there, and so is compiled by `cargo test`.
#[test]
fn every_example_of_the_readme_is_there() {
    let text = document("README.md");
    let mut found = 0;
    for line in text.split('`').filter(|span| span.starts_with("cargo run -p ")) {
        let words: Vec<_> = line.split(' ').collect();
        let [_, _, _, package, "--example", example] = words[..] else { panic!("{line}") };
        let file = root().join("crates").join(package).join(format!("examples/{example}.rs"));
        assert!(file.is_file(), "{line}: no {}", file.display());
        found += 1;
    }
    assert!(found >= 7, "{found} examples");
}
