//! How many callers ask at present, which is what the total is shared by.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::bucket::Slot;

/// Callers are counted in windows of this length: a caller that asks once a minute takes a sixtieth of a share.
pub(crate) const WINDOW: Duration = Duration::from_secs(1);

/// Callers seen in the present window and in the one before. Counts at the seam of two windows may be off by the calls that
/// run at that moment; they serve as an estimate.
#[derive(Debug, Default)]
pub(crate) struct ActiveCallers {
    window: AtomicU64,
    current: AtomicU32,
    previous: AtomicU32,
}

impl ActiveCallers {
    /// Counts a caller if it is its first call in this window, and returns how many there are, at least 1.
    pub(crate) fn touch(&self, slot: &Slot, elapsed: Duration) -> u32 {
        let window = elapsed.as_secs() / WINDOW.as_secs();
        let before = self.window.load(Ordering::Relaxed);
        if window > before
            && self
                .window
                .compare_exchange(before, window, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            let ended = self.current.swap(0, Ordering::Relaxed);
            self.previous.store(if window == before + 1 { ended } else { 0 }, Ordering::Relaxed);
        }
        if slot.0.window.load(Ordering::Relaxed) != window + 1
            && slot.0.window.swap(window + 1, Ordering::Relaxed) != window + 1
        {
            self.current.fetch_add(1, Ordering::Relaxed);
        }
        self.count()
    }

    pub(crate) fn count(&self) -> u32 {
        self.current.load(Ordering::Relaxed).max(self.previous.load(Ordering::Relaxed)).max(1)
    }
}
