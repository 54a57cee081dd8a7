//! Waiting for something to be true, and seeing that it stays so.

use std::thread;
use std::time::{Duration, Instant};

/// Far above what a node needs, for a machine with two cores that runs several tests at once.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked.
const POLL: Duration = Duration::from_millis(50);

/// Looks until there is a value.
///
/// # Panics
/// When there is none within [`PATIENCE`]; the last reason is shown.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(value) => return value,
            Err(why) => {
                assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}: {why}")
            }
        }
        thread::sleep(POLL);
    }
}

/// Looks again and again for `time`, whether nothing is wrong.
///
/// # Panics
/// When something is.
pub fn throughout(time: Duration, what: &str, mut look: impl FnMut() -> Result<(), String>) {
    let start = Instant::now();
    while start.elapsed() < time {
        if let Err(why) = look() {
            panic!("after {:?}: {what}: {why}", start.elapsed());
        }
        thread::sleep(POLL);
    }
}
