//! What the thread that writes to disk sees of the engine.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Weak};

use tokio::runtime::Handle;
use unring_cycle_detector::RingMemory;
use unring_exchange::{Grave, Now};
use unring_peer::{PeerId, SignedRecord, UnverifiedRecord};

use super::{Exchange, Shared};
use crate::keeper::{Source, Writer};

/// Records taken over from a file at a time: as many signatures are checked while others wait for the lock.
const SLICE: usize = 32;

/// The engine, and where its events belong.
struct Engine {
    exchange: Exchange,
    p2p: Handle,
}

impl Exchange {
    /// Starts to write what changes.
    pub(crate) fn start_keeper(&self, writer: Writer, p2p: &Handle) -> io::Result<()> {
        let (shared, p2p): (Weak<Shared>, _) = (Arc::downgrade(&self.0), p2p.clone());
        self.0.keeper.start(writer, move || {
            let exchange = Exchange(shared.upgrade()?);
            Some(Engine { exchange, p2p: p2p.clone() })
        })
    }
}

impl Source for Engine {
    fn now(&self) -> Now {
        self.exchange.now()
    }

    fn book_changes(&self, version: u64, at_most: usize) -> (Vec<SignedRecord>, u64) {
        self.exchange.read(|engine, _| engine.book_changes(version, at_most))
    }

    fn evicted(&self, before: u64) -> Option<(u64, BTreeSet<PeerId>)> {
        self.exchange.read(|engine, _| {
            let evictions = engine.evictions();
            (evictions != before).then(|| (evictions, engine.known_peers()))
        })
    }

    fn ring_memory(&self) -> RingMemory<PeerId> {
        self.exchange.read(|engine, _| engine.ring_memory())
    }

    fn restore(&self, graves: Vec<Grave>, mut book: Vec<UnverifiedRecord>) {
        let exchange = self.exchange.clone();
        // On the runtime that P2P work is metered on, like every event.
        drop(self.p2p.spawn(async move {
            exchange.event(|state, now| state.engine.restore_graves(now, graves));
            while !book.is_empty() {
                let slice = book.split_off(book.len().saturating_sub(SLICE));
                exchange.event(|state, now| state.engine.restore_book(now, slice));
                tokio::task::yield_now().await;
            }
        }));
    }

    fn seq_persisted(&self, seq: u64) {
        let exchange = self.exchange.clone();
        drop(self.p2p.spawn(async move {
            exchange.event(|state, now| state.engine.on_seq_persisted(now, seq));
        }));
    }
}
