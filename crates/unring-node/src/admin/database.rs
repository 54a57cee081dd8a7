//! How the disk is doing, on the status page.

use serde::Serialize;
use unring_exchange::{Engine, Now, Restored, Signatures};

use crate::keeper::View;

/// What is on disk, what came from there, and what went wrong.
#[derive(Debug, Serialize)]
pub(super) struct DatabaseStatus {
    state: &'static str,
    size_bytes: u64,
    records: usize,
    unsaved: usize,
    restored: usize,
    skipped: Skipped,
    set_aside: Option<String>,
    writes: u64,
    failures: u64,
    last_error: Option<String>,
    last_error_s_ago: Option<f64>,
}

/// What was left out at the start.
#[derive(Debug, Serialize)]
struct Skipped {
    expired: usize,
    clock_skew: usize,
    invalid: usize,
    superseded: usize,
    full: usize,
    not_members: usize,
    unreadable: usize,
}

impl DatabaseStatus {
    pub(super) fn new(engine: &Engine<Signatures>, now: Now, disk: View) -> Self {
        let Restored { kept, expired, clock_skew, invalid, superseded, full, not_members } =
            disk.restored;
        let (error, at) = disk.last_error.unzip();
        Self {
            state: if disk.open { "open" } else { "unavailable" },
            size_bytes: disk.size,
            records: disk.records,
            unsaved: engine.book_changes_pending(disk.saved_version),
            restored: kept,
            skipped: Skipped {
                expired,
                clock_skew,
                invalid,
                superseded,
                full,
                not_members,
                unreadable: disk.unreadable,
            },
            set_aside: disk.set_aside.map(|file| file.display().to_string()),
            writes: disk.writes,
            failures: disk.failures,
            last_error: error,
            last_error_s_ago: at.map(|at| now.mono.saturating_sub(at).as_secs_f64()),
        }
    }
}
