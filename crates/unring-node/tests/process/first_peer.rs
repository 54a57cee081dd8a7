//! Where a node's first peer comes from: one source at a time, each with everything else down.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use serde_json::Value;
use unring_bootstrap::test_util::{DnsServer, Record};

use crate::support::{Node, Setup, wait_for};

/// A node that joins nobody.
fn lone(bootstrap: &str) -> Node {
    Setup::new().start("", &format!("[bootstrap]\n{bootstrap}"))
}

/// `/ip4/127.0.0.1/tcp/PORT/p2p/ID`.
fn address(node: &Node) -> String {
    node.status()["addresses"]["libp2p"][0].as_str().unwrap().to_owned()
}

/// The same without the id.
fn bare(node: &Node) -> String {
    address(node).split("/p2p/").next().unwrap().to_owned()
}

fn port(node: &Node) -> String {
    bare(node).rsplit('/').next().unwrap().to_owned()
}

/// A port where nobody listens.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The row of a source on the status page.
fn source(node: &Node, kind: &str) -> Value {
    let status = node.status();
    let sources = status["first_peer"]["sources"].as_array().unwrap();
    let found = sources.iter().find(|source| source["kind"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {sources:?}")).clone()
}

fn is_connected(node: &Node, other: &Node) -> bool {
    let status = node.status();
    let peers = status["libp2p"]["connected_peers"].as_array().unwrap();
    peers.iter().any(|peer| peer.as_str() == Some(other.peer_id.as_str()))
}

/// Both are connected, and the source of this kind was the way.
fn found_by(node: &Node, other: &Node, kind: &str) {
    wait_for("a connection both ways", || {
        (is_connected(node, other) && is_connected(other, node)).then_some(())
    });
    let row = wait_for("the end of the attempt", || {
        Some(source(node, kind)).filter(|row| row["last_result"] == "ok")
    });
    assert!(row["addresses"].as_u64() >= Some(1) && row["reached"].as_u64() >= Some(1), "{row}");
    node.wait_until_ready();
    node.is_well();
}

/// Answers every request with this body, as long as the test runs.
fn http_server(body: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/id", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            let Ok(mut tcp) = tcp else { continue };
            let mut request = [0; 1024];
            // Whoever asks may hang up.
            let _ = tcp.read(&mut request);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = tcp.write_all(format!("{head}{body}").as_bytes());
        }
    });
    url
}

#[test]
fn an_address_in_the_configuration_is_enough_with_an_id_and_without() {
    let other = lone("");
    for address in [bare(&other), address(&other)] {
        let node = lone(&format!("peers = [{address:?}]"));
        found_by(&node, &other, "static");
        assert_eq!(source(&node, "static")["addresses"], 1);
    }
}

#[test]
fn a_node_is_not_its_own_first_peer_whatever_it_is_told() {
    // The port is not known before, so it is told by a name.
    let dns = DnsServer::start().unwrap();
    dns.set("peers.test", vec![Record::A([127, 0, 0, 1].into())]);
    let node = lone(&format!("dns = [\"peers.test\"]\ndns_server = \"{}\"", dns.address()));
    let row = wait_for("the end of an attempt", || {
        Some(source(&node, "dns")).filter(|row| row["last_result"] != Value::Null)
    });
    assert_eq!((&row["last_result"], &row["addresses"]), (&"only_self".into(), &0.into()), "{row}");
    node.wait_until_ready();
    assert_eq!(node.status()["libp2p"]["connections"], 0);
}

