//! K3s's path on a real node.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use unring_k3s::{
    AnswerForm, CallError, ClientConfig, Distribution, FetchError, JoinToken, K3sClient, Trust,
};

use crate::support::{Node, Setup, run};

const TOKEN: &str = "abcdef.0123456789abcdef";

/// Writes `ca.crt`, `k3s.crt`, `k3s.key` and `token` into a folder, and says which keys name them.
fn files(dir: &Path) -> String {
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

fn start() -> (Node, SocketAddr) {
    let setup = Setup::new();
    let tables = files(setup.dir.path());
    let node = setup.start("", &tables);
    node.wait_until_ready();
    let at = node.events("started")[0]["fields"]["k3s"].as_str().unwrap().parse().unwrap();
    (node, at)
}

fn client(node: &Node, at: SocketAddr, credentials: &str) -> K3sClient {
    let ca = unring_k3s::CaBundle::from_pem(&fs::read(node.setup.path("ca.crt")).unwrap()).unwrap();
    let token: JoinToken = format!("K10{}::{credentials}", ca.hash()).parse().unwrap();
    let config = ClientConfig {
        server: format!("https://{at}").parse().unwrap(),
        distribution: Distribution::K3s,
        token,
        key_pair: None,
        trust: Trust::Token,
    };
    block_on(K3sClient::connect(config)).unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
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
