//! Who has called, bounded.

use std::collections::{BTreeMap, HashMap};

use crate::model::NodeId;

/// Callers seen, the least recently seen one first to go.
#[derive(Debug)]
pub(super) struct Callers<N> {
    cap: usize,
    turn: u64,
    by_id: HashMap<N, u64>,
    by_turn: BTreeMap<u64, N>,
}

impl<N: NodeId> Callers<N> {
    pub(super) fn new(cap: usize) -> Self {
        Callers { cap, turn: 0, by_id: HashMap::new(), by_turn: BTreeMap::new() }
    }

    pub(super) fn contains(&self, caller: &N) -> bool {
        self.by_id.contains_key(caller)
    }

    /// Whether it is new.
    pub(super) fn seen(&mut self, caller: &N) -> bool {
        self.turn += 1;
        let before = self.by_id.insert(caller.clone(), self.turn);
        if let Some(before) = before {
            self.by_turn.remove(&before);
        }
        self.by_turn.insert(self.turn, caller.clone());
        if self.by_id.len() > self.cap
            && let Some((_, oldest)) = self.by_turn.pop_first()
        {
            self.by_id.remove(&oldest);
        }
        before.is_none()
    }
}
