//! What a node keeps across restarts, beside its key: one redb file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use redb::{Database as Redb, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use thiserror::Error;
use unring_cycle_detector::RingMemory;
use unring_peer::{PeerId, UnixMillis};

use crate::ring_memory;

/// The database's file in the data folder.
pub const FILE: &str = "unring.redb";

/// The layout of the tables below; a newer one is not touched.
const SCHEMA: u64 = 1;

/// Bytes of pages held in memory: the whole file is smaller.
const CACHE_BYTES: usize = 1024 * 1024;

/// Numbers by name: "schema" and "seq".
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
/// Since when each upstream address has been configured, Unix time in milliseconds.
const JOINS: TableDefinition<'_, &str, u64> = TableDefinition::new("joins");
/// Where each upstream address led: peer ids in base58, with commas.
const TARGETS: TableDefinition<'_, &str, &str> = TableDefinition::new("targets");
/// What was said of rings: one JSON value under "memory".
const RINGS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("rings");

/// The database of a node.
#[derive(Debug)]
pub struct Database {
    file: PathBuf,
    redb: Redb,
}

/// Why the database cannot be used.
#[derive(Debug, Error)]
pub enum DatabaseError {
    /// It cannot be opened.
    #[error(
        "cannot open the database {}: check that its folder can be written to, has free space, and that no other node uses it; if it is damaged, move it away, and the node starts with a new one",
        file.display()
    )]
    Open {
        /// The file.
        file: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
    /// It is no database, or parts of it are missing.
    #[error(
        "the database {} is damaged: move it away and start again; this node stays who it is, and hears from others what it needs to go on",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: Box<redb::Error>,
    },
    /// It was written by a newer version.
    #[error("the database {} has layout {found}, this version knows {SCHEMA}: use a newer unring, or move the file away", file.display())]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its layout.
        found: u64,
    },
    /// A read failed.
    #[error("cannot read {what} from the database {}", file.display())]
    Read {
        /// What was to be read.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
    /// A write failed.
    #[error("cannot write {what} to the database {}: check free space and permissions", file.display())]
    Write {
        /// What was to be written.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
}

impl Database {
    /// Opens or makes the database in `data_dir`.
    ///
    /// # Errors
    /// When the file cannot be used; it is left as it is.
    pub fn open(data_dir: &Path) -> Result<Self, DatabaseError> {
        let file = data_dir.join(FILE);
        // redb checks no page that it reads on the way, and panics where one is not what it should be.
        let opened = crate::log::catch(|| -> Result<_, redb::DatabaseError> {
            let mut redb = Redb::builder().set_cache_size(CACHE_BYTES).create(&file)?;
            redb.check_integrity()?;
            Ok(redb)
        });
        let opened = opened.unwrap_or_else(|panic| {
            Err(redb::DatabaseError::Storage(redb::StorageError::Corrupted(panic)))
        });
        let redb = opened.map_err(|error| {
            let (file, source) = (file.clone(), Box::new(error.into()));
            match is_damage(&source) {
                true => DatabaseError::Damaged { file, source },
                false => DatabaseError::Open { file, source },
            }
        })?;
        let database = Self { file, redb };
        match database.number("schema")? {
            Some(found) if found > SCHEMA => {
                return Err(DatabaseError::Newer { file: database.file, found });
            }
            Some(_) => {}
            None => database.set_number("schema", SCHEMA)?,
        }
        Ok(database)
    }

    /// The `seq` of the last record of ours; 0 when there is none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn seq(&self) -> Result<u64, DatabaseError> {
        Ok(self.number("seq")?.unwrap_or(0))
    }

    /// Keeps the `seq` of our record. It is on disk when this returns.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_seq(&self, seq: u64) -> Result<(), DatabaseError> {
        self.set_number("seq", seq)
    }

    /// Since when each of `addresses` has been configured; a new one since `now`. Others are forgotten.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn joins_since(
        &self,
        addresses: &[String],
        now: UnixMillis,
    ) -> Result<Vec<(String, UnixMillis)>, DatabaseError> {
        let update = || -> Result<_, redb::Error> {
            let transaction = self.redb.begin_write()?;
            let mut since = Vec::new();
            {
                let mut table = transaction.open_table(JOINS)?;
                let mut targets = transaction.open_table(TARGETS)?;
                let known: BTreeMap<String, u64> = table
                    .iter()?
                    .map(|entry| entry.map(|(key, value)| (key.value().to_owned(), value.value())))
                    .collect::<Result<_, _>>()?;
                for address in known.keys().filter(|known| !addresses.contains(known)) {
                    table.remove(address.as_str())?;
                    targets.remove(address.as_str())?;
                }
                for address in addresses {
                    let at = known.get(address).copied().unwrap_or(now.get());
                    table.insert(address.as_str(), at)?;
                    since.push((address.clone(), UnixMillis::new(at)));
                }
            }
            transaction.commit()?;
            Ok(since)
        };
        update().map_err(|source| self.write_error("joins", source))
    }

    /// Keeps where an upstream's address led.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_targets(&self, address: &str, targets: &[PeerId]) -> Result<(), DatabaseError> {
        let targets: Vec<_> = targets.iter().map(|peer| peer.to_base58()).collect();
        let write = || -> Result<(), redb::Error> {
            let transaction = self.redb.begin_write()?;
            transaction.open_table(TARGETS)?.insert(address, targets.join(",").as_str())?;
            transaction.commit()?;
            Ok(())
        };
        write().map_err(|source| self.write_error("targets", source))
    }

    /// Where the addresses of upstreams led. What another version wrote otherwise is left out.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn targets(&self) -> Result<BTreeMap<String, Vec<PeerId>>, DatabaseError> {
        let read = || -> Result<_, redb::Error> {
            let table = match self.redb.begin_read()?.open_table(TARGETS) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(BTreeMap::new()),
                Err(error) => return Err(error.into()),
            };
            let entries = table.iter()?.map(|entry| {
                let (address, targets) = entry?;
                let peers = targets.value().split(',').filter_map(|peer| peer.parse().ok());
                Ok((address.value().to_owned(), peers.collect()))
            });
            entries.collect()
        };
        read().map_err(|source| self.read_error("targets", source))
    }

    /// What was said of rings before.
    ///
    /// # Errors
    /// When the file cannot be read. A value that an unknown version wrote is nothing said.
    pub fn ring_memory(&self) -> Result<RingMemory<PeerId>, DatabaseError> {
        let read = || -> Result<_, redb::Error> {
            let table = match self.redb.begin_read()?.open_table(RINGS) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            Ok(table.get("memory")?.and_then(|bytes| ring_memory::decode(bytes.value())))
        };
        Ok(read().map_err(|source| self.read_error("rings", source))?.unwrap_or_default())
    }

    /// Keeps what was said of rings.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_ring_memory(&self, memory: &RingMemory<PeerId>) -> Result<(), DatabaseError> {
        let bytes = ring_memory::encode(memory);
        let write = || -> Result<(), redb::Error> {
            let transaction = self.redb.begin_write()?;
            transaction.open_table(RINGS)?.insert("memory", bytes.as_slice())?;
            transaction.commit()?;
            Ok(())
        };
        write().map_err(|source| self.write_error("rings", source))
    }

    fn number(&self, name: &'static str) -> Result<Option<u64>, DatabaseError> {
        let read = || -> Result<_, redb::Error> {
            match self.redb.begin_read()?.open_table(NUMBERS) {
                Ok(table) => Ok(table.get(name)?.map(|value| value.value())),
                Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
                Err(error) => Err(error.into()),
            }
        };
        read().map_err(|source| self.read_error(name, source))
    }

    fn set_number(&self, name: &'static str, value: u64) -> Result<(), DatabaseError> {
        let write = || -> Result<(), redb::Error> {
            let transaction = self.redb.begin_write()?;
            transaction.open_table(NUMBERS)?.insert(name, value)?;
            transaction.commit()?;
            Ok(())
        };
        write().map_err(|source| self.write_error(name, source))
    }

    fn read_error(&self, what: &'static str, source: redb::Error) -> DatabaseError {
        let (file, source) = (self.file.clone(), Box::new(source));
        match is_damage(&source) {
            true => DatabaseError::Damaged { file, source },
            false => DatabaseError::Read { what, file, source },
        }
    }

    fn write_error(&self, what: &'static str, source: redb::Error) -> DatabaseError {
        let (file, source) = (self.file.clone(), Box::new(source));
        match is_damage(&source) {
            true => DatabaseError::Damaged { file, source },
            false => DatabaseError::Write { what, file, source },
        }
    }
}

