//! Which product, and so which paths.

/// K3s or RKE2: the same protocol under two names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// On the port of the API server, usually 6443.
    K3s,
    /// On the supervisor's port, usually 9345.
    Rke2,
}

/// Where a server's CA is, for everybody.
pub(crate) const CA_PATH: &str = "/cacerts";

impl Distribution {
    /// Where its peer addresses are.
    #[must_use]
    pub fn peers_path(self) -> &'static str {
        match self {
            Self::K3s => "/v1-k3s/p2p",
            Self::Rke2 => "/v1-rke2/p2p",
        }
    }
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Peers,
    Ca,
    Nowhere,
}

impl Route {
    /// By the exact path, for both products at once; whoever asks knows which it is.
    pub(crate) fn of(path: &str) -> Self {
        match path {
            CA_PATH => Self::Ca,
            _ if [Distribution::K3s, Distribution::Rke2].iter().any(|d| d.peers_path() == path) => {
                Self::Peers
            }
            _ => Self::Nowhere,
        }
    }
}
