//! How a person or a script talks to the nodes.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::child::ChildGuard;
use crate::cluster::Cluster;
use crate::logs;
use crate::node_config;
use crate::node_process::without_unring_variables;
use crate::report::{Endpoint, InOrder, counted};

/// The service and the method that a first call tries.
const METHOD: &str = "unring.peeraddr.v1.PeerAddrService/GetTopology";

/// What `unring client-cert` writes. It may refuse to overwrite an earlier run's.
const CLIENT_FILES: [&str; 2] = ["client.pem", "client.key"];

/// A key pair and a file take milliseconds; a program that hangs must not hold up the run.
const CLIENT_CERT_WITHIN: Duration = Duration::from_secs(10);

/// The endpoints of all nodes, for `cluster.json`.
pub fn endpoints(cluster: &Cluster) -> InOrder<Endpoint> {
    let nodes =
        cluster.nodes().iter().zip(&cluster.topology().nodes).zip(cluster.peer_ids()).enumerate();
    let endpoint = nodes.map(|(index, ((node, spec), peer_id))| {
        let ports = node.ports();
        let endpoint = Endpoint {
            pid: node.pid(),
            peer_id: peer_id.clone(),
            upstreams: cluster.upstream_urls(index),
            grpc: node_config::grpc_url(spec, ports),
            admin: format!("http://{}", ports.admin),
            libp2p: format!("/ip4/{}/tcp/{}/p2p/{peer_id}", ports.libp2p.ip(), ports.libp2p.port()),
            k3s: format!("https://{}", ports.k3s),
            k3s_ca: cluster.k3s().ca().display().to_string(),
            k3s_token: cluster.k3s().token().to_owned(),
            log: node.log().display().to_string(),
        };
        (node.name().to_owned(), endpoint)
    });
    InOrder(endpoint.collect())
}

/// Writes a key and a certificate with which tools can call the nodes, and returns their folder.
///
/// # Errors
/// What went wrong, for people.
pub fn client_cert(unring: &Path, cluster: &Path) -> Result<PathBuf, String> {
    let out = cluster.join("client");
    for file in CLIENT_FILES {
        match fs::remove_file(out.join(file)) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err.to_string()),
            _ => {}
        }
    }
    let log = cluster.join("client-cert.log");
    let stderr = File::create(&log).map_err(|err| format!("{}: {err}", log.display()))?;
    let mut command = Command::new(unring);
    command.arg("client-cert").arg("--out").arg(&out);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    without_unring_variables(&mut command);
    let mut child = ChildGuard::spawn(&mut command).map_err(|err| err.to_string())?;
    let exit =
        child.wait_until(Instant::now() + CLIENT_CERT_WITHIN).map_err(|err| err.to_string())?;
    match exit.status.success() {
        true => Ok(out),
        false => Err(format!("{exit}: {}", logs::tail(&log, 3))),
    }
}

/// Lines that work as they are printed: a gRPC call of the first node, its metrics and status, the logs. Nodes in namespaces are
/// reached from there alone, which `prefix` does.
pub fn how_to(cluster: &Cluster, client: Option<&Path>, prefix: &str) -> String {
    let mut lines = vec![format!(
        "{} with {} ({}) ready after {:.1} s. To talk to the first:",
        counted(cluster.nodes().len(), "node"),
        counted(cluster.topology().joins(), "join"),
        cluster.topology().name,
        cluster.ready_after().as_secs_f64()
    )];
    if let (Some(node), Some(spec)) = (cluster.nodes().first(), cluster.topology().nodes.first()) {
        let (grpc, admin) = (node.ports().grpc, node.ports().admin);
        match (node_config::has_tls(spec), client) {
            (false, _) => lines.push(format!("  {prefix}grpcurl -plaintext {grpc} {METHOD}")),
            (true, Some(client)) => lines.push(format!(
                "  {prefix}grpcurl -insecure -cert {} -key {} {grpc} {METHOD}",
                quoted(&client.join(CLIENT_FILES[0])),
                quoted(&client.join(CLIENT_FILES[1])),
            )),
            // Without a certificate no call would be answered.
            (true, None) => {}
        }
        lines.push(format!("  {prefix}curl http://{admin}/metrics"));
        lines.push(format!("  {prefix}curl http://{admin}/statusz"));
        let k3s = cluster.k3s();
        lines.push(format!(
            "  {prefix}curl --cacert {} --oauth2-bearer {} https://{}/v1-k3s/p2p",
            quoted(&k3s.ca()),
            k3s.token(),
            node.ports().k3s
        ));
        lines.push(format!("  tail -f {}", quoted(&node.log())));
    }
    lines.push(format!("All of them: {}", quoted(&cluster.dir().path().join("cluster.json"))));
    lines.join("\n")
}

/// A path as a POSIX shell takes it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%=".contains(c);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{client_cert, quoted};

    #[test]
    fn a_program_that_writes_no_certificate_is_named_with_what_it_said() {
        let dir = tempfile::tempdir().unwrap();
        let error = client_cert(Path::new("/bin/cat"), dir.path()).unwrap_err();
        assert!(error.starts_with("exit code 1: ") && error.contains("--out"), "{error}");
        let error = client_cert(Path::new("/no/unring"), dir.path()).unwrap_err();
        assert!(error.contains("No such file"), "{error}");
    }

    #[test]
    fn a_path_survives_the_shell() {
        assert_eq!(quoted(Path::new("/a/b-1.toml")), "/a/b-1.toml");
        assert_eq!(quoted(Path::new("/my files/it's")), r"'/my files/it'\''s'");
    }
}