/// Whether the file is what is wrong, so that neither space nor permissions would help.
fn is_damage(error: &redb::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    match error {
        redb::Error::Corrupted(_)
        | redb::Error::RepairAborted
        | redb::Error::UpgradeRequired(_) => true,
        redb::Error::Io(error) => matches!(error.kind(), InvalidData | UnexpectedEof),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(dir.path()).unwrap();
        assert_eq!(database.seq().unwrap(), 0);
        database.set_seq(42).unwrap();
        drop(database);
        assert_eq!(Database::open(dir.path()).unwrap().seq().unwrap(), 42);
    }

    #[test]
    fn a_join_keeps_its_age_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(dir.path()).unwrap();
        let ask = |addresses: &[&str], now| {
            let addresses: Vec<_> = addresses.iter().map(|address| (*address).to_owned()).collect();
            let since = database.joins_since(&addresses, UnixMillis::new(now)).unwrap();
            since.into_iter().map(|(_, since)| since.get()).collect::<Vec<_>>()
        };
        assert_eq!(ask(&["a", "b"], 1), [1, 1]);
        assert_eq!(ask(&["a", "c"], 2), [1, 2]);
        assert_eq!(ask(&["b"], 3), [3]);
    }

    #[test]
    fn where_a_join_led_is_kept_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(dir.path()).unwrap();
        let target = unring_peer::Identity::generate().peer_id();
        database.joins_since(&["a".to_owned()], UnixMillis::new(1)).unwrap();
        database.set_targets("a", &[target]).unwrap();
        assert_eq!(database.targets().unwrap(), [("a".to_owned(), vec![target])].into());
        database.joins_since(&[], UnixMillis::new(2)).unwrap();
        assert_eq!(database.targets().unwrap(), BTreeMap::new());
    }

    #[test]
    fn a_newer_layout_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        Database::open(dir.path()).unwrap().set_number("schema", 2).unwrap();
        let error = Database::open(dir.path()).unwrap_err();
        assert!(matches!(error, DatabaseError::Newer { found: 2, .. }), "{error}");
    }

    #[test]
    fn a_file_that_is_no_database_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "not a database, but long enough to look like one")
            .unwrap();
        let error = Database::open(dir.path()).unwrap_err();
        assert!(matches!(error, DatabaseError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(FILE));
    }

    #[test]
    fn two_nodes_cannot_share_a_database() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Database::open(dir.path()).unwrap();
        assert!(matches!(Database::open(dir.path()), Err(DatabaseError::Open { .. })));
    }
}
