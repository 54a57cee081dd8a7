//! Runs look-ups and the sweep, beside the network's loop and in the same task.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::atomic::Ordering;
use std::time::Instant;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep_until, timeout};
use unring_routing::Key;

use crate::kad::client::AskError;
use crate::kad::config::{BATCH_TIMEOUT, NEWCOMER_TIMEOUT};
use crate::kad::newcomers::Newcomers;
use crate::kad::position::Position;
use crate::kad::router::{Advertised, Find};
use crate::kad::sweep::Sweep;
use crate::kad::walker::{Provided, Walker};
use crate::kad::wire::Contact;

/// What the driver is told.
pub(crate) struct Heard {
    pub(crate) finds: mpsc::Receiver<Find>,
    pub(crate) advertised: watch::Receiver<Advertised>,
    /// Peers in the routing table.
    pub(crate) peers: watch::Receiver<usize>,
    pub(crate) arrived: mpsc::Receiver<PeerId>,
}

/// Asks and tells others on behalf of the router.
pub(crate) struct Driver {
    walker: Walker,
    own: Contact,
    heard: Heard,
    /// What of the advertised is in the sweep.
    known: BTreeSet<Key>,
    sweep: Sweep,
    newcomers: Newcomers,
}

/// A newcomer, and what came of telling it.
type Greeted = (PeerId, Result<(), AskError>);

impl Driver {
    pub(crate) fn new(walker: Walker, own: Contact, heard: Heard, rng: StdRng) -> Self {
        let sweep = Sweep::new(walker.config.reprovide_interval, Instant::now());
        let newcomers = Newcomers::new(sweep.slot(), rng);
        Self { walker, own, heard, known: BTreeSet::new(), sweep, newcomers }
    }

    /// Where others are told that this node is; while that is nowhere, they are told nothing.
    pub(crate) fn announce(&mut self, addresses: Vec<Multiaddr>) {
        self.own.addresses = addresses;
    }

    /// Tells others that somebody else provides what this node does.
    #[cfg(test)]
    pub(crate) fn speak_for(&mut self, peer: PeerId) {
        self.own.peer = peer;
    }

    /// Runs until the router is gone.
    pub(crate) async fn run(mut self) {
        let most = self.walker.config.lookup.keys.get();
        let mut finding = FuturesUnordered::new();
        // At most one of each: the next are told when these have been. A newcomer that is slow to listen holds up newcomers only.
        let mut telling = FuturesUnordered::new();
        let mut greeting = FuturesUnordered::new();
        let mut reached = *self.heard.peers.borrow_and_update() > 0;
        loop {
            self.walker.gauges.pending.store(self.sweep.pending(), Ordering::Relaxed);
            let found = !self.own.addresses.is_empty();
            let sweep = self.sweep.next_due().filter(|_| found && telling.is_empty());
            let newcomer = self.newcomers.next_due().filter(|_| found && greeting.is_empty());
            let due = sweep.into_iter().chain(newcomer).min();
            tokio::select! {
                find = self.heard.finds.recv(), if finding.len() < most => {
                    let Some(find) = find else { return };
                    finding.push(look_up(self.walker.clone(), find));
                }
                Some(()) = finding.next(), if !finding.is_empty() => {}
                Some(told) = telling.next(), if !telling.is_empty() => self.on_told(told),
                Some((peer, told)) = greeting.next(), if !greeting.is_empty() => {
                    self.on_greeted(peer, &told);
                }
                changed = self.heard.advertised.changed() => {
                    if changed.is_err() || self.take_advertised().await.is_err() {
                        return;
                    }
                }
                Ok(()) = self.heard.peers.changed() => {
                    let connected = *self.heard.peers.borrow_and_update() > 0;
                    if connected && !reached {
                        self.sweep.retry();
                    }
                    reached = connected;
                }
                Some(peer) = self.heard.arrived.recv() => {
                    // After a partition the table may have been full all along, with nobody behind it.
                    self.sweep.retry();
                    self.newcomers.arrived(Instant::now(), peer);
                }
                () = async { match due {
                    Some(due) => sleep_until(due.into()).await,
                    None => pending().await,
                }} => {
                    let now = Instant::now();
                    if telling.is_empty() {
                        telling.extend(self.next_telling(now));
                    }
                    if greeting.is_empty() {
                        greeting.extend(self.next_greeting(now));
                    }
                }
            }
        }
    }

    /// New keys, and those that the sweep came by.
    fn next_telling(&mut self, now: Instant) -> Option<BoxFuture<'static, Provided>> {
        let keys = self.sweep.take_due(now);
        if keys.is_empty() {
            return None;
        }
        let (walker, own) = (self.walker.clone(), self.own.clone());
        Some(Box::pin(async move { walker.provide(keys, own, now + BATCH_TIMEOUT).await }))
    }

    /// Somebody who came into reach.
    fn next_greeting(&mut self, now: Instant) -> Option<BoxFuture<'static, Greeted>> {
        let peer = self.newcomers.take_due(now)?;
        let (walker, own) = (self.walker.clone(), self.own.clone());
        let keys: Vec<(Position, Key)> = self.sweep.keys().collect();
        Some(Box::pin(async move {
            let telling = walker.tell_newcomer(peer, &keys, &own);
            (peer, timeout(NEWCOMER_TIMEOUT, telling).await.unwrap_or(Err(AskError::Timeout)))
        }))
    }

    fn on_told(&mut self, told: Provided) {
        let Provided { enough, mut few, nobody, left } = told;
        let now = Instant::now();
        self.sweep.left(&left);
        if enough + few.len() > 0 {
            self.sweep.succeeded();
            few.extend(nobody);
        } else if !nobody.is_empty() {
            tracing::debug!(keys = nobody.len(), "nobody could be told of keys");
            self.sweep.failed(now, &nobody);
        }
        if !few.is_empty() {
            tracing::debug!(keys = few.len(), "too few peers could be told of some keys");
        }
        self.sweep.told_few(now, &few);
    }

    fn on_greeted(&self, peer: PeerId, told: &Result<(), AskError>) {
        match told {
            Ok(()) => tracing::trace!(%peer, "a newcomer knows our keys"),
            // The sweep comes by; when the peer comes back it is told sooner.
            Err(error) => {
                self.walker.gauges.request_failures.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%peer, error = crate::failure::chain(error), "a newcomer was not told of our keys");
            }
        }
    }

    async fn take_advertised(&mut self) -> Result<(), AskError> {
        let (new, gone): (Vec<Key>, Vec<Key>) = {
            let now = &self.heard.advertised.borrow_and_update().keys;
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

async fn look_up(walker: Walker, (key, mut reply): Find) {
    walker.gauges.lookups.fetch_add(1, Ordering::Relaxed);
    // A look-up that nobody waits for any more ends.
    tokio::select! {
        found = walker.find(key) => drop(reply.send(found)),
        () = reply.closed() => {}
    }
}
