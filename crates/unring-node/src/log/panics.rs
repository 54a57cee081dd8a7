//! Panics as log lines: one object per line, like everything else that a log collector reads.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::thread;

use super::NODE;

thread_local! {
    /// Whether a panic of this thread is somebody's to report already.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Writes each panic of the process to the log from now on.
pub(super) fn log() {
    panic::set_hook(Box::new(|panic| {
        if CAUGHT.get() {
            return;
        }
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
        let thread = thread::current();
        tracing::error!(
            target: NODE,
            event = "panic",
            thread = thread.name(),
            backtrace = backtrace.as_ref().map(tracing::field::display),
            "{panic}; this is a defect of unring"
        );
    }));
}

/// Runs `work`, whose panic is an error. For code that panics where it should fail, on data that it is given.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = CAUGHT.replace(true);
    // What `work` leaves half done is its own: it is given nothing of ours to keep.
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    CAUGHT.set(before);
    done.map_err(|panic| message(panic.as_ref()))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given").to_owned()
}

#[cfg(test)]
mod tests {
    use super::catch;

    #[test]
    fn a_panic_is_an_error_with_its_message() {
        assert_eq!(catch(|| 7), Ok(7));
        let error = catch(|| panic!("page {}", 3)).unwrap_err();
        assert_eq!(error, "page 3");
        assert_eq!(catch(|| panic!("torn")), Err::<(), _>("torn".to_owned()));
    }
}
