//! What a node has to do with K3s and RKE2.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::read::{from_str, path};
use super::{ConfigError, Settings};

/// What a node has to do with K3s and RKE2. Files are read when it is built.
#[derive(Clone, Debug, Default)]
pub struct K3s {
    /// Where `/v1-k3s/p2p` is served, over TLS; none: nowhere.
    pub listen: Option<SocketAddr>,
    /// The listener's certificate, in PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, in PEM.
    pub key: Option<PathBuf>,
    /// The CA of the cluster's servers, in PEM: what `/cacerts` serves.
    pub ca: Option<PathBuf>,
    /// The CA whose client certificates are let in, in PEM.
    pub client_ca: Option<PathBuf>,
    /// Join tokens, one a line: whoever knows one is let in.
    pub token_file: Option<PathBuf>,
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
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let needs = |key, needs| Err(ConfigError::Incomplete { key, needs });
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
