//! A stand-in for `unring serve`: it knows the whole cluster from the configuration files beside its own and tells
//! what a correct node would, except where its own `[fake]` table makes it misbehave.

use std::fs;
use std::io::{Read as _, Write as _, stderr};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::exit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dev_cluster::brute::{Graph, Ring};
use serde_json::{Value, json};
use toml::Table;

use crate::fake::Fake;

/// A program that behaves as `unring` does.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<Fake> = OnceLock::new();
    let other_commands = r#"if [ "$1" = client-cert ]; then mkdir -p "$3" && exec touch "$3/client.pem" "$3/client.key"; fi"#;
    PROGRAM.get_or_init(|| Fake::new("unring", other_commands, "fake_node::fake_node")).path()
}

/// Not a test: the body of the fake node, run only with its arguments.
#[test]
fn fake_node() {
    let words: Vec<String> = std::env::args().collect();
    if let Some([_, _, config]) =
        words.windows(3).find(|words| words[0] == "serve" && words[1] == "--config")
    {
        FakeNode::load(Path::new(config)).serve();
    }
}

struct FakeNode {
    dir: PathBuf,
    name: String,
    config: Table,
    fake: Table,
    started: Instant,
    warned: Mutex<bool>,
}

impl FakeNode {
    fn load(config: &Path) -> Self {
        let dir = config.parent().unwrap().to_owned();
        let config: Table = toml::from_str(&fs::read_to_string(config).unwrap()).unwrap();
        let fake = config.get("fake").and_then(toml::Value::as_table).cloned().unwrap_or_default();
        let name = config["name"].as_str().unwrap().to_owned();
        Self { dir, name, config, fake, started: Instant::now(), warned: Mutex::new(false) }
    }

    fn is(&self, key: &str) -> bool {
        self.fake.contains_key(key)
    }

