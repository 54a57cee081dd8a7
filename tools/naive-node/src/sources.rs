//! Where addresses come from, as `pkg/spegel/bootstrap.go` of K3s has it.

use std::path::PathBuf;
use std::{fs, io};

use crate::address::PeerAddress;
use crate::client::{Call, CallError};

/// One source of addresses.
#[derive(Debug)]
pub enum Source {
    /// The nodes that Kubernetes lists (`serverBootstrapper`).
    Nodes(NodeList),
    /// A server that this node joins, asked over HTTPS (`agentBootstrapper`).
    Server(Call),
    /// The node itself (`selfBootstrapper`).
    Own(PeerAddress),
}

/// The stand-in for the node list of the API server.
#[derive(Debug)]
pub enum NodeList {
    /// A file with a name and an address per line, read for each request: K3s listed nodes live.
    Live {
        /// Which file.
        file: PathBuf,
        /// The name of this node, which is left out.
        own_name: String,
    },
    /// Read once: the informer's cache that came with the fix.
    Cached(Vec<PeerAddress>),
}

/// How sources are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The addresses of all that answer, in order: K3s from January to April 2025.
    Union,
    /// Those of the first that has any: K3s as fixed.
    FirstSuccess,
}

/// The sources of a node (`chainingBootstrapper`).
#[derive(Debug)]
pub struct Chain {
    /// In the order in which they are asked.
    pub sources: Vec<Source>,
    /// What is done with their answers.
    pub rule: Rule,
}

/// Why a source has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The node list cannot be read.
    #[error("cannot read the node list {}", file.display())]
    Nodes {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server did not answer, or not with success.
    #[error("{url}")]
    Server {
        /// Which.
        url: String,
        /// Why.
        #[source]
        source: CallError,
    },
}

impl NodeList {
    /// The addresses of all nodes but this one; what is no address is left out without a word.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(file: &std::path::Path, own_name: &str) -> io::Result<Vec<PeerAddress>> {
        let text = fs::read_to_string(file)?;
        let nodes = text.lines().filter_map(|line| line.split_once(' '));
        let others = nodes.filter(|(name, _)| *name != own_name);
        Ok(others.filter_map(|(_, address)| address.parse().ok()).collect())
    }
}

impl Source {
    async fn get(&self) -> Result<Vec<PeerAddress>, SourceError> {
        match self {
            Self::Nodes(NodeList::Cached(addresses)) => Ok(addresses.clone()),
            Self::Nodes(NodeList::Live { file, own_name }) => NodeList::read(file, own_name)
                .map_err(|source| SourceError::Nodes { file: file.clone(), source }),
            Self::Server(call) => call
                .addresses()
                .await
                .map_err(|source| SourceError::Server { url: call.url(), source }),
            Self::Own(address) => Ok(vec![address.clone()]),
        }
    }
}

impl Chain {
    /// Asks the sources one after the other. An empty list without an error means that nobody has any address.
    ///
    /// # Errors
    /// No source has an address, and some failed: what each of those said.
    pub async fn get(&self) -> Result<Vec<PeerAddress>, Vec<SourceError>> {
        let (mut addresses, mut errors) = (Vec::new(), Vec::new());
        for source in &self.sources {
            match source.get().await {
                Ok(more) => addresses.extend(more),
                Err(error) => errors.push(error),
            }
            if self.rule == Rule::FirstSuccess && !addresses.is_empty() {
                break;
            }
        }
        if addresses.is_empty() && !errors.is_empty() { Err(errors) } else { Ok(addresses) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Chain, NodeList, Rule, Source};
    use crate::address::PeerAddress;

    const A: &str =
        "/ip4/127.0.0.1/tcp/5001/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5";
    const B: &str = "/ip6/::1/tcp/5001/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";

    fn address(text: &str) -> PeerAddress {
        text.parse().unwrap()
    }

    fn get(chain: &Chain) -> Result<Vec<String>, usize> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let addresses = runtime.block_on(chain.get()).map_err(|errors| errors.len())?;
        Ok(addresses.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_node_list_is_read_each_time_and_leaves_the_node_itself_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("nodes");
        std::fs::write(&file, format!("a {A}\nb {B}\nbroken\nc not-an-address\n")).unwrap();
        let nodes = NodeList::Live { file: file.clone(), own_name: "a".into() };
        let chain = Chain { sources: vec![Source::Nodes(nodes)], rule: Rule::Union };
        assert_eq!(get(&chain), Ok(vec![B.to_owned()]));
        std::fs::write(&file, "").unwrap();
        assert_eq!(get(&chain), Ok(Vec::new()));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(get(&chain), Err(1));
    }

    #[test]
    fn all_sources_or_the_first_with_an_address() {
        let chain = |rule| {
            let empty = Source::Nodes(NodeList::Cached(Vec::new()));
            let nodes = Source::Nodes(NodeList::Cached(vec![address(A), address(A)]));
            Chain { sources: vec![empty, nodes, Source::Own(address(B))], rule }
        };
        assert_eq!(get(&chain(Rule::Union)), Ok(vec![A.into(), A.into(), B.into()]));
        assert_eq!(get(&chain(Rule::FirstSuccess)), Ok(vec![A.into(), A.into()]));
    }
}
