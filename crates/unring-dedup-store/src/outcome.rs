//! What the caller says of itself, and what it is told.

use std::time::Duration;

/// How an introducer stands with the node that keeps the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Known from before, say from a record that it signed: it may use the whole store.
    Known,
    /// Anybody else: it may not use the room that is reserved for known introducers.
    Newcomer,
}

/// What became of a key. Only [`Outcome::New`] has entered it. `C` is the store's [`Timestamp`](crate::Timestamp).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Outcome<C = Duration> {
    /// Not seen in the retention, and entered now.
    New,
    /// Seen already.
    Duplicate {
        /// When the key was entered, on the caller's time line. It is later than `now` if a thread with a later clock was first.
        first_seen: C,
    },
    /// Not seen, and not entered: the introducer has as many entries alive as one may have.
    IntroducerFull {
        /// Entries that the introducer has alive.
        held: usize,
        /// Most that it may have.
        limit: usize,
    },
    /// Not seen, and not entered: the store has no room left for an introducer of this standing.
    Full {
        /// Entries that count against the limit: all for a known introducer, those of newcomers or all for a newcomer.
        held: usize,
        /// The limit that was met.
        limit: usize,
    },
}
