//! What the status page says of K3s's path.

use serde::Serialize;
use unring_k3s::suspect::Suspicion;

use crate::node::Parts;

#[derive(Debug, Serialize)]
pub(super) struct K3sStatus {
    listen: Option<String>,
    served: u64,
    unauthorized: u64,
    throttled: u64,
    refused_connections: u64,
    full: u64,
    gave_way: u64,
    reloads: u64,
    failures: u64,
    last_error: Option<String>,
    suspected_rings: Vec<SuspectedRing>,
}

#[derive(Debug, Serialize)]
struct SuspectedRing {
    server: String,
    client: String,
    direct: bool,
    hits: u64,
    others: u64,
    bits: f64,
}

impl K3sStatus {
    pub(super) fn of(parts: &Parts) -> Self {
        let counts = parts.k3s.counters.counts();
        let files = parts.k3s.files.counts();
        Self {
            listen: parts.k3s.listen.map(|listen| format!("https://{listen}")),
            served: counts.served,
            unauthorized: counts.unauthorized,
            throttled: counts.throttled,
            refused_connections: counts.refused_connections,
            full: counts.full,
            gave_way: counts.gave_way,
            reloads: files.reloads,
            failures: files.failures,
            last_error: files.last_error,
            suspected_rings: parts.k3s.rings.suspicions().iter().map(suspected).collect(),
        }
    }
}

fn suspected(ring: &Suspicion) -> SuspectedRing {
    SuspectedRing {
        server: ring.server.to_string(),
        client: ring.client.to_string(),
        direct: ring.direct,
        hits: ring.hits,
        others: ring.others,
        bits: ring.bits,
    }
}