    fn serve(&self) {
        if std::env::vars_os().any(|(name, _)| name.as_encoded_bytes().starts_with(b"UNRING_")) {
            log("ERROR", json!({"message": "an UNRING_ variable would go before the file"}));
            exit(64);
        }
        let marker = self.dir.parent().unwrap().join("port-was-taken");
        if self.is("port_is_taken_once") && !marker.exists() {
            fs::write(marker, "").unwrap();
            log(
                "ERROR",
                json!({"message": "bind 127.0.0.1:4001: Address already in use (os error 98)"}),
            );
            exit(1);
        }
        let term = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&term)).unwrap();
        let listener = match TcpListener::bind(self.config["listen"]["admin"].as_str().unwrap()) {
            Ok(listener) => listener,
            Err(err) => {
                log("ERROR", json!({"message": format!("bind the admin endpoint: {err}")}));
                exit(1);
            }
        };
        listener.set_nonblocking(true).unwrap();
        log("INFO", json!({"message": "ready"}));
        while !term.load(Ordering::Relaxed) || self.is("deaf") {
            match listener.accept() {
                Ok((stream, _)) => self.answer(stream),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
            let dies_after = self.fake.get("dies_after_ms").and_then(toml::Value::as_integer);
            if dies_after
                .is_some_and(|ms| self.started.elapsed().as_millis() >= ms.unsigned_abs().into())
            {
                log("ERROR", json!({"message": "out of luck"}));
                exit(9);
            }
        }
        exit(if self.is("fails_to_drain") { 4 } else { 0 });
    }

    fn answer(&self, mut stream: TcpStream) {
        stream.set_nonblocking(false).unwrap();
        let mut asked = [0; 1024];
        let read = stream.read(&mut asked).unwrap_or(0);
        let asked = String::from_utf8_lossy(&asked[..read]).into_owned();
        let (status, body) = match asked.split(' ').nth(1) {
            Some("/readyz") if self.is("never_ready") => {
                ("503 Not Ready", "no upstream was tried yet".to_owned())
            }
            Some("/readyz") => ("200 OK", "ready".to_owned()),
            Some("/statusz") => ("200 OK", self.status().to_string()),
            Some(path) if path.starts_with("/dht?key=") => {
                ("200 OK", self.providers(path.trim_start_matches("/dht?key=")).to_string())
            }
            _ => ("404 Not Found", String::new()),
        };
        // A client that has gone away is not this node's concern.
        let _ = write!(stream, "HTTP/1.0 {status}\r\n\r\n{body}");
    }

    fn status(&self) -> Value {
        let cluster = self.cluster();
        let own = cluster.iter().position(|(name, _)| *name == self.name).unwrap();
        let graph = graph(&cluster);
        let member = |node: &usize| json!({"peer_id": format!("peer-{}", cluster[*node].0), "name": cluster[*node].0});
        let known =
            || graph.component(own).into_iter().filter(|&node| !self.forgets(&cluster[node].0));
        let rings = graph.rings();
        let rings: Vec<&Ring> = rings.iter().filter(|ring| ring.members.contains(&own)).collect();
        self.warn_once(&rings);
        let rings = rings.iter().map(|ring| {
            let witness = witness(&graph, ring);
            let cut = json!({"from": member(&witness[0]), "to": member(&witness[1 % witness.len()])});
            json!({
                "id": id(ring), "kind": "plain", "members": ring.members.iter().map(member).collect::<Vec<_>>(),
                "witness": witness.iter().map(member).collect::<Vec<_>>(), "cuts": [cut],
            })
        });
        let sent = self.config["upstreams"].as_array().unwrap().len();
        json!({
            "name": self.name, "peer_id": format!("peer-{}", self.name),
            "peers": known().map(|node| member(&node)).collect::<Vec<_>>(),
            "rings": rings.collect::<Vec<_>>(),
            "exchange": {"served": 1, "sent": sent, "recent": [{"origin": "peer-node-1", "request_id": "01", "sent": sent}]},
            "libp2p": {"connected_peers": known().map(|node| format!("peer-{}", cluster[node].0)).collect::<Vec<_>>()},
            "dht": self.takes_part().then(|| json!({"records": graph.component(own).len()})),
            "budget": {"p2p_cpu_seconds": 0.01, "limit_percent": 5.0},
        })
    }

    fn takes_part(&self) -> bool {
        self.config["dht"].get("advertise").is_some()
    }

    /// Who has this key in its configuration and is connected by joins.
    fn providers(&self, key: &str) -> Value {
        let cluster = self.cluster();
        let own = cluster.iter().position(|(name, _)| *name == self.name).unwrap();
        let provides = |config: &Table| {
            let keys = config["dht"].get("advertise").and_then(toml::Value::as_array);
            keys.is_some_and(|keys| keys.iter().any(|own| own.as_str() == Some(key)))
        };
        let connected = graph(&cluster).component(own).into_iter();
        let found = connected.map(|node| &cluster[node]).filter(|(name, config)| {
            let hidden = self.fake.get("does_not_find").and_then(toml::Value::as_str);
            provides(config) && hidden != Some(name)
        });
        let providers: Vec<_> =
            found.map(|(name, _)| json!({"peer_id": format!("peer-{name}")})).collect();
        json!({"providers": providers, "took_ms": 1.25})
    }

    fn forgets(&self, name: &str) -> bool {
        self.fake.get("forgets").and_then(toml::Value::as_str) == Some(name)
    }

    fn warn_once(&self, rings: &[&Ring]) {
        let mut warned = self.warned.lock().unwrap();
        for ring in rings.iter().filter(|_| !*warned) {
            log(
                "WARN",
                json!({"message": "ring of joins", "event": "ring_found", "ring": id(ring)}),
            );
        }
        *warned = true;
    }

    /// Every node of the cluster with what it joins, by the address it listens on, in the order of names.
    fn cluster(&self) -> Vec<(String, Table)> {
        let folders = fs::read_dir(self.dir.parent().unwrap()).unwrap();
        let configs = folders.filter_map(|folder| {
            fs::read_to_string(folder.unwrap().path().join("unring.toml")).ok()
        });
        let tables = configs.filter_map(|text| toml::from_str::<Table>(&text).ok());
        let mut nodes: Vec<_> =
            tables.map(|table| (table["name"].as_str().unwrap().to_owned(), table)).collect();
        nodes.sort_by(|a, b| a.0.cmp(&b.0));
        nodes
    }
}

fn graph(cluster: &[(String, Table)]) -> Graph {
    let index = |url: &str| {
        cluster.iter().position(|(_, config)| config["advertise"]["grpc"].as_str() == Some(url))
    };
    let joins = cluster.iter().enumerate().flat_map(|(from, (_, config))| {
        let upstreams = config["upstreams"].as_array().unwrap().iter();
        upstreams.filter_map(move |url| Some((from, index(url.as_str()?)?))).collect::<Vec<_>>()
    });
    Graph::new(cluster.len(), joins.collect::<Vec<_>>())
}

/// Any circuit of the ring's shortest length, by trying all.
fn witness(graph: &Graph, ring: &Ring) -> Vec<usize> {
    fn extend(graph: &Graph, ring: &Ring, path: &mut Vec<usize>) -> bool {
        if path.len() == ring.shortest {
            return graph.check_witness(ring, path).is_ok();
        }
        let joined = |path: &[usize], next| path.last().is_none_or(|&last| graph.joins(last, next));
        ring.members.iter().any(|&next| {
            if !joined(path, next) {
                return false;
            }
            path.push(next);
            let found = extend(graph, ring, path);
            if !found {
                path.pop();
            }
            found
        })
    }
    let mut path = Vec::new();
    assert!(extend(graph, ring, &mut path), "no witness of {ring:?}");
    path
}

fn id(ring: &Ring) -> String {
    format!("ring-{:?}", ring.members)
}

fn log(level: &str, fields: Value) {
    let mut log = stderr().lock();
    writeln!(log, "{}", json!({"level": level, "fields": fields})).unwrap();
}
