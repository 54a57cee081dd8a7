//! Slowing down what comes in when refusing it costs too much.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How fast connections are read and taken in; shared by the listeners of a node and by whoever meters its CPU.
///
/// All work that peers can cause grows with the bytes read or with the connections taken in, so these two rates bound
/// what no refusal bounds: refusals themselves, HTTP/2 control frames, bad signatures, handshakes. What is not read
/// waits in the kernel's buffers, which makes the sender wait (TCP flow control); nothing is queued here. A change is
/// noticed at once by what is not paused, and within a second by what is.
#[derive(Debug, Default)]
pub struct Pressure {
    /// 0 is no limit.
    read_rate: AtomicU32,
    /// 0 is no limit.
    accept_rate: AtomicU32,
}

impl Pressure {
    /// No limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes per second, as they come over the wire, that each accepted connection may read; none: no limit.
    ///
    /// A connection may read 8 KiB more at first. TLS handshakes are not slowed down.
    pub fn set_read_rate(&self, bytes_per_second: Option<NonZeroU32>) {
        self.read_rate.store(bytes_per_second.map_or(0, NonZeroU32::get), Relaxed);
    }

    /// TLS handshakes started per second by one listener (plaintext connections taken in, where there is no TLS); none:
    /// no limit.
    ///
    /// One second's worth may start at once. A connection that is closed without a handshake counts as a sixteenth of
    /// one. The others wait in the kernel's backlog.
    pub fn set_accept_rate(&self, per_second: Option<NonZeroU32>) {
        self.accept_rate.store(per_second.map_or(0, NonZeroU32::get), Relaxed);
    }

    /// See [`set_read_rate`](Self::set_read_rate).
    #[must_use]
    pub fn read_rate(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.read_rate.load(Relaxed))
    }

    /// See [`set_accept_rate`](Self::set_accept_rate).
    #[must_use]
    pub fn accept_rate(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.accept_rate.load(Relaxed))
    }
}
