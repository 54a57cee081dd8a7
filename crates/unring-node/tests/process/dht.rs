//! The DHT from outside: a node of it that this test runs, and what the program says of it.

use std::num::NonZeroUsize;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Runtime;
use unring_peer::PeerId;
use unring_routing::{Key, LookupConfig, Router as _};
use unring_routing_kad::{
    Config, DialConfig, Handle, KadConfig, KadRouter, Limits, Network, NetworkKey, WantedPeer,
};

use super::support::{Node, Setup, run, unring, wait_for};

/// Somebody else in the network.
struct Other {
    handle: Handle,
    router: Arc<KadRouter>,
    runtime: Runtime,
}

impl Other {
    /// It joins `node`.
    fn start(node: &Node, network_key: Option<NetworkKey>) -> Self {
        let many = NonZeroUsize::new(16).unwrap();
        let lookup = LookupConfig {
            found_for: Duration::from_secs(1),
            missing_for: Duration::from_millis(100),
            cached: many,
            keys: many,
            callers_per_key: many,
        };
        let limits = Limits::new(8);
        let config = Config {
            listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
            external: vec![],
            agent_version: "test".to_owned(),
            limits,
            dial: DialConfig::for_limits(&limits),
            kad: Some(KadConfig::spegel(lookup)),
            network_key,
        };
        let runtime = Runtime::new().unwrap();
        let keypair = unring_peer::Identity::generate().keypair().clone();
        let (network, handle, _) = runtime.block_on(Network::bind(keypair, config)).unwrap();
        let router = network.router().unwrap();
        runtime.spawn(network.run());
        let status = node.status();
        let address = status["addresses"]["libp2p"][0].as_str().unwrap().parse().unwrap();
        let peer = node.peer_id.parse().unwrap();
        handle.set_peers(vec![WantedPeer { peer, addresses: vec![address], hearsay: false }]);
        Self { handle, router, runtime }
    }
}

fn lookup(node: &Node, key: &str) -> (Option<i32>, String, String) {
    let ended = run(unring().args(["lookup", key, "--admin"]).arg(node.admin.to_string()));
    (ended.code, ended.stdout, ended.stderr)
}

fn metric(node: &Node, name: &str) -> f64 {
    let (_, text) = node.get("/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap().parse().unwrap()
}

#[test]
fn what_another_node_advertises_is_looked_up() {
    let tables =
        "[dht]\nmax_records = 1024\nreprovide_interval = \"2s\"\nrecord_validity = \"10s\"";
    let node = Setup::new().start("", tables);
    let name = "docker.io/library/nginx:1.27";
    let (code, stdout, _) = lookup(&node, name);
    assert_eq!(code, Some(0));
    assert!(stdout.starts_with("0 providers in "), "{stdout}");
    assert_eq!(node.status()["dht"]["state"], "alone");

    let other = Other::start(&node, None);
    other.router.advertise(&[Key::new(name)]).unwrap();
    let found = wait_for("the provider", || {
        let (_, stdout, _) = lookup(&node, name);
        stdout.starts_with("1 providers in ").then_some(stdout)
    });
    let provider = format!("{} 127.0.0.1", other.handle.peer_id());
    assert_eq!(found.lines().nth(2), Some(provider.as_str()), "{found}");
    let (code, json) = node.get(&format!("/dht?key={name}"));
    let json: Value = serde_json::from_str(&json).unwrap();
    let multihash = "12206965a10c15290ad0b29ca7fd1866de1850408b3cb15fb11a3bbbbc2fddb158bd";
    assert_eq!((code, json["multihash"].as_str()), (200, Some(multihash)));
    let status = node.status();
    assert_eq!(
        (&status["dht"]["max_records"], &status["dht"]["records"]),
        (&1024.into(), &1.into())
    );
    assert!(metric(&node, "unring_dht_lookup_seconds_count") >= 1.0);

    // A store that fills up is warned of once, and refuses above its limit.
    let keys: Vec<Key> = (0..1100).map(|n| Key::new(&n.to_string())).collect();
    other.router.advertise(&keys).unwrap();
    let warned = wait_for("the warning", || node.events("dht_store_almost_full").pop());
    assert_eq!(warned["level"], "WARN");
    wait_for("refusals", || {
        (metric(&node, "unring_dht_records_refused_total") > 0.0).then_some(())
    });
    assert!(metric(&node, "unring_dht_records") <= 1024.0);
    assert_eq!(metric(&node, "unring_dht_store_alarms_total"), 1.0);
    node.is_well();
    node.stop();
}

#[test]
fn keys_of_the_configuration_are_provided_and_follow_a_reload() {
    let node = Setup::new().start("", "[dht]\nadvertise = [\"canary/1\", \"canary/2\"]");
    let other = Other::start(&node, None);
    let peer: PeerId = node.peer_id.parse().unwrap();
    let finds = |name: &str| {
        wait_for("the node among the providers", || {
            let found = other.runtime.block_on(other.router.lookup(Key::new(name)));
            found.ok()?.all().iter().any(|provider| provider.peer == peer).then_some(())
        });
    };
    finds("canary/1");
    finds("canary/2");
    node.setup.configure("", "[dht]\nadvertise = [\"canary/2\", \"canary/3\", \"canary/4\"]");
    let pid = node.pid().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    finds("canary/3");
    finds("canary/4");
    assert_eq!(node.status()["dht"]["advertised"], 3, "canary/1 is withdrawn");
    node.is_well();
    node.stop();
}

#[test]
fn a_question_that_cannot_be_answered_is_refused() {
    let node = Setup::new().start("", "[dht]\nmode = \"off\"");
    assert_eq!(node.get("/dht?key=x").0, 404);
    assert_eq!(node.get("/dht").0, 400);
    assert_eq!(node.status()["dht"], Value::Null);
    let (code, stdout, stderr) = lookup(&node, "x");
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("answered 404: this node takes no part in the DHT"), "{stderr}");
    let admin = node.admin.to_string();
    node.stop();
    run(unring().args(["lookup", "x", "--admin", &admin])).refused(1, &["no answer", &admin]);
}

