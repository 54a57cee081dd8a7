//! TLS that changes while connections are open.

use std::fmt;
use std::sync::{Arc, RwLock};

use rustls::{ClientConfig, ServerConfig};

use super::{TlsError, TlsIdentity};

/// What a node shows and takes in TLS handshakes, both ways. Clones share it: a change holds from the next handshake on, and
/// connections that are open stay open.
#[derive(Clone)]
pub struct TlsSwitch(Arc<RwLock<Configs>>);

struct Configs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Configs {
    fn of(identity: &TlsIdentity) -> Result<Self, TlsError> {
        Ok(Self { server: identity.server_config()?, client: identity.client_config()? })
    }
}

impl TlsSwitch {
    /// Shows `identity`, for now.
    ///
    /// # Errors
    /// When the TLS library refuses the configuration.
    pub fn new(identity: &TlsIdentity) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(RwLock::new(Configs::of(identity)?))))
    }

    /// Shows `identity` from the next handshake on.
    ///
    /// # Errors
    /// When the TLS library refuses the configuration; nothing changes then.
    pub fn set(&self, identity: &TlsIdentity) -> Result<(), TlsError> {
        let configs = Configs::of(identity)?;
        *self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = configs;
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn with_client(&self, client: ClientConfig) -> Self {
        let (server, client) = (self.server(), Arc::new(client));
        Self(Arc::new(RwLock::new(Configs { server, client })))
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner()).server)
    }

    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner()).client)
    }
}

impl fmt::Debug for TlsSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsSwitch(..)")
    }
}
