//! What was allocated. Counts only in a program that made [`INSTRUMENTED_SYSTEM`] its allocator, as `unring-bench` does.

use stats_alloc::INSTRUMENTED_SYSTEM;

/// Allocations of the whole process, all threads together, between two points in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// Calls that allocated or grew memory.
    pub allocations: usize,
    /// Bytes that these calls asked for, whether given back or not.
    pub bytes: usize,
    /// Bytes asked for and not given back; below zero when more was given back.
    pub kept: i128,
}

/// Runs `work` and says what was allocated meanwhile, by whichever thread.
pub fn during<T>(work: impl FnOnce() -> T) -> (T, Allocated) {
    let before = INSTRUMENTED_SYSTEM.stats();
    let result = work();
    let since = INSTRUMENTED_SYSTEM.stats() - before;
    let allocated = Allocated {
        allocations: since.allocations + since.reallocations,
        bytes: since.bytes_allocated,
        kept: bytes(since.bytes_allocated) - bytes(since.bytes_deallocated),
    };
    (result, allocated)
}

fn bytes(count: usize) -> i128 {
    i128::try_from(count).unwrap_or(i128::MAX)
}
