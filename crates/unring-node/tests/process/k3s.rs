//! K3s's path on a real node.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use unring_k3s::{
    AnswerForm, CallError, ClientConfig, ConnectError, Distribution, FetchError, JoinToken,
    K3sClient, Trust,
};

use crate::support::{Node, Setup, run, wait_for};

pub(crate) const TOKEN: &str = "abcdef.0123456789abcdef";

/// Writes `ca.crt`, `k3s.crt`, `k3s.key` and `token` into a folder, and says which keys name them.
pub(crate) fn files(dir: &Path) -> String {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let own = own.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    let write = |name: &str, text: &str| fs::write(dir.join(name), text).unwrap();
    write("ca.crt", &ca_pem);
    write("k3s.crt", &own.pem());
    write("k3s.key", &key.serialize_pem());
    write("token", &format!("{TOKEN}\n\nK10::node:secret\n"));
    let path = |name: &str| format!("{:?}", dir.join(name));
    format!(
        "[k3s]\nlisten = \"127.0.0.1:0\"\ncertificate = {}\nkey = {}\nca = {}\ntoken_file = {}\n",
        path("k3s.crt"),
        path("k3s.key"),
        path("ca.crt"),
        path("token"),
    )
}

pub(crate) fn start() -> (Node, SocketAddr) {
    let setup = Setup::new();
    let tables = files(setup.dir.path());
    let node = setup.start("", &tables);
    node.wait_until_ready();
    let at = node.events("started")[0]["fields"]["k3s"].as_str().unwrap().parse().unwrap();
    (node, at)
}

fn client(node: &Node, at: SocketAddr, credentials: &str) -> K3sClient {
    connect(node, at, credentials).unwrap()
}