#[test]
fn spegels_id_is_enough_in_each_of_its_forms() {
    let other = lone("listen = \"127.0.0.1:0\"");
    let (id, bare) = (other.peer_id.clone(), bare(&other));
    let served = other.status()["first_peer"]["id_url"].as_str().unwrap().to_owned();
    let object = http_server(format!(r#"{{"ID":"{id}","Addrs":["/dns4/x/tcp/1","{bare}"]}}"#));
    let text = http_server(format!("{bare}/p2p/{id}\n"));
    for url in [served, object, text] {
        let node = lone(&format!("http = [{url:?}]"));
        found_by(&node, &other, "http");
    }
}

#[test]
fn a_name_is_enough() {
    let other = lone("");
    let dns = DnsServer::start().unwrap();
    let server = format!("dns_server = \"{}\"", dns.address());
    dns.set("peers.test", vec![Record::A([127, 0, 0, 1].into())]);
    let node = lone(&format!("dns = [\"peers.test:{}\"]\n{server}", port(&other)));
    found_by(&node, &other, "dns");

    // One that is there only later.
    let node = lone(&format!("dnsaddr = [\"more.test\"]\n{server}"));
    wait_for("a failed attempt", || {
        (source(&node, "dnsaddr")["last_result"] == "failed").then_some(())
    });
    dns.set("_dnsaddr.more.test", vec![Record::Txt("dnsaddr=/dnsaddr/deep.test".to_owned())]);
    dns.set("_dnsaddr.deep.test", vec![Record::Txt(format!("dnsaddr={}", address(&other)))]);
    found_by(&node, &other, "dnsaddr");
}

#[test]
fn the_book_is_enough_when_everything_else_is_down() {
    let other = lone("");
    let join = format!("upstreams = [\"https://{}\"]", other.grpc);
    let node = Setup::new().start(&join, "");
    wait_for("the other's record on disk", || {
        let status = node.status();
        let peer = &status["peers"][0];
        (peer["saved"] == true && peer["connected"] == true).then_some(())
    });
    let setup = node.stop();
    let (http, peer) = (free_port(), free_port());
    let down = format!(
        "[bootstrap]\npeers = [\"/ip4/127.0.0.1/tcp/{peer}\"]\nhttp = [\"http://127.0.0.1:{http}/id\"]"
    );
    let node = setup.start(&format!("upstreams = [\"https://127.0.0.1:{}\"]", free_port()), &down);
    wait_for("a connection both ways", || {
        (is_connected(&node, &other) && is_connected(&other, &node)).then_some(())
    });
    let row = source(&node, "book");
    assert_eq!((&row["last_result"], &row["addresses"]), (&"ok".into(), &1.into()), "{row}");
    for (kind, result) in [("static", "unreachable"), ("http", "failed"), ("grpc", "failed")] {
        let row = wait_for("the end of an attempt", || {
            Some(source(&node, kind)).filter(|row| row["last_result"] != Value::Null)
        });
        assert_eq!(row["last_result"], result, "{row}");
    }
    node.is_well();
}

#[test]
fn with_every_source_down_a_node_is_ready_alone_quiet_and_patient() {
    let dns = DnsServer::start().unwrap();
    let node = lone(&format!(
        "peers = [\"/ip4/127.0.0.1/tcp/{}\"]\nhttp = [\"http://127.0.0.1:{}/id\"]\n\
         dns = [\"peers.test\"]\ndnsaddr = [\"peers.test\"]\ndns_server = \"{}\"",
        free_port(),
        free_port(),
        dns.address()
    ));
    node.wait_until_ready();
    wait_for("that it says so", || node.events("alone").pop());
    let kinds = ["static", "http", "dns", "dnsaddr"];
    for kind in kinds {
        // The 8th attempt begins 3 to 6.5 s after the first, if each fails at once.
        let row = wait_for("several attempts", || {
            Some(source(&node, kind)).filter(|row| row["attempts"].as_u64() >= Some(7))
        });
        assert_eq!(row["attempts"], row["failures"], "{row}");
        assert!(row["last_error"].as_str().is_some_and(|why| !why.is_empty()), "{row}");
    }
    // Half of each wait at least: 50 + 50 + 100 + ... ms, and then 5 s each.
    let status = node.status();
    let uptime = Duration::from_secs_f64(status["uptime_s"].as_f64().unwrap());
    let most = 10 + uptime.as_secs() / 5;
    for kind in kinds {
        let attempts = source(&node, kind)["attempts"].as_u64().unwrap();
        assert!(attempts <= most, "{kind}: {attempts} attempts in {uptime:?}");
    }
    assert_eq!(status["first_peer"]["alone"], true);
    assert!(metric(&node, "unring_alone ") > 0.5);
    let attempts =
        "unring_source_attempts_total{kind=\"dns\",source=\"peers.test\",outcome=\"failed\"} ";
    assert!(metric(&node, attempts) >= 7.0);
    let lines = node.events("source_failed");
    for kind in kinds {
        let said = lines.iter().filter(|line| line["fields"]["kind"] == kind).count();
        assert!(
            said <= 1 + usize::try_from(uptime.as_secs() / 60).unwrap(),
            "{kind}: {said} lines"
        );
    }
    assert!(node.events("not_alone").is_empty());

    // Company: it is not alone any more, and stops looking.
    let other = lone(&format!("peers = [{:?}]", bare(&node)));
    found_by(&other, &node, "static");
    wait_for("that it says so", || node.events("not_alone").pop());
    assert_eq!(node.status()["first_peer"]["alone"], false);
    let row = wait_for("calm", || {
        let row = source(&node, "http");
        (row["next_attempt_in_s"].as_f64() > Some(600.0)).then_some(row)
    });
    assert!(row["next_attempt_in_s"].as_f64() <= Some(1800.0), "{row}");
    assert_eq!((node.events("alone").len(), node.events("not_alone").len()), (1, 1));
    node.is_well();
}

fn metric(node: &Node, name: &str) -> f64 {
    let (_, text) = node.get("/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name}in {text}")).parse().unwrap()
}
