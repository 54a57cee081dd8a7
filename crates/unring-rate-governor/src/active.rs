//! How many callers ask at present, which is what the total is shared by.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::bucket::Account;

/// Callers are counted in windows of a second: a caller that asks once a minute takes a sixtieth of a share.
const WINDOW_NANOS: u64 = 1_000_000_000;

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
    pub(crate) fn touch(&self, account: &Account, elapsed: u64) -> u32 {
        let window = elapsed / WINDOW_NANOS;
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
        if account.window.load(Ordering::Relaxed) != window + 1
            && account.window.swap(window + 1, Ordering::Relaxed) != window + 1
        {
            self.current.fetch_add(1, Ordering::Relaxed);
        }
        self.count()
    }

    pub(crate) fn count(&self) -> u32 {
        self.current.load(Ordering::Relaxed).max(self.previous.load(Ordering::Relaxed)).max(1)
    }
}
