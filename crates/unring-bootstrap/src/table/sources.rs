//! Which sources there are, and what they found.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use unring_peer::{PeerAddress, PeerId};

use super::{Action, Table, TooManySources};
use crate::entry::{Entry, Phase, SourceView};
use crate::limits::MAX_SOURCES;
use crate::source::Kind;

impl Table {
    /// Adds a source, which is tried with the next [`on_timer`](Self::on_timer); its number.
    ///
    /// # Errors
    /// When there are [`MAX_SOURCES`] already.
    pub fn add(
        &mut self,
        now: Duration,
        kind: Kind,
        name: String,
    ) -> Result<usize, TooManySources> {
        if self.entries.len() >= MAX_SOURCES {
            return Err(TooManySources);
        }
        let number = self.added;
        self.added += 1;
        self.entries.insert(number, Entry::new(now, kind, name, self.begun));
        Ok(number)
    }

    /// Forgets a source and whom it found; what still comes of its attempts is ignored.
    pub fn remove(&mut self, source: usize) {
        if self.entries.remove(&source).is_some_and(|entry| !entry.peers.is_empty()) {
            self.actions.push(Action::PeersChanged);
        }
    }

    /// A source is asked in another way from now on: it is due at once, whatever it told before. Who was found is kept until
    /// it has answered; an attempt that is under way is given up.
    pub fn again(&mut self, now: Duration, source: usize) {
        if let Some(entry) = self.entries.get_mut(&source) {
            entry.failures = 0;
            entry.phase = Phase::Waiting { due: now };
        }
    }

    /// Who was found and where, over all sources: whom to stay connected to. At most [`crate::limits::MAX_FOUND`] peers of each
    /// source.
    #[must_use]
    pub fn peers(&self) -> BTreeMap<PeerId, BTreeSet<PeerAddress>> {
        let mut all: BTreeMap<PeerId, BTreeSet<PeerAddress>> = BTreeMap::new();
        for (peer, addresses) in self.entries.values().flat_map(|entry| &entry.peers) {
            all.entry(*peer).or_default().extend(addresses.iter().cloned());
        }
        all
    }

    /// Whether each source has been tried once, whatever came of it. Those that were added while the node ran do not count:
    /// a node that is ready stays so.
    #[must_use]
    pub fn all_tried(&self) -> bool {
        self.entries.values().all(|entry| entry.is_late || entry.last.is_some())
    }

    /// One source.
    #[must_use]
    pub fn view(&self, source: usize) -> Option<SourceView> {
        self.entries.get(&source).map(Entry::view)
    }

    /// All sources, in the order in which they were added.
    #[must_use]
    pub fn views(&self) -> Vec<SourceView> {
        self.entries.values().map(Entry::view).collect()
    }
}
