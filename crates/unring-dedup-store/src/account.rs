//! What one introducer has alive, by generation, so that a whole generation is written off without visiting its entries.

use crate::generation::Generation;

/// Counts of one introducer as of the generation that starts at `start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    start: u64,
    current: usize,
    previous: usize,
}

impl Account {
    pub(crate) fn new(generation: Generation) -> Self {
        Self { start: generation.start, current: 0, previous: 0 }
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
