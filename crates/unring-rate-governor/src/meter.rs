//! CPU time of chosen threads of this process.
//!
//! The kernel keeps a thread's run time in nanoseconds as the first number of `/proc/self/task/TID/schedstat` (Linux,
//! `Documentation/scheduler/sched-stats.rst`). It is read by path at each sample, so that a thread costs no open file. Where
//! that cannot be had (no `/proc`, or a kernel built without `CONFIG_SCHED_INFO`, which prints zeros), the thread's CPU
//! clock is asked: it counts the same run time.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::time::ClockId;
use parking_lot::Mutex;

/// Most threads metered at once: a tokio runtime has at most 512 blocking threads by default, and a worker for each core.
/// A thread beyond that is not metered and counts in [`CpuMeter::unmetered`].
pub const MAX_THREADS: usize = 1024;

/// The longest line that is read: three numbers of at most 20 digits.
const MAX_LINE: usize = 64;

const NANOS_PER_SECOND: f64 = 1e9;

/// Sums up the CPU time of the threads that are registered, from the moment they are.
///
/// Share it with the runtime whose threads are to be metered:
///
/// ```
/// use std::sync::Arc;
/// use unring_rate_governor::CpuMeter;
///
/// let meter = Arc::new(CpuMeter::new());
/// let (on_start, on_stop) = (Arc::clone(&meter), Arc::clone(&meter));
/// let runtime = tokio::runtime::Builder::new_multi_thread()
///     .worker_threads(2)
///     .on_thread_start(move || on_start.register_current_thread())
///     .on_thread_stop(move || on_stop.unregister_current_thread())
///     .build()?;
/// runtime.block_on(async { tokio::spawn(async { 6 * 7 }).await })?;
/// assert!(meter.threads() >= 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CpuMeter {
    tasks: PathBuf,
    /// Whether threads whose file says nothing are asked by their clock.
    clocks: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    threads: HashMap<i32, Thread>,
    /// Nanoseconds of threads that stopped.
    banked: u64,
    /// Time and sum of the sample before.
    last: Option<(Duration, u64)>,
    unmetered: u64,
}

/// Run time of one thread, in nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Thread {
    /// What the kernel said at the last reading; `None` before the first that succeeded.
    last: Option<u64>,
    /// What was used since it registered.
    used: u64,
}

impl Thread {
    /// Takes a reading. The sum never falls: a smaller number means that the id went to another thread.
    fn advance(&mut self, reading: u64) {
        self.used += match self.last {
            Some(last) => reading.checked_sub(last).unwrap_or(reading),
            None => 0,
        };
        self.last = Some(reading);
    }
}

impl Default for CpuMeter {
    fn default() -> Self {
        Self::new()
    }
}

impl CpuMeter {
    /// A meter of threads of this process, none yet.
    pub fn new() -> Self {
        Self { tasks: "/proc/self/task".into(), clocks: true, state: Mutex::default() }
    }

    /// A meter that reads `DIRECTORY/TID/schedstat` instead, and no clock; for tests from fixture files.
    pub fn with_task_directory(directory: impl Into<PathBuf>) -> Self {
        Self { tasks: directory.into(), clocks: false, state: Mutex::default() }
    }

    /// A meter of threads of this process that cannot see `/proc`.
    #[cfg(test)]
    pub(crate) fn by_clocks_alone() -> Self {
        Self { tasks: "/nowhere".into(), clocks: true, state: Mutex::default() }
    }

    /// Meters the calling thread from here on. Meant for a runtime's thread-start hook; a second call changes nothing.
    pub fn register_current_thread(&self) {
        self.register(current_thread());
    }

    /// Reads the calling thread a last time and keeps its sum. Meant for a runtime's thread-stop hook.
    pub fn unregister_current_thread(&self) {
        self.unregister(current_thread());
    }

    /// Meters the thread with this kernel id.
    pub(crate) fn register(&self, tid: i32) {
        let mut state = self.state.lock();
        if state.threads.contains_key(&tid) {
            return;
        }
        if state.threads.len() >= MAX_THREADS {
            state.unmetered += 1;
            return;
        }
        let mut thread = Thread::default();
        if let Some(reading) = self.read(tid) {
            thread.advance(reading);
        }
        state.threads.insert(tid, thread);
    }

