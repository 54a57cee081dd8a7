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
    id: Option<FileId>,
    redb: redb::Database,
}

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self { device: found.dev(), inode: found.ino() })
    }
}

impl Database {
    /// Whether the file still has its name: not when it was deleted or replaced while it was open. What is written to it
    /// then is lost.
    pub(crate) fn is_in_place(&self) -> bool {
        self.id.is_some() && self.id == FileId::of(&self.file)
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
