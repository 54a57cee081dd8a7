//! Time as the store counts it: whole generations of `T`, and the stamp that each entry carries.
//!
//! Generation `n` starts at `n * T`. An entry is alive in its own generation and in the next one, so its age at the end is
//! more than `T` and at most `2T`, and moving one boundary expires a whole generation at once.

use crate::outcome::Standing;
use crate::timestamp::Timestamp;

/// The largest time that fits a stamp: 292 years since the epoch.
const MAX_NANOS: u64 = u64::MAX >> 1;

/// Nanoseconds since the epoch; times that do not fit are taken as the last one that does.
pub(crate) fn nanos<C: Timestamp>(time: C, epoch: C) -> u64 {
    time.nanos_since(epoch).min(MAX_NANOS)
}

/// The start of a generation, in nanoseconds, with the length of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation {
    pub(crate) start: u64,
    pub(crate) length: u64,
}

impl Generation {
    /// The generation that `now` is in.
    pub(crate) fn at(now: u64, length: u64) -> Self {
        Self { start: now - now % length, length }
    }

    /// Whether `now` is past the end of this generation.
    pub(crate) fn is_over(self, now: u64) -> bool {
        now.saturating_sub(self.start) >= self.length
    }

    /// The start of the generation before.
    pub(crate) fn previous_start(self) -> u64 {
        self.start.saturating_sub(self.length)
    }

    /// Whether an entry with this stamp is remembered in this generation.
    pub(crate) fn remembers(self, stamp: Stamp) -> bool {
        stamp.nanos() >= self.previous_start()
    }
}

/// When an entry was made and for whom, in 8 bytes: the lowest bit says newcomer, the rest are nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(u64);

impl Stamp {
    pub(crate) fn new(nanos: u64, standing: Standing) -> Self {
        Self(nanos.min(MAX_NANOS) << 1 | u64::from(standing == Standing::Newcomer))
    }

    pub(crate) fn nanos(self) -> u64 {
        self.0 >> 1
    }

    pub(crate) fn standing(self) -> Standing {
        if self.0 & 1 == 1 { Standing::Newcomer } else { Standing::Known }
    }
}
