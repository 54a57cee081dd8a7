//! How the disk is doing, for status page and metrics.

use std::path::PathBuf;
use std::time::Duration;

use unring_exchange::Restored;

/// How the disk is doing.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// A file is open and written to.
    pub(crate) open: bool,
    /// Bytes of the file.
    pub(crate) size: u64,
    /// Records of other nodes on disk.
    pub(crate) records: usize,
    /// The book's version that is on disk.
    pub(crate) saved_version: u64,
    /// What came back from disk at the start.
    pub(crate) restored: Restored,
    /// What could not even be read there.
    pub(crate) unreadable: usize,
    /// Where the last file is that could not be used, if there was one since the start.
    pub(crate) set_aside: Option<PathBuf>,
    /// Commits.
    pub(crate) writes: u64,
    /// Commits and openings that failed.
    pub(crate) failures: u64,
    /// The last of those, and when.
    pub(crate) last_error: Option<(String, Duration)>,
}
