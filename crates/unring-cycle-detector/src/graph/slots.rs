//! Ids as dense numbers.

use std::collections::HashMap;

use super::csr::narrow;
use crate::model::NodeId;

/// A number for each id that is in use, given out again once nothing uses it.
#[derive(Debug, Clone)]
pub(super) struct Slots<N> {
    by_id: HashMap<N, u32>,
    /// Id and uses, by slot; no id while it is free.
    ids: Vec<(Option<N>, u32)>,
    free: Vec<u32>,
}

impl<N: NodeId> Slots<N> {
    pub(super) fn new() -> Self {
        Slots { by_id: HashMap::new(), ids: Vec::new(), free: Vec::new() }
    }

    /// One more than the greatest slot ever given out.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn get(&self, id: &N) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    pub(super) fn id(&self, slot: u32) -> Option<&N> {
        self.ids.get(slot as usize)?.0.as_ref()
    }

    /// The slot of `id`, used once more.
    pub(super) fn take(&mut self, id: &N) -> u32 {
        let slot = match self.by_id.get(id) {
            Some(&slot) => slot,
            None => {
                let slot = self.free.pop().unwrap_or_else(|| {
                    self.ids.push((None, 0));
                    narrow(self.ids.len() - 1)
                });
                self.by_id.insert(id.clone(), slot);
                self.ids[slot as usize].0 = Some(id.clone());
                slot
            }
        };
        self.ids[slot as usize].1 += 1;
        slot
    }

    /// Used once less.
    pub(super) fn give_back(&mut self, slot: u32) {
        let (id, uses) = &mut self.ids[slot as usize];
        *uses -= 1;
        if *uses == 0
            && let Some(id) = id.take()
        {
            self.by_id.remove(&id);
            self.free.push(slot);
        }
    }

    #[cfg(test)]
    pub(super) fn in_use(&self) -> usize {
        self.by_id.len()
    }
}
