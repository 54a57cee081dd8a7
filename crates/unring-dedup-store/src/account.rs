//! What one introducer has alive, by generation, so that a whole generation is written off without visiting its entries.

use crate::generation::Generation;
use crate::sync::{Arc, Mutex, MutexGuard};

/// An account as the store and the handles of its introducer share it. Its lock is the last that is taken.
pub(crate) type SharedAccount = Arc<Mutex<Account>>;

/// Nothing that can panic runs under this lock, so a poisoned one is as good.
pub(crate) fn lock(account: &SharedAccount) -> MutexGuard<'_, Account> {
    account.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Counts of one introducer as of the generation that starts at `start`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Account {
    start: u64,
    current: usize,
    previous: usize,
}

impl Account {
    pub(crate) fn new(generation: Generation) -> Self {
        Self { start: generation.start, ..Self::default() }
    }

    /// Writes off what has expired. A generation older than the account's own changes nothing.
    pub(crate) fn advance(&mut self, to: Generation) {
        if to.start <= self.start {
            return;
        }
        self.previous = if to.previous_start() == self.start { self.current } else { 0 };
        self.current = 0;
        self.start = to.start;
    }

    pub(crate) fn held(self) -> usize {
        self.current + self.previous
    }

    /// Charges an entry made in `generation`. A thread that slept through a rotation charges the generation that it stamped.
    pub(crate) fn charge(&mut self, generation: Generation) {
        if generation.start >= self.start {
            self.current += 1;
        } else if generation.start.saturating_add(generation.length) == self.start {
            self.previous += 1;
        }
    }
}
