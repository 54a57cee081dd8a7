//! Keys and files that change while a node runs.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;
use unring_k3s::{CallError, FetchError, Fetched};

use crate::k3s::{TOKEN, asking, block_on, connect, files, start};
use crate::support::{Node, Setup, wait_for};

const NEXT: &str = "fedcba.fedcba9876543210";

/// Puts another file in the place of one that is there, as a careful administrator does.
fn replace(dir: &Path, name: &str, text: &str) {
    let beside = dir.join(format!("{name}.new"));
    fs::write(&beside, text).unwrap();
    fs::rename(&beside, dir.join(name)).unwrap();
}

fn ask(node: &Node, at: SocketAddr, token: &str) -> Result<Fetched, String> {
    let client = connect(node, at, token).map_err(|error| format!("{error:?}"))?;
    block_on(client.peers()).map_err(|error| match error {
        FetchError::Call { source: CallError::Status { status, .. }, .. } => {
            status.as_u16().to_string()
        }
        other => format!("{other:?}"),
    })
}

/// The sources of this kind on its status page.
fn sources(node: &Node, kind: &str) -> Vec<Value> {
    let sources = node.status()["first_peer"]["sources"].clone();
    let sources = sources.as_array().unwrap().iter();
    sources.filter(|source| source["kind"] == kind).cloned().collect()
}

#[test]
fn k3ss_files_are_read_again_when_they_change() {
    let setup = Setup::new();
    let tables = files(setup.dir.path());
    // Each question costs three handshakes, and the program is built for debugging.
    let limits = "[limits]\ncpu_budget_percent = 100\nignore_machine_pressure = true\n";
    let node = setup.start("", &(tables + limits));
    node.wait_until_ready();
    let at = node.events("started")[0]["fields"]["k3s"].as_str().unwrap().parse().unwrap();
    let dir = node.setup.dir.path();
    ask(&node, at, TOKEN).unwrap();

    // No token any more: what was read before goes on to hold, and it is said and counted.
    replace(dir, "token", "\n");
    let kept = wait_for("the mistake", || node.events("files_kept").pop());
    assert_eq!((&kept["level"], &kept["fields"]["part"]), (&"ERROR".into(), &"k3s".into()));
    assert_eq!(node.metric("k3s_reload_failures_total"), 1.0);
    assert!(node.status()["k3s"]["last_error"].as_str().unwrap().contains("no join token"));
    ask(&node, at, TOKEN).unwrap();

    replace(dir, "token", NEXT);
    wait_for("the new token", || node.events("files_taken_over").pop());
    ask(&node, at, NEXT).unwrap();
    assert_eq!(ask(&node, at, TOKEN).unwrap_err(), "401");
    assert_eq!(node.metric("k3s_reloads_total"), 1.0);
    assert_eq!(node.status()["k3s"]["last_error"], Value::Null);

    // Certificate, key and CA by another authority, written one after the other: whatever does not fit yet changes nothing.
    let open = connect(&node, at, NEXT).unwrap();
    let ca = fs::read(dir.join("ca.crt")).unwrap();
    files(dir);
    assert_ne!(fs::read(dir.join("ca.crt")).unwrap(), ca);
    wait_for("the new certificate", || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        ask(&node, at, TOKEN).ok()
    });
    let refused = block_on(open.peers()).unwrap_err();
    assert!(matches!(refused, FetchError::Call { source: CallError::Tls(_), .. }), "{refused:?}");
    assert_eq!(node.events("started").len(), 1);
    let log = fs::read_to_string(node.setup.path("log")).unwrap();
    assert!(!log.contains(TOKEN) && !log.contains(NEXT), "{log}");
    node.is_well();
    node.stop();
}

#[test]
fn sources_come_and_go_and_one_whose_token_is_mended_is_asked_at_once() {
    let (server, at) = start();
    let own = server.status()["addresses"]["libp2p"][0].as_str().unwrap().to_owned();
    let node = Setup::new().start("", "");
    node.wait_until_ready();
    let bootstrap = format!("[bootstrap]\npeers = [\"{own}\"]\n");
    node.reload("", &bootstrap);
    wait_for("the first peer", || {
        (node.status()["libp2p"]["connected_peers"][0] == *server.peer_id).then_some(())
    });
    assert_eq!(sources(&node, "static")[0]["name"], "bootstrap.peers");
    assert_eq!(node.get("/readyz").0, 200);

    // A server of K3s with a wrong token. With somebody connected it is asked every 30 minutes.
    fs::write(node.setup.path("token"), "K10::node:wrong").unwrap();
    fs::copy(server.setup.path("ca.crt"), node.setup.path("ca.crt")).unwrap();
    let k3s = asking(node.setup.dir.path(), at);
    node.reload("", &format!("{bootstrap}{k3s}"));
    let last = |node: &Node| sources(node, "k3s").first().map(|one| one["last_result"].clone());
    wait_for("a refusal", || (last(&node)? == "failed").then_some(()));
    let attempts = sources(&node, "static")[0]["attempts"].clone();
    replace(node.setup.dir.path(), "token", TOKEN);
    wait_for("it is asked at once", || (last(&node)? == "ok").then_some(()));
    assert_eq!(sources(&node, "static")[0]["attempts"], attempts, "the other one has not changed");
    assert_eq!(node.get("/readyz").0, 200, "a node that is ready stays so");

    // The address that is configured leads to nobody who was heard of otherwise: with it the peer goes.
    node.reload("", "");
    wait_for("they are gone", || {
        let none = ["static", "k3s"].iter().all(|kind| sources(&node, kind).is_empty());
        none.then_some(())
    });
    // Twice another one and once none; the files of K3s changed once beside that.
    assert_eq!(node.metric("bootstrap_reloads_total"), 2.0);
    assert_eq!(node.metric("k3s_reloads_total"), 3.0);
    for node in [server, node] {
        node.is_well();
        node.stop();
    }
}

#[test]
fn files_of_bootstrap_that_cannot_be_used_change_nothing() {
    let node = Setup::new().start("", "");
    let tables = |ca: &str| {
        let ca = format!("{:?}", node.setup.path(ca));
        format!("[bootstrap]\nhttp = [\"https://127.0.0.1:1/id\"]\nhttp_ca = {ca}\n")
    };
    node.reload("", &tables("ca.crt"));
    let kept = wait_for("the mistake", || node.events("files_kept").pop());
    assert_eq!(kept["fields"]["part"], "bootstrap");
    assert!(sources(&node, "http").is_empty());
    assert_eq!(node.metric("bootstrap_reload_failures_total"), 1.0);
    // It is not forgotten what was asked for.
    files(node.setup.dir.path());
    wait_for("the source", || (sources(&node, "http").len() == 1).then_some(()));
    assert_eq!(node.status()["first_peer"]["last_error"], Value::Null);
    node.is_well();
    node.stop();
}
