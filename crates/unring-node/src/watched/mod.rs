//! Files that are read again when they change.

mod stamp;
mod watch;

use std::path::Path;

use crate::errors::chain;
use crate::log::NODE;

pub(crate) use self::stamp::Seen;
pub(crate) use self::watch::watch;

/// Keys, and the files that they name, of one part of the node: what is in use, and how taking over another one went.
#[derive(Debug)]
pub(crate) struct Watched<C> {
    /// What was tried last. What is in use may be older.
    tried: C,
    seen: Seen,
    counts: Counts,
}

/// How taking over what changed went.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Changes that were taken over.
    pub(crate) reloads: u64,
    /// Changes that could not be used, so that what was read before went on to hold.
    pub(crate) failures: u64,
    /// Why the last one could not; none once it could.
    pub(crate) last_error: Option<String>,
}

impl<C: Clone + PartialEq> Watched<C> {
    /// What was read at the start; `files` are those that `config` names, as they were before they were read.
    pub(crate) fn new(config: C, files: Seen) -> Self {
        Self { tried: config, seen: files, counts: Counts::default() }
    }

    /// What is to be read, if anything: `asked` or what was tried last, when that is something else, or its files are, or when
    /// it is asked for after a failure.
    pub(crate) fn due(&self, asked: Option<C>) -> Option<C> {
        let again = asked.is_some() && self.counts.last_error.is_some();
        let config = asked.unwrap_or_else(|| self.tried.clone());
        (again || config != self.tried || self.seen.is_over()).then_some(config)
    }

    /// `config` and its `files` were read, which ended so. `part` names it in the log.
    pub(crate) fn ended<E: std::error::Error + 'static>(
        &mut self,
        part: &'static str,
        config: C,
        files: Seen,
        result: &Result<(), E>,
    ) {
        (self.tried, self.seen) = (config, files);
        match result {
            Ok(()) => {
                self.counts.reloads += 1;
                self.counts.last_error = None;
                tracing::info!(target: NODE, event = "files_taken_over", part, "keys and files that changed are taken over; open connections stay");
            }
            Err(error) => {
                let error = chain(error);
                self.counts.failures += 1;
                tracing::error!(target: NODE, event = "files_kept", part, error, "keys or files that changed cannot be used; the node goes on with what it has");
                self.counts.last_error = Some(error);
            }
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts.clone()
    }
}

/// The files that are named among these.
pub(crate) fn named<'a>(files: impl IntoIterator<Item = &'a Option<std::path::PathBuf>>) -> Seen {
    Seen::of(files.into_iter().flatten().map(|file| -> &Path { file }))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;

    use super::*;

    fn of(file: &Path) -> Seen {
        Seen::of([file])
    }

    #[test]
    fn what_changed_is_read_and_what_failed_is_read_when_it_changes_or_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        fs::write(&one, "1").unwrap();
        let mut watched = Watched::new(1, of(&one));
        assert_eq!((watched.due(None), watched.due(Some(1))), (None, None));
        fs::write(&one, "12").unwrap();
        assert_eq!(watched.due(None), Some(1));
        watched.ended("test", 1, of(&one), &Ok::<_, io::Error>(()));
        assert_eq!(watched.due(None), None);

        // Another key, whose file is not there yet: it is not forgotten that it was asked for.
        assert_eq!(watched.due(Some(2)), Some(2));
        let missing = Err(io::Error::from(io::ErrorKind::NotFound));
        watched.ended("test", 2, of(&two), &missing);
        assert_eq!((watched.due(None), watched.due(Some(2))), (None, Some(2)));
        fs::write(&two, "2").unwrap();
        assert_eq!(watched.due(None), Some(2));
        watched.ended("test", 2, of(&two), &Ok::<_, io::Error>(()));
        let counts = watched.counts();
        assert_eq!((counts.reloads, counts.failures, counts.last_error), (2, 1, None));
    }
}
