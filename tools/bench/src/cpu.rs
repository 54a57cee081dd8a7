//! CPU time of threads by their name.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// What all threads of this process with this name have used.
pub(crate) fn cpu_of(name: &str) -> Result<Duration> {
    let mut total = Duration::ZERO;
    let mut threads = 0;
    for thread in fs::read_dir("/proc/self/task").context("list the threads")? {
        let thread = thread?.path();
        if fs::read_to_string(thread.join("comm"))?.trim_end() != name {
            continue;
        }
        let used = fs::read_to_string(thread.join("schedstat")).context("read a thread's time")?;
        let used = used.split(' ').next().context("a thread's time has three numbers")?;
        total += Duration::from_nanos(used.parse()?);
        threads += 1;
    }
    ensure!(threads > 0, "no thread is called {name}");
    Ok(total)
}
