//! `docs/metrics.md` lists what a node serves.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use unring_node::Node;
use unring_node::config::{Config, KEYS, Settings};
use unring_node::log::LogCounters;

use crate::markdown::{code_spans, document, root, rows, section};

/// Runs a node that joins nobody, and asks it.
fn get(path: &'static str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().display().to_string();
    let mut settings = Settings::default();
    for (name, value) in [
        ("data_dir", data_dir.as_str()),
        ("listen.grpc", "127.0.0.1:0"),
        ("listen.libp2p", "/ip4/127.0.0.1/tcp/0"),
        ("listen.admin", "127.0.0.1:0"),
    ] {
        let key = KEYS.iter().find(|key| key.name == name).unwrap();
        settings.add_flag(key, vec![value.to_owned()]);
    }
    let config = Config::read(&settings, Some("host".into())).unwrap();
    let node = Node::build(config, Arc::new(LogCounters::default())).unwrap();
    let admin = node.admin_address();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (answer, answered) = tokio::sync::oneshot::channel();
    let client = std::thread::spawn(move || answer.send(http_get(admin, path)));
    let mut body = String::new();
    runtime.block_on(node.run(async { body = answered.await.unwrap() })).unwrap();
    client.join().unwrap().unwrap();
    body
}

fn http_get(admin: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(admin).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {admin}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    body.to_owned()
}

#[test]
fn every_metric_is_documented_and_every_documented_one_is_served() {
    let body = get("/metrics");
    let types = body.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let served: BTreeMap<_, _> = types
        .map(|(name, kind)| match kind {
            "counter" => (format!("{name}_total"), kind.to_owned()),
            _ => (name.to_owned(), kind.to_owned()),
        })
        .collect();
    assert!(served.len() > 20, "{body}");
    let text = document("docs/metrics.md");
    let rows = rows(section(&text, "## /metrics"));
    let documented: BTreeMap<_, _> =
        rows.iter().map(|row| (row[0].trim_matches('`').to_owned(), row[1].clone())).collect();
    assert_eq!(documented, served);
}

#[test]
fn no_document_names_a_metric_that_is_not_in_the_reference() {
    let reference = document("docs/metrics.md");
    let known: BTreeSet<_> = code_spans(&reference).into_iter().collect();
    for name in ["docs/ring-warning.md", "docs/troubleshooting.md", "README.md"] {
        let text = document(name);
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for word in words.filter(|word| word.starts_with("unring_")) {
            // Crates and their types are named too.
            let is_crate = root().join("crates").join(word.replace('_', "-")).is_dir();
            assert!(is_crate || known.contains(word), "{name} names {word}");
        }
    }
}

#[test]
fn the_topology_is_served_in_every_documented_format() {
    let text = document("docs/topology.md");
    let rows = rows(section(&text, "## Formats"));
    let documented: BTreeSet<_> = rows.iter().flat_map(|row| code_spans(&row[0])).collect();
    assert_eq!(documented, BTreeSet::from(["text", "dot", "mermaid", "json"]));
    assert!(get("/topology").ends_with(", this node\n"));
    assert!(get("/topology?format=text").ends_with(", this node\n"));
    assert!(get("/topology?format=dot").starts_with("digraph "));
    assert!(get("/topology?format=mermaid").starts_with("flowchart "));
    let json: serde_json::Value = serde_json::from_str(&get("/topology?format=json")).unwrap();
    let fields = |value: &serde_json::Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let rows = self::rows(section(&text, "## JSON"));
    let documented: BTreeSet<_> =
        rows.iter().flat_map(|row| code_spans(&row[0])).map(str::to_owned).collect();
    let top = documented.iter().map(|name| name.split('.').next().unwrap().to_owned());
    assert_eq!(fields(&json), top.collect());
    for list in ["left_out", "nodes", "joins", "rings"] {
        let inner = documented.iter().filter_map(|name| name.strip_prefix(&format!("{list}.")));
        let inner: BTreeSet<_> = inner.map(str::to_owned).collect();
        let served = json[list].get(0).unwrap_or(&json[list]);
        // A node that joins nobody has neither joins nor rings to show.
        if served.is_object() {
            assert_eq!(fields(served), inner, "{list}");
        } else {
            assert!(!inner.is_empty(), "{list}");
        }
    }
}

#[test]
fn a_node_that_joins_nobody_is_alive_and_ready() {
    assert_eq!((get("/healthz"), get("/readyz")), ("ok\n".to_owned(), "ready\n".to_owned()));
}

/// The dotted names of all fields, from the structs that the page is made of.
fn status_fields() -> BTreeSet<String> {
    let source = ["status.rs", "database.rs", "security.rs", "first_peer.rs", "k3s.rs", "dht.rs"]
        .map(|file| {
            std::fs::read_to_string(root().join("crates/unring-node/src/admin").join(file)).unwrap()
        });
    let source = source.concat();
    let mut structs: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for part in source.split("struct ").skip(1) {
        let (name, body) = part.split_once(" {").unwrap();
        let fields = body.lines().take_while(|line| *line != "}").filter_map(|line| {
            let (field, kind) = line.trim().trim_end_matches(',').split_once(": ")?;
            (!field.starts_with('/')).then_some((field, kind))
        });
        structs.insert(name, fields.collect());
    }
    let mut names = BTreeSet::new();
    let mut open = vec![(String::new(), "Status")];
    while let Some((prefix, kind)) = open.pop() {
        for (field, kind) in &structs[kind] {
            let inner = kind.trim_start_matches("Vec<").trim_start_matches("Option<");
            let inner = inner.trim_end_matches('>');
            let name = format!("{prefix}{field}");
            if structs.contains_key(inner) {
                open.push((format!("{name}."), inner));
            } else {
                names.insert(name);
            }
        }
    }
    names
}

#[test]
fn every_field_of_the_status_page_is_documented() {
    let text = document("docs/metrics.md");
    let rows = rows(section(&text, "## /statusz"));
    let documented: BTreeSet<_> =
        rows.iter().flat_map(|row| code_spans(&row[0])).map(str::to_owned).collect();
    assert_eq!(documented, status_fields());

    // What a node serves has these fields and no others, as far as it knows something.
    let served: serde_json::Value = serde_json::from_str(&get("/statusz")).unwrap();
    let top: BTreeSet<_> = served.as_object().unwrap().keys().cloned().collect();
    let expected = documented.iter().map(|name| name.split('.').next().unwrap().to_owned());
    assert_eq!(top, expected.collect());
}
