//! What can be wrong with the database.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::aside::MAX_SET_ASIDE;
use super::tables::SCHEMA;

/// Why the database cannot be used.
#[derive(Debug, Error)]
pub enum DatabaseError {
    /// It cannot be opened, though nothing is known to be wrong with it.
    #[error(
        "cannot open the database {}: check that its folder can be written to, has free space, and that no other node uses it",
        file.display()
    )]
    Open {
        /// The file.
        file: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
    /// It is no database, or parts of it are missing.
    #[error("the database {} is damaged", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: Box<redb::Error>,
    },
    /// It is no file at all.
    #[error("the database {} is no file", file.display())]
    NotAFile {
        /// What should be the file.
        file: PathBuf,
    },
    /// It was written by a newer version.
    #[error("the database {} has layout {found}, this version knows {SCHEMA}", file.display())]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its layout.
        found: u64,
    },
    /// A write failed.
    #[error("cannot write to the database {}: check free space and permissions", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
    /// It cannot be used, and cannot be set aside either.
    #[error("cannot set the database {} aside: check that its folder can be written to", file.display())]
    SetAside {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be used, and as many as may be are set aside already. None is ever deleted.
    #[error(
        "{MAX_SET_ASIDE} databases are set aside beside {} already: look into what damages them, and move them away",
        file.display()
    )]
    TooManySetAside {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: Box<DatabaseError>,
    },
}

impl DatabaseError {
    /// Of something that failed while the file was opened or read.
    pub(super) fn opening(file: &Path, source: redb::Error) -> Self {
        let (file, source) = (file.to_path_buf(), Box::new(source));
        if is_damage(&source) {
            Self::Damaged { file, source }
        } else {
            Self::Open { file, source }
        }
    }

    /// Of something that failed while the file was written.
    pub(super) fn writing(file: &Path, source: redb::Error) -> Self {
        let (file, source) = (file.to_path_buf(), Box::new(source));
        if is_damage(&source) {
            Self::Damaged { file, source }
        } else {
            Self::Write { file, source }
        }
    }

    /// Whether this version of the program will never read this file, whatever is done about disk and permissions.
    pub(super) fn is_hopeless(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::NotAFile { .. } | Self::Newer { .. })
    }

    /// Whether whoever starts the node has to decide: another node uses the file, or the folder is not to be written to.
    /// Anything else, a full disk above all, does not keep a node from starting.
    pub(crate) fn is_for_operator(&self) -> bool {
        let refused = |error: &io::Error| {
            matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
        };
        match self {
            Self::Open { source, .. } | Self::Write { source, .. } => match &**source {
                redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => true,
                redb::Error::Io(error) => refused(error),
                _ => false,
            },
            Self::SetAside { source, .. } => refused(source),
            _ => false,
        }
    }
}

/// Whether the file is what is wrong, so that neither space nor permissions would help.
fn is_damage(error: &redb::Error) -> bool {
    use redb::Error as E;
    match error {
        E::Corrupted(_)
        | E::RepairAborted
        | E::UpgradeRequired(_)
        | E::TableTypeMismatch { .. }
        | E::TypeDefinitionChanged { .. }
        | E::TableIsMultimap(_)
        | E::TableIsNotMultimap(_)
        | E::TableDoesNotExist(_) => true,
        E::Io(error) => matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof),
        _ => false,
    }
}
