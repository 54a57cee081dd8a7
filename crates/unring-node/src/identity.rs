//! The node's key on disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;
use unring_peer::{Identity, InvalidIdentity};

/// The key's file in the data folder.
pub const FILE: &str = "identity.key";

/// Bytes read of a key file at most: an RSA key of 4096 bits takes 2.4 KiB.
const MAX_FILE: u64 = 16 * 1024;

/// Why a node has no identity. An existing file is never overwritten.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The data folder cannot be made.
    #[error("cannot create the data folder {}: set data_dir to a folder that this user can write to", dir.display())]
    DataDir {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("cannot read the identity {}: it must belong to this user; check its permissions", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is a file and nothing in it.
    #[error(
        "the identity {} is empty (0 bytes), as a full disk or a broken copy leaves it: restore it from a backup, or delete it to get a new identity, under which other nodes see a new peer",
        file.display()
    )]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// The file is no key.
    #[error(
        "the identity {} is damaged ({bytes} bytes): restore it from a backup, or move it away to get a new identity, under which other nodes see a new peer",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Its size.
        bytes: usize,
        /// What is wrong with it.
        source: InvalidIdentity,
    },
    /// The file cannot be written.
    #[error("cannot write the identity {}: check permissions and free space of its folder", file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Reads the identity in `data_dir`, or makes one with mode 0600 where there is none.
///
/// # Errors
/// When the folder or the file cannot be used; the file is then left as it is.
pub fn load_or_create(data_dir: &Path) -> Result<Identity, IdentityError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .map_err(|source| IdentityError::DataDir { dir: data_dir.to_path_buf(), source })?;
    let file = data_dir.join(FILE);
    match read(&file) {
        Ok(bytes) if bytes.is_empty() => Err(IdentityError::Empty { file }),
        Ok(bytes) => {
            let size = bytes.len();
            if fs::metadata(&file).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0) {
                tracing::warn!(
                    file = %file.display(),
                    "the identity can be read by other users of this host: chmod 600 it"
                );
            }
            Identity::decode(&bytes).map_err(|source| IdentityError::Damaged {
                file,
                bytes: size,
                source,
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(&file),
        Err(source) => Err(IdentityError::Unreadable { file, source }),
    }
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    File::open(file)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a new key beside its place and links it there, which fails if somebody was faster: the file is whole or not
/// there at all, and never replaced.
fn create(file: &Path) -> Result<Identity, IdentityError> {
    let identity = Identity::generate();
    let unwritable = |source| IdentityError::Unwritable { file: file.to_path_buf(), source };
    let encoded = identity.encode().map_err(|source| IdentityError::Damaged {
        file: file.to_path_buf(),
        bytes: 0,
        source,
    })?;
    let temporary = file.with_extension(format!("new-{}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut new| new.write_all(&encoded).and_then(|()| new.sync_all()))
        .and_then(|()| fs::hard_link(&temporary, file));
    let removed = fs::remove_file(&temporary);
    written.map_err(unwritable)?;
    removed.map_err(unwritable)?;
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once_and_only_its_user_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("a/b");
        let first = load_or_create(&data_dir).unwrap();
        let second = load_or_create(&data_dir).unwrap();
        assert_eq!(first.peer_id(), second.peer_id());
        let mode = fs::metadata(data_dir.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_damaged_identity_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        load_or_create(dir.path()).unwrap();
        let file = dir.path().join(FILE);
        let whole = fs::read(&file).unwrap();
        for kept in [0, 1, whole.len() - 1] {
            fs::write(&file, &whole[..kept]).unwrap();
            let error = load_or_create(dir.path()).unwrap_err();
            let named = match error {
                IdentityError::Empty { .. } => kept == 0,
                IdentityError::Damaged { bytes, .. } => bytes == kept,
                _ => false,
            };
            assert!(named, "{error}");
            assert!(error.to_string().contains(FILE));
            assert_eq!(fs::read(&file).unwrap(), &whole[..kept]);
        }
    }

    #[test]
    fn a_folder_that_is_a_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = load_or_create(&file.join("data")).unwrap_err();
        assert!(matches!(error, IdentityError::DataDir { .. }), "{error}");
    }
}
