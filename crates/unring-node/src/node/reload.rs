//! What can change while a node runs.

use std::sync::Arc;

use super::{Node, Parts, dht};
use crate::config::Config;
use crate::log::NODE;
use crate::{k3s, security, sources};

/// Changes a running node: its upstreams, its CPU budget, the keys it names, who belongs to its cluster, and where its first peers come from,
/// K3s's files included. Where it listens, and everything else, needs a restart.
#[derive(Clone, Debug)]
pub struct Reload(Arc<Parts>);

impl Node {
    /// A handle to change the node while it runs.
    #[must_use]
    pub fn reload(&self) -> Reload {
        Reload(Arc::clone(&self.parts))
    }
}

impl Reload {
    /// Takes over what can change while running: soon, on the runtime that P2P work is metered on.
    pub fn apply(&self, config: Config) {
        security::take_over(&self.0, config.security.clone());
        k3s::renew(&self.0, Some(config.k3s.clone()));
        sources::renew(&self.0, Some(config.bootstrap.clone()));
        let parts = Arc::clone(&self.0);
        drop(self.0.p2p.spawn(async move { take_over(&parts, &config) }));
    }
}

fn take_over(parts: &Parts, config: &Config) {
    parts.level.configure(config.limits.cpu_budget);
    dht::provide(parts, &config.dht);
    let addresses: Vec<_> = config.upstreams.iter().map(ToString::to_string).collect();
    let upstreams = parts.exchange.joins_since(&addresses);
    parts.exchange.event(|state, now| state.engine.set_upstreams(now, upstreams));
    parts.exchange.retain_clients(&addresses);
    tracing::info!(
        target: NODE,
        event = "reloaded",
        upstreams = addresses.join(", "),
        cpu_budget_percent = config.limits.cpu_budget.percent(),
        "upstreams, CPU budget, dht.advertise and the keys of security, k3s and bootstrap are taken over, but for where the node listens; other keys take effect at the next start"
    );
}
