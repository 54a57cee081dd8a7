//! kubectl, which takes a node for a server of K3s and asks it for peers.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Check, Cluster, dir, said};
use crate::apt;

/// The package of Debian and its kin that has it.
const PACKAGE: &str = "kubernetes-client";

/// Finds it, or installs it.
pub(super) fn prepare() -> Result<Result<Check, String>> {
    Ok(apt::program("kubectl", PACKAGE)?.map(|program| -> Check {
        println!("{} speaks to the cluster", program.display());
        Box::new(move |cluster: &Cluster| {
            check(&program, cluster)?;
            Ok("answered with a token, refused without, on K3s's path and RKE2's".to_owned())
        })
    }))
}

/// A node of `cluster.json`.
struct Node {
    k3s: String,
    ca: String,
    token: String,
    libp2p: String,
}

fn check(kubectl: &Path, cluster: &Cluster) -> Result<()> {
    let nodes = cluster.nodes()?;
    let nodes = nodes.as_object().context("cluster.json is an object")?;
    let text = |node: &Value, field: &str| {
        let value = node[field].as_str().map(str::to_owned);
        value.with_context(|| format!("cluster.json says no {field}"))
    };
    let read = |node: &Value| -> Result<Node> {
        Ok(Node {
            k3s: text(node, "k3s")?,
            ca: text(node, "k3s_ca")?,
            token: text(node, "k3s_token")?,
            libp2p: text(node, "libp2p")?,
        })
    };
    let nodes = nodes.values().map(read).collect::<Result<Vec<_>>>()?;
    for node in &nodes {
        for path in ["/v1-k3s/p2p", "/v1-rke2/p2p"] {
            // kubectl asks for `application/json, */*`, which as in K3s is one address as text.
            let told = get(kubectl, node, path, &["--token", &node.token])?;
            ensure!(told.status.success(), "{path} with a token: {}", said(&told));
            let told = String::from_utf8_lossy(&told.stdout).trim().to_owned();
            let others = nodes.iter().filter(|other| other.k3s != node.k3s);
            let others: Vec<_> = others.map(|other| other.libp2p.as_str()).collect();
            ensure!(others.contains(&told.as_str()), "{told} is none of {others:?}");
        }
        let wrong = ["--token", "abcdef.0123456789abcdef"];
        let stranger = ["--username", "nobody", "--password", "guess"];
        for credentials in [&wrong[..], &stranger] {
            let refused = get(kubectl, node, "/v1-k3s/p2p", credentials)?;
            let said = said(&refused);
            ensure!(!refused.status.success(), "answered with {credentials:?}: {said}");
            ensure!(said.contains("Unauthorized"), "refused in other words: {said}");
        }
        // Without any, kubectl asks for a name before it asks the server.
        let refused = get(kubectl, node, "/v1-k3s/p2p", &[])?;
        let said = said(&refused);
        ensure!(!refused.status.success() && !said.contains("/p2p/"), "answered anybody: {said}");
    }
    Ok(())
}

fn get(kubectl: &Path, node: &Node, path: &str, credentials: &[&str]) -> Result<Output> {
    let mut command = Command::new(kubectl);
    command.args(["get", "--raw", path, "--server", &node.k3s]);
    command.args(["--certificate-authority", &node.ca]);
    command.arg("--cache-dir").arg(dir().join("kube"));
    command.args(credentials);
    let shown = credentials.first().copied().unwrap_or("(no credentials)");
    println!("$ kubectl get --raw {path} --server {} {shown} ...", node.k3s);
    // Nothing that the machine has configured: no other cluster, no other user.
    command.env("KUBECONFIG", "/dev/null").stdin(Stdio::null());
    command.output().context("run kubectl")
}
