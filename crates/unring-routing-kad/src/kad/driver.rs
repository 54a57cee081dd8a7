//! Runs look-ups and the sweep, beside the network's loop and in the same task.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;
use unring_routing::Key;

use crate::kad::router::{Advertised, Find};
use crate::kad::sweep::Sweep;
use crate::kad::walker::Walker;
use crate::kad::wire::Contact;

/// Asks and tells others on behalf of the router.
pub(crate) struct Driver {
    walker: Walker,
    own: Contact,
    finds: mpsc::Receiver<Find>,
    advertised: watch::Receiver<Advertised>,
    /// What of it is in the sweep.
    known: BTreeSet<Key>,
    peers: watch::Receiver<usize>,
    sweep: Sweep,
}

impl Driver {
    pub(crate) fn new(
        walker: Walker,
        own: Contact,
        finds: mpsc::Receiver<Find>,
        advertised: watch::Receiver<Advertised>,
        peers: watch::Receiver<usize>,
    ) -> Self {
        let sweep = Sweep::new(walker.config.reprovide_interval, Instant::now());
        Self { walker, own, finds, advertised, known: BTreeSet::new(), peers, sweep }
    }

    #[cfg(test)]
    pub(crate) fn announce(&mut self, addresses: Vec<multiaddr::Multiaddr>) {
        self.own.addresses = addresses;
    }

    /// Runs until the router is gone.
    pub(crate) async fn run(mut self) {
        let walker = self.walker.clone();
        let own = self.own.clone();
        let most = walker.config.lookup.keys.get();
        let mut finding = FuturesUnordered::new();
        // At most one: the next keys are told when these have been.
        let mut providing = FuturesUnordered::new();
        let mut reached = *self.peers.borrow_and_update() > 0;
        loop {
            self.walker.gauges.pending.store(self.sweep.pending(), Ordering::Relaxed);
            let due = self.sweep.next_due().filter(|_| providing.is_empty());
            tokio::select! {
                find = self.finds.recv(), if finding.len() < most => {
                    let Some((key, mut reply)) = find else { return };
                    let walker = &walker;
                    finding.push(async move {
                        walker.gauges.lookups.fetch_add(1, Ordering::Relaxed);
                        // A look-up that nobody waits for any more ends.
                        tokio::select! {
                            found = walker.find(key) => drop(reply.send(found)),
                            () = reply.closed() => {}
                        }
                    });
                }
                Some(()) = finding.next(), if !finding.is_empty() => {}
                Some((some_told, untold)) = providing.next(), if !providing.is_empty() => {
                    let untold: Vec<Key> = untold;
                    if some_told {
                        self.sweep.succeeded();
                    }
                    if !untold.is_empty() {
                        tracing::debug!(keys = untold.len(), "nobody could be told of some keys");
                        self.sweep.failed(Instant::now(), &untold);
                    }
                }
                changed = self.advertised.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    if self.take_advertised().await.is_err() {
                        return;
                    }
                }
                Ok(()) = self.peers.changed() => {
                    let connected = *self.peers.borrow_and_update() > 0;
                    if connected && !reached {
                        self.sweep.add_all_again();
                    }
                    reached = connected;
                }
                () = async { match due {
                    Some(due) => sleep_until(due.into()).await,
                    None => pending().await,
                }} => {
                    let keys = self.sweep.take_due(Instant::now());
                    if !keys.is_empty() {
                        let (walker, own) = (&walker, own.clone());
                        providing.push(async move {
                            let count = keys.len();
                            let untold = walker.provide(keys, own).await;
                            (untold.len() < count, untold)
                        });
                    }
                }
            }
        }
    }

    async fn take_advertised(&mut self) -> Result<(), crate::kad::client::AskError> {
        let (new, gone): (Vec<Key>, Vec<Key>) = {
            let now = &self.advertised.borrow_and_update().keys;
            (
                now.difference(&self.known).copied().collect(),
                self.known.difference(now).copied().collect(),
            )
        };
        self.sweep.remove(&gone);
        self.sweep.add(&new);
        gone.iter().for_each(|key| _ = self.known.remove(key));
        self.known.extend(&new);
        self.walker.client.own(gone, false).await?;
        self.walker.client.own(new, true).await
    }
}