/// By the CA that is in its folder now.
pub(crate) fn connect(
    node: &Node,
    at: SocketAddr,
    credentials: &str,
) -> Result<K3sClient, ConnectError> {
    let ca = unring_k3s::CaBundle::from_pem(&fs::read(node.setup.path("ca.crt")).unwrap()).unwrap();
    let token: JoinToken = format!("K10{}::{credentials}", ca.hash()).parse().unwrap();
    let config = ClientConfig {
        server: format!("https://{at}").parse().unwrap(),
        distribution: Distribution::K3s,
        token,
        key_pair: None,
        trust: Trust::Token,
    };
    block_on(K3sClient::connect(config))
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

#[test]
fn a_lone_node_gives_its_own_address_to_those_with_a_token() {
    let (node, at) = start();
    for credentials in [TOKEN, "node:secret"] {
        let fetched = block_on(client(&node, at, credentials).peers()).unwrap();
        assert_eq!(fetched.peers.form, AnswerForm::List);
        let own = node.status()["addresses"]["libp2p"][0].clone();
        let told: Vec<_> = fetched.peers.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(told, [own.as_str().unwrap()]);
    }
    let error = block_on(client(&node, at, "node:wrong").peers()).unwrap_err();
    let FetchError::Call { source: CallError::Status { status, .. }, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(status, 401);
    let status = node.status()["k3s"].clone();
    assert_eq!(status["listen"], format!("https://{at}"));
    assert_eq!(status["served"], 2);
    // Two looks at the CA for each client, and the refused request.
    assert_eq!(status["unauthorized"], 7);
    let log = fs::read_to_string(node.setup.path("log")).unwrap();
    let refusal = "Unauthorized: refused p2p peer addrs to client at 127.0.0.1";
    assert_eq!(log.matches(refusal).count(), 1, "{log}");
    assert!(!log.contains("secret") && !log.contains(TOKEN), "{log}");
    node.is_well();
    node.stop();
}

#[test]
fn a_flood_is_put_off_and_told_when_to_come_back() {
    let setup = Setup::new();
    let tables = files(setup.dir.path()) + "[limits]\nrequests_per_second = 160\n";
    let node = setup.start("", &tables);
    node.wait_until_ready();
    let at = node.events("started")[0]["fields"]["k3s"].as_str().unwrap().parse().unwrap();
    let client = client(&node, at, TOKEN);
    // One caller has 80 units a second and as many at once; each of these costs 11.
    let refused = (0..200).map(|_| block_on(client.peers())).find_map(Result::err);
    assert!(refused.is_some(), "all were answered");
    let status = node.status()["k3s"].clone();
    let count = |name: &str| status[name].as_u64().unwrap();
    let put_off = count("throttled") + count("refused_connections");
    assert_eq!(put_off, 1, "{status}");
    assert!(count("served") > 0, "{status}");
    node.is_well();
    node.stop();
}

#[test]
fn what_is_wrong_with_a_file_is_named_and_nothing_is_bound() {
    let check = |change: fn(&Path), says: &[&str]| {
        let setup = Setup::new();
        let tables = files(setup.dir.path());
        change(setup.dir.path());
        run(&mut setup.serve("", &tables)).refused(1, says);
        assert!(!setup.data_dir().exists(), "nothing was written");
    };
    check(|dir| fs::remove_file(dir.join("k3s.key")).unwrap(), &["k3s.key", "No such file"]);
    check(|dir| fs::write(dir.join("token"), "\n").unwrap(), &["no join token", "k3s.token_file"]);
    let broken = "ok\nK10zz::node:s3cret\n";
    let check_token = |dir: &Path| fs::write(dir.join("token"), broken).unwrap();
    let setup = Setup::new();
    let tables = files(setup.dir.path());
    check_token(setup.dir.path());
    let ended = run(&mut setup.serve("", &tables));
    ended.refused(1, &["line 2 of", "CA hash"]);
    assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    check(|dir| fs::write(dir.join("ca.crt"), "no PEM").unwrap(), &["is no CA", "k3s.ca"]);
    let half = "[k3s]\nlisten = \"127.0.0.1:0\"\n";
    run(&mut Setup::new().serve("", half)).refused(64, &["k3s.listen is set and needs", "k3s.key"]);
}

/// Keys of a node that asks `at`, with the CA and token that `files` wrote beside it.
pub(crate) fn asking(dir: &Path, at: SocketAddr) -> String {
    let path = |name: &str| format!("{:?}", dir.join(name));
    let (ca, token) = (path("ca.crt"), path("token"));
    format!("[k3s]\nservers = [\"https://{at}\"]\nca = {ca}\ntoken_file = {token}\n")
}

fn source(node: &Node) -> serde_json::Value {
    let sources = node.status()["first_peer"]["sources"].clone();
    let of_k3s = sources.as_array().unwrap().iter().find(|source| source["kind"] == "k3s");
    of_k3s.cloned().unwrap()
}

#[test]
fn a_node_finds_its_first_peer_over_k3ss_path() {
    let (server, at) = start();
    let tables = asking(server.setup.dir.path(), at);
    let node = Setup::new().start("", &tables);
    let source = wait_for("the first peer", || {
        Some(source(&node)).filter(|source| source["last_result"] == "ok")
    });
    assert_eq!(
        (source["name"].as_str().unwrap(), &source["addresses"]),
        (&*format!("https://{at}"), &1.into())
    );
    let connected = &node.status()["libp2p"]["connected_peers"][0];
    assert_eq!(connected, &server.peer_id);
    // What was told of this way is no record, but it is connected, and so it is passed on.
    assert_eq!(node.status()["peers"].as_array().map(Vec::len), Some(0));
    for node in [server, node] {
        node.is_well();
        node.stop();
    }
}

#[test]
fn a_server_that_refuses_is_told_with_its_reason_and_no_secret() {
    let (server, at) = start();
    let dir = server.setup.dir.path();
    let ca = unring_k3s::CaBundle::from_pem(&fs::read(dir.join("ca.crt")).unwrap()).unwrap();
    let check = |token: &str, keys: &str, says: &str| {
        let setup = Setup::new();
        fs::write(setup.path("other"), token).unwrap();
        let file = format!("{:?}", setup.path("other"));
        let tables = format!("[k3s]\nservers = [\"https://{at}\"]\ntoken_file = {file}\n{keys}");
        let node = setup.start("", &tables);
        let source = wait_for("a refusal", || {
            Some(source(&node)).filter(|source| source["last_result"] == "failed")
        });
        let error = source["last_error"].as_str().unwrap();
        assert!(error.contains(says) && !error.contains("hunter2"), "{error}");
        let log = fs::read_to_string(node.setup.path("log")).unwrap();
        assert!(!log.contains("hunter2"), "{log}");
        node.is_well();
        node.stop();
    };
    check(&format!("K10{}::node:hunter2", ca.hash()), "", "401");
    let other = "0".repeat(64);
    check(&format!("K10{other}::node:hunter2"), "", "is not the server of this token");
    let setup = Setup::new();
    fs::write(setup.path("other"), "K10::node:hunter2").unwrap();
    let file = format!("{:?}", setup.path("other"));
    let tables = format!("[k3s]\nservers = [\"https://{at}\"]\ntoken_file = {file}\n");
    run(&mut setup.serve("", &tables)).refused(1, &["has no CA hash", "k3s.ca"]);
    server.stop();
}

#[test]
fn what_is_known_is_told_although_not_everybody_was_tried() {
    let (known, _) = start();
    let setup = Setup::new();
    let tables = files(setup.dir.path());
    let joins = |at: SocketAddr| format!("upstreams = [\"https://{at}\"]\n");
    let node = setup.start(&joins(known.grpc), &tables);
    wait_for("a record on disk", || {
        (node.status()["database"]["records"] == 1 && node.status()["database"]["unsaved"] == 0)
            .then_some(())
    });
    let setup = node.stop();
    // Nobody answers there, and that takes until the timeout.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    fs::remove_file(setup.path("log")).unwrap();
    let node = setup.start(&joins(silent.local_addr().unwrap()), &tables);
    let at = node.events("started")[0]["fields"]["k3s"].as_str().unwrap().parse().unwrap();
    let fetched = block_on(client(&node, at, TOKEN).peers()).unwrap();
    assert_eq!(fetched.peers.addresses[0].peer.to_string(), known.peer_id);
    assert_eq!(node.get("/readyz").0, 503, "it was too late to show anything");
    node.stop();
    known.stop();
}
