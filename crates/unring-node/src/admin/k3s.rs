//! What the status page says of K3s's path.

use serde::Serialize;

use crate::node::Parts;

#[derive(Debug, Serialize)]
pub(super) struct K3sStatus {
    listen: Option<String>,
    served: u64,
    unauthorized: u64,
    throttled: u64,
    refused_connections: u64,
}

impl K3sStatus {
    pub(super) fn of(parts: &Parts) -> Self {
        let counts = parts.k3s.counters.counts();
        Self {
            listen: parts.k3s.listen.map(|listen| format!("https://{listen}")),
            served: counts.served,
            unauthorized: counts.unauthorized,
            throttled: counts.throttled,
            refused_connections: counts.refused_connections,
        }
    }
}
