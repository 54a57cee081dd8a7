//! Where an address led, each time that it was looked at.

use std::collections::{BTreeSet, VecDeque};

use unring_peer::{PeerId, limits};

use crate::config::{TARGET_MEMORY, TARGET_WINDOW};

/// The nodes that answered at the last [`TARGET_MEMORY`] looks, over a new connection each.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    /// Newest at the end.
    window: VecDeque<PeerId>,
    /// Looks since the address led to another node than all the time before.
    since_move: Option<usize>,
}

impl Looks {
    /// Adds a look. The answer says that it led elsewhere than all the time before: to a node that replaced the one
    /// before, or through a load balancer. [`TARGET_WINDOW`] more looks tell; when all of them led to the new node, the
    /// one before is forgotten.
    pub(crate) fn add(&mut self, peer: PeerId) -> bool {
        let moved = !self.contains(&peer) && self.targets().len() == 1;
        if self.window.len() >= TARGET_MEMORY {
            self.window.pop_front();
        }
        self.window.push_back(peer);
        self.since_move = if moved { Some(1) } else { self.since_move.map(|looks| looks + 1) };
        if self.since_move.is_some_and(|looks| looks >= TARGET_WINDOW) {
            self.since_move = None;
            let earlier = self.window.len().saturating_sub(TARGET_WINDOW);
            if self.window.range(earlier..).all(|looked| *looked == peer) {
                self.window.drain(..earlier);
            }
        }
        moved
    }

    /// Where it led before a restart, until it is looked at.
    pub(crate) fn restore(&mut self, targets: impl Iterator<Item = PeerId>) {
        if self.window.is_empty() {
            self.window.extend(targets.take(TARGET_WINDOW - 1));
        }
    }

    /// Those who answered, the most recent ones when they are more than a record may name.
    pub(crate) fn targets(&self) -> BTreeSet<PeerId> {
        let mut targets = BTreeSet::new();
        for peer in self.window.iter().rev() {
            if targets.len() >= limits::MAX_TARGETS {
                break;
            }
            targets.insert(*peer);
        }
        targets
    }

    pub(crate) fn contains(&self, peer: &PeerId) -> bool {
        self.window.contains(peer)
    }

    pub(crate) fn last(&self) -> Option<&PeerId> {
        self.window.back()
    }

    /// Looks that are remembered.
    pub(crate) fn count(&self) -> usize {
        self.window.len()
    }

    /// Whether there were enough looks to tell a plain join from a shared one.
    pub(crate) fn are_enough(&self) -> bool {
        self.window.len() >= TARGET_WINDOW
    }
}
