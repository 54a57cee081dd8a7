//! How many entries the store holds, in total and of newcomers, in one word so that both limits are checked at once.

use crate::outcome::Standing;
use crate::sync::{AtomicU64, Ordering};

const ONE: u64 = 1 << 32;

/// Entries in memory: the total in the upper half, newcomers' in the lower. Alone on its pair of cache lines: every new entry
/// writes it, and what lies beside it in the store is read by every call.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Occupancy(AtomicU64);

/// A limit that left no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRoom {
    pub(crate) held: u32,
    pub(crate) limit: u32,
}

/// The limits, each of which holds for every change of the counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) total: u32,
    pub(crate) newcomers: u32,
}

impl Occupancy {
    pub(crate) fn total(&self) -> u32 {
        split(self.0.load(Ordering::Relaxed)).0
    }

    /// Takes a place, and gives back that of an expired entry which is replaced, in one step.
    pub(crate) fn take(
        &self,
        standing: Standing,
        replaced: Option<Standing>,
        limits: Limits,
    ) -> Result<(), NoRoom> {
        let freed = replaced.map_or(0, weight);
        let mut before = self.0.load(Ordering::Relaxed);
        loop {
            let (total, newcomers) = split(before - freed);
            if total >= limits.total {
                return Err(NoRoom { held: total, limit: limits.total });
            }
            if standing == Standing::Newcomer && newcomers >= limits.newcomers {
                return Err(NoRoom { held: newcomers, limit: limits.newcomers });
            }
            let after = before - freed + weight(standing);
            // Relaxed: the word guards no other memory, the entries themselves are behind the map's locks.
            match self.0.compare_exchange_weak(before, after, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(changed) => before = changed,
            }
        }
    }

    /// Gives back the places of entries that were removed.
    pub(crate) fn release(&self, gone: Gone) {
        self.0.fetch_sub(gone.0, Ordering::Relaxed);
    }
}

/// Places of removed entries that are yet to be given back.
#[derive(Debug, Default)]
pub(crate) struct Gone(u64);

impl Gone {
    pub(crate) fn add(&mut self, standing: Standing) {
        self.0 += weight(standing);
    }

    pub(crate) fn total(&self) -> u32 {
        split(self.0).0
    }
}

fn weight(standing: Standing) -> u64 {
    ONE + u64::from(standing == Standing::Newcomer)
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of the word")]
fn split(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}
