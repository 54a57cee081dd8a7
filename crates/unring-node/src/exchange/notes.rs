//! What is written to disk without anybody waiting for it: where joins led, and what was said of rings.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::Notify;
use unring_peer::PeerId;

use super::Exchange;
use crate::errors::chain;
use crate::log::NODE;

/// What has changed since it was last written. At most one entry per configured upstream.
#[derive(Debug, Default)]
pub(super) struct Notes {
    changed: Mutex<Changed>,
    noted: Notify,
}

#[derive(Debug, Default)]
struct Changed {
    targets: BTreeMap<String, Vec<PeerId>>,
    rings: bool,
}

impl Notes {
    /// An upstream's address leads to these nodes.
    pub(super) fn targets(&self, address: String, targets: Vec<PeerId>) {
        self.changed.lock().targets.insert(address, targets);
        self.noted.notify_one();
    }

    /// Something was said of a ring.
    pub(super) fn rings(&self) {
        self.changed.lock().rings = true;
        self.noted.notify_one();
    }
}

impl Exchange {
    /// Writes what changes, off the lock and off the thread that serves, until the node stops.
    pub(crate) async fn keep_notes(self) {
        loop {
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = self.0.notes.noted.notified() => {}
            }
            let exchange = self.clone();
            // It fails only when the runtime is being shut down; what is left is written when the node stops.
            let _ = tokio::task::spawn_blocking(move || exchange.write_notes()).await;
        }
    }

    /// Writes what has changed. A failure is told and what it was about forgotten: the next change writes it again.
    pub(super) fn write_notes(&self) {
        let Changed { targets, rings } = std::mem::take(&mut *self.0.notes.changed.lock());
        let failed = |what: &str, error| {
            tracing::warn!(target: NODE, error = chain(&error), "{what} will not be known after a restart");
        };
        for (address, targets) in targets {
            if let Err(error) = self.0.database.set_targets(&address, &targets) {
                failed("where an upstream led", error);
            }
        }
        if rings {
            let memory = self.0.state.lock().engine.ring_memory();
            if let Err(error) = self.0.database.set_ring_memory(&memory) {
                failed("what was said of a ring", error);
            }
        }
    }
}
