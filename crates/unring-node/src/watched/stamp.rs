//! How files looked, so that another one in their place is told.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A file as it was when it was looked at: another one in its place, or with other content, is told by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    /// Who may read it is told by this alone.
    changed: (i64, i64),
}

impl Stamp {
    /// Of the file at `path`; none where there is none to see.
    fn of(path: &Path) -> Option<Self> {
        let data = fs::metadata(path).ok()?;
        let modified = (data.mtime(), data.mtime_nsec());
        let changed = (data.ctime(), data.ctime_nsec());
        Some(Self { inode: data.ino(), size: data.len(), modified, changed })
    }
}

/// Files, and how they looked. A look is a system call for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen(Vec<(PathBuf, Option<Stamp>)>);

impl Seen {
    /// As they are now: to be taken before they are read.
    pub(crate) fn of<'a>(files: impl IntoIterator<Item = &'a Path>) -> Self {
        Self(files.into_iter().map(|file| (file.to_path_buf(), Stamp::of(file))).collect())
    }

    /// Whether one of them is another one by now.
    pub(crate) fn is_over(&self) -> bool {
        self.0.iter().any(|(file, stamp)| Stamp::of(file) != *stamp)
    }
}
