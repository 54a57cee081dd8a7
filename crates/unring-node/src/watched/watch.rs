//! The task that looks.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::node::Parts;
use crate::{k3s, security, sources};

/// How often files are looked at: they are noticed to have changed within this time. A look is a system call for each.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Looks at the files of every part, and at the time, until the node stops. Files are read off the P2P runtime.
pub(crate) async fn watch(parts: Arc<Parts>, stopping: CancellationToken) {
    let mut interval = tokio::time::interval(LOOK_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = interval.tick() => {}
        }
        let looked = Arc::clone(&parts);
        let look = move || {
            security::look(&looked);
            k3s::renew(&looked, None);
            sources::renew(&looked, None);
        };
        // It fails only where the runtime is going away.
        if tokio::task::spawn_blocking(look).await.is_err() {
            return;
        }
    }
}
