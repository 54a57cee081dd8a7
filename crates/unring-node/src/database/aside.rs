//! Setting a file aside that cannot be used: it is kept under another name, and the node starts with a new one.

use std::path::{Path, PathBuf};
use std::{fs, io};

use unring_peer::UnixMillis;

use super::DatabaseError;

/// Files set aside beside the database at most. One is a case for a look, eight say that the disk is failing or that
/// something else writes there; more would only use up the space. At the bound nothing is deleted: the node runs without
/// a database and says so, until some are moved away.
pub const MAX_SET_ASIDE: usize = 8;

/// What was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now.
    pub to: PathBuf,
    /// What was wrong with it.
    pub reason: String,
}

/// Gives `file` a name of its own that says why and when.
pub(super) fn set_aside(
    file: &Path,
    now: UnixMillis,
    why: DatabaseError,
) -> Result<SetAside, DatabaseError> {
    let failed = |source| DatabaseError::SetAside { file: file.to_path_buf(), source };
    if count(file).map_err(failed)? >= MAX_SET_ASIDE {
        return Err(DatabaseError::TooManySetAside {
            file: file.to_path_buf(),
            source: Box::new(why),
        });
    }
    let kind = if matches!(why, DatabaseError::Newer { .. }) { NEWER } else { CORRUPT };
    let free = |millis: &u64| fs::symlink_metadata(named(file, kind, *millis)).is_err();
    let to = named(file, kind, (now.get()..).find(free).unwrap_or_default());
    fs::rename(file, &to).map_err(failed)?;
    Ok(SetAside { to, reason: crate::errors::chain(&why) })
}

const CORRUPT: &str = "corrupt";
const NEWER: &str = "newer";

fn named(file: &Path, kind: &str, millis: u64) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{kind}-{millis}"));
    name.into()
}

/// How many are set aside beside `file`.
fn count(file: &Path) -> io::Result<usize> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let ours = [CORRUPT, NEWER].map(|kind| format!("{name}.{kind}-"));
    let mut count = 0;
    for entry in fs::read_dir(file.parent().unwrap_or(Path::new(".")))? {
        let entry = entry?.file_name();
        count += usize::from(ours.iter().any(|ours| entry.to_string_lossy().starts_with(ours)));
    }
    Ok(count)
}
