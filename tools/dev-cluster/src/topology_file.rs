//! `--topology FILE.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::topology::{MAX_NODES, NodeSpec, Topology, Upstream};

/// What the cluster sets in each node's configuration; a topology file that sets it too would break the cluster.
const OWN_KEYS: [&[&str]; 9] = [
    &["name"],
    &["data_dir"],
    &["upstreams"],
    &["listen", "grpc"],
    &["listen", "libp2p"],
    &["listen", "admin"],
    &["advertise"],
    &["log", "format"],
    &["k3s"],
];

/// What is wrong with a topology file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Not TOML, or not the tables that are expected.
    #[error("not a topology: expected [[node]] tables with name, upstreams and, if wanted, config")]
    Syntax(#[source] Box<toml::de::Error>),
    /// No node, or too many.
    #[error("{got} nodes: expected 1 to {MAX_NODES}")]
    Size {
        /// Nodes in the file.
        got: usize,
    },
    /// A name that cannot be a folder's and a host's.
    #[error(
        "node {name:?}: a name has 1 to 63 lower-case letters, digits and '-', and starts with a letter"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// Two nodes have one name.
    #[error("node {name:?} is there twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// An upstream is neither a node nor a URL.
    #[error(
        "node {node:?}: upstream {upstream:?} is no node of this file and no http:// or https:// URL"
    )]
    Upstream {
        /// The node.
        node: String,
        /// Its upstream.
        upstream: String,
    },
    /// A node has one upstream twice.
    #[error("node {node:?}: upstream {upstream:?} is there twice")]
    UpstreamTwice {
        /// The node.
        node: String,
        /// Its upstream.
        upstream: String,
    },
    /// The `config` table sets what the cluster sets.
    #[error("node {node:?}: config.{key} is set by the cluster; leave it out")]
    OwnKey {
        /// The node.
        node: String,
        /// The key.
        key: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    node: Vec<Node>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    name: String,
    #[serde(default)]
    upstreams: Vec<String>,
    #[serde(default)]
    config: toml::Table,
}

impl Topology {
    /// Reads a topology file: `[[node]]` tables with `name`, `upstreams` (names of nodes or URLs) and, if wanted, a
    /// `config` table that is merged into that node's configuration.
    ///
    /// # Errors
    /// The first thing in it that makes no sense.
    pub fn from_toml(name: &str, text: &str) -> Result<Self, FileError> {
        let nodes = parse(text)?;
        Ok(Self { name: name.to_owned(), nodes })
    }
}

fn parse(text: &str) -> Result<Vec<NodeSpec>, FileError> {
    let file: File = toml::from_str(text).map_err(|err| FileError::Syntax(Box::new(err)))?;
    if file.node.is_empty() || file.node.len() > MAX_NODES {
        return Err(FileError::Size { got: file.node.len() });
    }
    let mut index = BTreeMap::new();
    for (at, node) in file.node.iter().enumerate() {
        if !is_name(&node.name) {
            return Err(FileError::Name { name: node.name.clone() });
        }
        if index.insert(node.name.clone(), at).is_some() {
            return Err(FileError::Duplicate { name: node.name.clone() });
        }
    }
    file.node.into_iter().map(|node| resolve(node, &index)).collect()
}

fn resolve(node: Node, index: &BTreeMap<String, usize>) -> Result<NodeSpec, FileError> {
    let Node { name, upstreams: written, config } = node;
    let mut upstreams = Vec::new();
    for upstream in written {
        let resolved = match index.get(&upstream) {
            Some(&at) => Upstream::Node(at),
            None if is_url(&upstream) => Upstream::Url(upstream.clone()),
            None => return Err(FileError::Upstream { node: name, upstream }),
        };
        if upstreams.contains(&resolved) {
            return Err(FileError::UpstreamTwice { node: name, upstream });
        }
        upstreams.push(resolved);
    }
    if let Some(key) = OWN_KEYS.into_iter().find(|path| is_set(&config, path)) {
        return Err(FileError::OwnKey { node: name, key: key.join(".") });
    }
    Ok(NodeSpec { name, upstreams, config })
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(plain)
}

fn is_url(upstream: &str) -> bool {
    upstream.starts_with("https://") || upstream.starts_with("http://")
}

fn is_set(config: &toml::Table, path: &[&str]) -> bool {
    match path {
        [] => true,
        [last] => config.contains_key(*last),
        [table, rest @ ..] => config
            .get(*table)
            .and_then(toml::Value::as_table)
            .is_some_and(|table| is_set(table, rest)),
    }
}
