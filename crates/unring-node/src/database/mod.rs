//! What a node keeps across restarts, beside its key: one redb file.
//!
//! All of it can be heard again from others, so a file that cannot be used is set aside under another name and never
//! keeps a node from starting: see [`Database::open_or_set_aside`].

mod aside;
mod error;
mod load;
mod open;
mod shelf;
mod tables;
mod write;

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

pub use self::aside::{MAX_SET_ASIDE, SetAside};
pub use self::error::DatabaseError;
pub use self::load::Loaded;
pub use self::open::Opened;
pub use self::shelf::MAX_BOOK_BYTES;

pub(crate) use self::shelf::Shelf;
pub(crate) use self::write::Changes;

/// The database's file in the data folder.
pub const FILE: &str = "unring.redb";

/// The database of a node.
#[derive(Debug)]
pub struct Database {
    file: PathBuf,
    left: Cell<Option<Left>>,
    redb: redb::Database,
}

/// How we left the file: which it is, whatever its name, and what a write by somebody else would change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    device: u64,
    inode: u64,
    size: u64,
    written_at: (i64, i64),
}

impl Left {
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.len(),
            written_at: (found.mtime(), found.mtime_nsec()),
        })
    }

    fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl Database {
    /// Whether the file is as we left it: not when it was deleted, replaced, truncated or written by somebody else while it
    /// was open. What is written to it then may be lost.
    pub(crate) fn is_in_place(&self) -> bool {
        self.left.get().is_some() && self.left.get() == Left::of(&self.file)
    }

    /// We have written to it, if it still has its name.
    fn was_written(&self) {
        let now = Left::of(&self.file);
        let same = self.left.get().zip(now).is_some_and(|(left, now)| left.is_same_file(&now));
        self.left.set(now.filter(|_| same));
    }

    /// Bytes of the file.
    pub(crate) fn size(&self) -> u64 {
        fs::metadata(&self.file).map_or(0, |found| found.len())
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }
}