#[test]
fn a_private_network_is_closed_and_its_key_is_nowhere() {
    let setup = Setup::new();
    let (file, key) = (setup.path("ipsec.psk"), "5ec4e7ab".repeat(8));
    std::fs::write(&file, &key).unwrap();
    let node = setup.start("", &format!("[dht]\nnetwork_key_file = {file:?}"));
    let stranger = Other::start(&node, None);
    wait_for("a refusal", || {
        (metric(&node, "unring_libp2p_other_network_total") >= 1.0).then_some(())
    });
    assert!(stranger.handle.connected().is_empty());
    let member = Other::start(&node, Some(NetworkKey::from_hex(&key).unwrap()));
    wait_for("a member", || (!member.handle.connected().is_empty()).then_some(()));
    let log = std::fs::read_to_string(node.setup.path("log")).unwrap();
    let told = format!("{log}{}{}", node.get("/statusz").1, node.get("/metrics").1);
    assert!(!told.contains("5ec4e7ab"), "the key is shown");
    node.stop();

    let setup = Setup::new();
    std::fs::write(setup.path("short"), "5ec4e7").unwrap();
    let tables = format!("[dht]\nnetwork_key_file = {:?}", setup.path("short"));
    let ended = run(&mut setup.serve("", &tables));
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("is no network key") && !ended.stderr.contains("5ec4e7"),
        "{ended:?}"
    );
}

#[test]
fn nothing_of_who_is_denied_is_found_in_the_dht() {
    let node = Setup::new().start("", "");
    let other = Other::start(&node, None);
    let name = "docker.io/library/nginx:1.27";
    other.router.advertise(&[Key::new(name)]).unwrap();
    let finds = |providers: usize| {
        let found = format!("{providers} providers in ");
        wait_for(&found, || lookup(&node, name).1.starts_with(&found).then_some(()));
    };
    let reload = |tables: &str| node.reload("", tables);
    finds(1);
    reload(&format!("[security]\ndeny = [\"{}\"]", other.handle.peer_id()));
    finds(0);
    // What was found is filtered at once, the network hears of the list a moment later.
    wait_for("its record is gone and its connection closed", || {
        let records = metric(&node, "unring_dht_records");
        let closed = metric(&node, "unring_security_libp2p_closed_total");
        ((records, closed) == (0.0, 1.0)).then_some(())
    });
    wait_for("a refusal", || {
        (metric(&node, "unring_security_libp2p_refused_total") >= 1.0).then_some(())
    });
    assert_eq!(metric(&node, "unring_dht_records"), 0.0, "it cannot tell anything");
    // Somebody else is allowed, which comes to the same; then it is, and all is as before.
    reload(&format!("[security]\nallow = [\"{}\"]", node.peer_id));
    finds(0);
    reload(&format!("[security]\nallow = [\"{}\"]", other.handle.peer_id()));
    finds(1);
    node.is_well();
    node.stop();
}
