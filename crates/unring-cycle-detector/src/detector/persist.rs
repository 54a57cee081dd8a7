//! Across a restart.

use std::{collections::BTreeSet, time::Duration};

use super::{Detector, millis};
use crate::{
    memory::{RememberedNode, RingMemory},
    model::{Join, NodeId, RingId},
    watch::Now,
};

impl<N: NodeId> Detector<N> {
    /// What has been said, to be persisted; see [`RingMemory`].
    pub fn memory(&self) -> RingMemory<N> {
        let rings =
            self.watches.iter().filter_map(|watch| watch.remember(self.polled_at)).collect();
        let open = self.watches.iter().filter(|watch| watch.is_open());
        let members: BTreeSet<&N> = open
            .flat_map(|watch| {
                watch
                    .spoken_members()
                    .iter()
                    .chain(watch.current().into_iter().flat_map(|ring| &ring.members))
            })
            .collect();
        let remembered = |id: &N| {
            let node = self.nodes.get(id)?;
            let inside =
                |join: &&Join<N>| join.targets.iter().any(|target| members.contains(target));
            Some(RememberedNode {
                id: id.clone(),
                name: node.name.clone(),
                joins: node.joins.iter().filter(inside).cloned().collect(),
                unverified_since_unix_ms: self.nodes.forget_at(id).map(|at| {
                    self.epoch_unix_ms
                        .saturating_add(millis(at))
                        .saturating_sub(millis(self.config.forget_unverified_after))
                }),
            })
        };
        let nodes = members.iter().filter_map(|id| remembered(id)).collect();
        RingMemory { rings, nodes }
    }

    /// Takes up what was said before a restart. Remembered nodes count as unverified until their records arrive, so a ring
    /// that was announced stays, and is said to be gone only once a newer record lacks the circuit. What does not fit in the
    /// bounds or does not concern the local node is left out; what is known already stays.
    pub fn restore(&mut self, now: Duration, unix_ms: u64, memory: RingMemory<N>) {
        self.epoch_unix_ms = unix_ms.saturating_sub(millis(now));
        for node in memory.nodes {
            if self.nodes.get(&node.id).is_some()
                || self.check(&node.id, &node.name, &node.joins).is_err()
            {
                continue;
            }
            let age =
                node.unverified_since_unix_ms.map_or(0, |since| unix_ms.saturating_sub(since));
            let left =
                self.config.forget_unverified_after.saturating_sub(Duration::from_millis(age));
            self.nodes.insert(node.id, node.name, node.joins, Some(now + left));
        }
        for mut ring in memory.rings {
            ring.members.sort();
            ring.members.dedup();
            if ring.members.binary_search(&self.config.local).is_err()
                || ring.members.len() > self.config.max_nodes
            {
                continue;
            }
            let id = RingId::of(ring.members.iter().map(N::to_string));
            if let Some(watch) = self.watches.iter_mut().find(|watch| watch.kind() == ring.kind) {
                watch.restore(ring, id, Now { mono: now, unix_ms }, &self.config);
            }
        }
        self.dirty = true;
    }
}
