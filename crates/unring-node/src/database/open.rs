//! Opening the file: whole, of this version's layout, or set aside for a new one.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::{fs, io};

use redb::{Builder, Database as Redb};
use unring_peer::UnixMillis;

use super::aside::{SetAside, set_aside};
use super::load::Loaded;
use super::tables::{SCHEMA, migrate};
use super::{Database, DatabaseError, FILE};

/// Bytes of pages held in memory: the whole file mostly fits.
const CACHE_BYTES: usize = 1024 * 1024;

/// A database that is open, with all that it holds.
#[derive(Debug)]
pub struct Opened {
    /// The database.
    pub database: Database,
    /// What was in it.
    pub loaded: Loaded,
    /// The file that was there before, when it could not be used.
    pub set_aside: Option<SetAside>,
}

impl Database {
    /// Opens or makes the database in `data_dir`. Every page of it is checked.
    ///
    /// # Errors
    /// When the file cannot be used; it is left as it is.
    pub fn open(data_dir: &Path) -> Result<(Self, Loaded), DatabaseError> {
        let file = data_dir.join(FILE);
        let failed = |error: io::Error| DatabaseError::opening(&file, redb::Error::Io(error));
        match (fs::metadata(&file), fs::symlink_metadata(&file)) {
            (Ok(found), _) if !found.is_file() => Err(DatabaseError::NotAFile { file }),
            (Ok(found), _) if found.len() > 0 => {
                let mut builder = builder();
                builder.set_check_integrity_on_open(true);
                open_with(&file, &file, |file| builder.open(file))
            }
            // Nothing was ever written to an empty file.
            (Ok(_), _) => create(&file),
            (Err(error), _) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(failed(error))
            }
            // A link that leads nowhere.
            (Err(_), Ok(_)) => Err(DatabaseError::NotAFile { file }),
            (Err(error), _) if error.kind() == io::ErrorKind::NotFound => create(&file),
            (Err(error), _) => Err(failed(error)),
        }
    }

    /// The same, but a file that is damaged, no file, or of a newer version is given another name, and a new one made.
    ///
    /// # Errors
    /// When there is something else wrong, or [`MAX_SET_ASIDE`](super::MAX_SET_ASIDE) are set aside already.
    pub fn open_or_set_aside(data_dir: &Path, now: UnixMillis) -> Result<Opened, DatabaseError> {
        let (database, set_aside) = match Self::open(data_dir) {
            Err(why) if why.is_hopeless() => {
                let set_aside = set_aside(&data_dir.join(FILE), now, why)?;
                (Self::open(data_dir)?, Some(set_aside))
            }
            opened => (opened?, None),
        };
        let (database, loaded) = database;
        Ok(Opened { database, loaded, set_aside })
    }
}

fn builder() -> Builder {
    let mut builder = Redb::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Makes a new database under another name first: whoever finds one under its own name finds it whole.
fn create(file: &Path) -> Result<(Database, Loaded), DatabaseError> {
    let new = PathBuf::from(format!("{}.new", file.display()));
    // One that another node is making is locked; what a crash left behind has nothing in it that anybody knows.
    if let Err(redb::DatabaseError::DatabaseAlreadyOpen) = Builder::new().open(&new) {
        return Err(DatabaseError::opening(file, redb::Error::DatabaseAlreadyOpen));
    }
    let failed = |error| DatabaseError::opening(file, redb::Error::Io(error));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let made = open_with(file, &new, |new| builder().create(new)).and_then(|made| {
        fs::rename(&new, file).map_err(failed)?;
        // So that the name survives a loss of power, too.
        let folder = file.parent().unwrap_or(Path::new("."));
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok(made)
    });
    if made.is_err() {
        // Half a file is of no use, and on a full disk it is in the way.
        let _ = fs::remove_file(&new);
    }
    made
}

/// Opens the file at `path`, which is or will be called `name`.
fn open_with(
    name: &Path,
    path: &Path,
    open: impl FnOnce(&Path) -> Result<Redb, redb::DatabaseError>,
) -> Result<(Database, Loaded), DatabaseError> {
    // redb may panic on a page that is not what it should be.
    let opened = crate::log::catch(|| {
        let redb = open(path)?;
        let transaction = redb.begin_write()?;
        let found = migrate(&transaction)?;
        transaction.commit()?;
        let loaded = if found > SCHEMA { Loaded::default() } else { Loaded::read(&redb)? };
        let left = super::Left::of(path);
        Ok::<_, redb::Error>((redb, loaded, found, left))
    });
    let opened = opened.unwrap_or_else(|panic| Err(redb::Error::Corrupted(panic)));
    let (redb, loaded, found, left) =
        opened.map_err(|error| DatabaseError::opening(name, error))?;
    if found > SCHEMA {
        return Err(DatabaseError::Newer { file: name.to_path_buf(), found });
    }
    Ok((Database { file: name.to_path_buf(), left: Cell::new(left), redb }, loaded))
}