    pub(crate) fn unregister(&self, tid: i32) {
        let mut state = self.state.lock();
        if let Some(mut thread) = state.threads.remove(&tid) {
            if let Some(reading) = self.read(tid) {
                thread.advance(reading);
            }
            state.banked += thread.used;
        }
    }

    /// CPU seconds of all threads ever registered, each from its registration on. Never falls; a thread that cannot be read
    /// counts with what was last read.
    pub fn cpu_seconds(&self) -> f64 {
        seconds(self.read_all(&mut self.state.lock()).0)
    }

    /// CPU share of one core since the sample before, in seconds per second: 0.05 is 5 % of one core.
    ///
    /// `now` is the time since any fixed moment, from a monotonic clock. `None` for the first sample, for one that is not
    /// later than the one before, and when not one registered thread can be read.
    pub fn sample(&self, now: Duration) -> Option<f64> {
        let mut state = self.state.lock();
        let (sum, readable) = self.read_all(&mut state);
        if !readable {
            // What a later sample would add up over the gap belongs to no known stretch of time.
            state.last = None;
            return None;
        }
        let elapsed = match state.last {
            Some((before, _)) if now <= before => return None,
            Some((before, _)) => now.saturating_sub(before),
            None => Duration::ZERO,
        };
        let used = state.last.map(|(_, before)| sum.saturating_sub(before));
        state.last = Some((now, sum));
        used.map(|used| seconds(used) / elapsed.as_secs_f64())
    }

    /// Threads metered now.
    pub fn threads(&self) -> usize {
        self.state.lock().threads.len()
    }

    /// Threads that were refused at [`MAX_THREADS`] since the meter was made.
    pub fn unmetered(&self) -> u64 {
        self.state.lock().unmetered
    }

    /// The sum in nanoseconds, and whether any thread could be read.
    fn read_all(&self, state: &mut State) -> (u64, bool) {
        let mut readable = false;
        let mut sum = state.banked;
        for (tid, thread) in &mut state.threads {
            if let Some(reading) = self.read(*tid) {
                thread.advance(reading);
                readable = true;
            }
            sum += thread.used;
        }
        (sum, readable)
    }

    fn read(&self, tid: i32) -> Option<u64> {
        let file = self.tasks.join(tid.to_string()).join("schedstat");
        let by_file = read_line(&file).ok().and_then(|line| parse_schedstat(&line));
        by_file.or_else(|| if self.clocks { thread_clock(tid) } else { None })
    }
}

/// Nanoseconds on a CPU by the clock of a thread of this process; `None` for a thread that is gone.
pub(crate) fn thread_clock(tid: i32) -> Option<u64> {
    // The id is made as the kernel's `make_thread_cpuclock` and the C library's `pthread_getcpuclockid` make it: the
    // inverted thread id, shifted, with the bits for a single thread (4) and for scheduler time (2).
    let time = ClockId::from_raw((!tid << 3) | 4 | 2).now().ok()?;
    u64::try_from(time.tv_sec())
        .ok()?
        .checked_mul(1_000_000_000)?
        .checked_add(u64::try_from(time.tv_nsec()).ok()?)
}

fn read_line(path: &Path) -> io::Result<String> {
    let mut line = String::with_capacity(MAX_LINE);
    fs::File::open(path)?.take(MAX_LINE as u64).read_to_string(&mut line)?;
    Ok(line)
}

fn current_thread() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// Nanoseconds on a CPU, from the text of a `schedstat` file: run time, time in the run queue, time slices.
///
/// `None` for anything else, and for a run time of 0: a thread that could register has run, and a kernel built without run
/// times prints `0 0 0`.
pub(crate) fn parse_schedstat(text: &str) -> Option<u64> {
    let mut numbers = text.split_ascii_whitespace();
    let run: u64 = numbers.next()?.parse().ok()?;
    let _in_queue: u64 = numbers.next()?.parse().ok()?;
    let _slices: u64 = numbers.next()?.parse().ok()?;
    (numbers.next().is_none() && run > 0).then_some(run)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact to 104 days of CPU time, and to 1e-16 of it beyond"
)]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / NANOS_PER_SECOND
}
