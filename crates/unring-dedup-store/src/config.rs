//! What a store is built with.

use std::num::NonZeroUsize;
use std::time::Duration;

/// Most entries that a store can be told to hold. Two counts share one 64-bit word so that both change at once.
pub const MAX_CAPACITY: usize = u32::MAX as usize;

/// Bounds of a [`DedupStore`](crate::DedupStore). There is no default: the right numbers are the protocol's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `T`: an entry is remembered for at least this and at most twice this. Less than 1 ns is taken as 1 ns.
    pub retention: Duration,
    /// Most entries at any time, expired ones that are still in memory included. Above [`MAX_CAPACITY`] it is taken as that.
    /// At the cap a new key is refused with [`Outcome::Full`](crate::Outcome::Full).
    pub capacity: NonZeroUsize,
    /// Most entries that one introducer may have alive, so that one caller cannot fill the store.
    /// At the cap its new keys are refused with [`Outcome::IntroducerFull`](crate::Outcome::IntroducerFull).
    pub per_introducer: NonZeroUsize,
    /// How much of `capacity` newcomers together never get. From `capacity` on, newcomers get nothing.
    pub reserved_for_known: usize,
}
