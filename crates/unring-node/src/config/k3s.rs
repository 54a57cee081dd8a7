//! What a node has to do with K3s and RKE2.

use std::net::SocketAddr;
use std::path::PathBuf;

use toml::Value;
use unring_k3s::suspect::MAX_SERVERS;
use unring_k3s::{Distribution, ServerUrl};

use super::read::{from_str, path};
use super::{ConfigError, Settings};

/// What a node has to do with K3s and RKE2. Files are read when it is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct K3s {
    /// Where `/v1-k3s/p2p` is served, over TLS; none: nowhere.
    pub listen: Option<SocketAddr>,
    /// The listener's certificate, in PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, in PEM.
    pub key: Option<PathBuf>,
    /// The CA of the cluster's servers, in PEM: what `/cacerts` serves, and by which [`servers`](Self::servers) are known.
    pub ca: Option<PathBuf>,
    /// The CA whose client certificates are let in, in PEM.
    pub client_ca: Option<PathBuf>,
    /// Join tokens, one a line: whoever knows one is let in, and the first is what this node says to servers.
    pub token_file: Option<PathBuf>,
    /// Servers that are asked for first peers.
    pub servers: Vec<ServerUrl>,
    /// Which product they are.
    pub distribution: Distribution,
    /// This node's certificate for them, in PEM.
    pub client_certificate: Option<PathBuf>,
    /// Its private key, in PEM.
    pub client_key: Option<PathBuf>,
}

impl K3s {
    pub(super) fn read(s: &Settings) -> Result<Self, ConfigError> {
        let config = Self {
            listen: s.parse("k3s.listen", from_str)?,
            certificate: s.parse("k3s.certificate", path)?,
            key: s.parse("k3s.key", path)?,
            ca: s.parse("k3s.ca", path)?,
            client_ca: s.parse("k3s.client_ca", path)?,
            token_file: s.parse("k3s.token_file", path)?,
            servers: s.parse_list("k3s.servers", MAX_SERVERS, from_str)?.unwrap_or_default(),
            distribution: s.parse("k3s.distribution", distribution)?.unwrap_or(Distribution::K3s),
            client_certificate: s.parse("k3s.client_certificate", path)?,
            client_key: s.parse("k3s.client_key", path)?,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let needs = |key, needs| Err(ConfigError::Incomplete { key, needs });
        if !self.servers.is_empty() && self.token_file.is_none() {
            return needs("k3s.servers", "k3s.token_file");
        }
        match (&self.client_certificate, &self.client_key) {
            (Some(_), None) => return needs("k3s.client_certificate", "k3s.client_key"),
            (None, Some(_)) => return needs("k3s.client_key", "k3s.client_certificate"),
            _ => {}
        }
        if self.listen.is_none() {
            return Ok(());
        }
        if self.certificate.is_none() || self.key.is_none() {
            return needs("k3s.listen", "k3s.certificate and k3s.key");
        }
        match self.token_file.is_none() && self.client_ca.is_none() {
            true => needs("k3s.listen", "k3s.token_file or k3s.client_ca, or nobody is let in"),
            false => Ok(()),
        }
    }
}

fn distribution(value: &Value) -> Option<Distribution> {
    match value.as_str()? {
        "k3s" => Some(Distribution::K3s),
        "rke2" => Some(Distribution::Rke2),
        _ => None,
    }
}
