//! Writing: everything that changed, in one transaction, whole or not at all.

use unring_cycle_detector::RingMemory;
use unring_peer::{PeerId, UnixMillis};

use super::shelf::Plan;
use super::tables::{BOOK, GRAVES, JOINS, MET, NUMBERS, RINGS, TARGETS};
use super::{Database, DatabaseError};
use crate::ring_memory;

/// What changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// No record of ours has a higher `seq`.
    pub(crate) seq: Option<u64>,
    /// All configured upstreams: since when, and where each led.
    pub(crate) upstreams: Option<Vec<(String, UnixMillis, Vec<PeerId>)>>,
    /// When there was last a connection to whom, of all that are remembered.
    pub(crate) met: Option<Vec<(PeerId, UnixMillis)>>,
    /// What becomes of records.
    pub(crate) book: Plan,
    /// What was said of rings.
    pub(crate) rings: Option<RingMemory<PeerId>>,
}

impl Changes {
    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.seq.is_none()
            && self.upstreams.is_none()
            && self.met.is_none()
            && self.book.is_empty()
            && self.rings.is_none()
    }
}

impl Database {
    /// Writes what changed. It is on disk when this returns.
    ///
    /// # Errors
    /// When it is not; nothing of it is. The database is of no use then and has to be opened again.
    pub(crate) fn write(&self, changes: &Changes) -> Result<(), DatabaseError> {
        let written = crate::log::catch(|| self.try_write(changes));
        let written = written.unwrap_or_else(|panic| Err(redb::Error::Corrupted(panic)));
        self.was_written();
        written.map_err(|source| DatabaseError::writing(&self.file, source))
    }

    fn try_write(&self, changes: &Changes) -> Result<(), redb::Error> {
        let transaction = self.redb.begin_write()?;
        if let Some(seq) = changes.seq {
            transaction.open_table(NUMBERS)?.insert("seq", seq)?;
        }
        if let Some(upstreams) = &changes.upstreams {
            let mut joins = transaction.open_table(JOINS)?;
            let mut targets = transaction.open_table(TARGETS)?;
            joins.retain(|_, _| false)?;
            targets.retain(|_, _| false)?;
            for (address, since, peers) in upstreams {
                joins.insert(address.as_str(), since.get())?;
                let peers: Vec<_> = peers.iter().map(|peer| peer.to_base58()).collect();
                targets.insert(address.as_str(), peers.join(",").as_str())?;
            }
        }
        if let Some(peers) = &changes.met {
            let mut met = transaction.open_table(MET)?;
            met.retain(|_, _| false)?;
            for (peer, at) in peers {
                met.insert(peer.to_bytes().as_slice(), at.get())?;
            }
        }
        if !changes.book.is_empty() {
            let mut book = transaction.open_table(BOOK)?;
            let mut graves = transaction.open_table(GRAVES)?;
            for key in &changes.book.removed {
                book.remove(key.as_slice())?;
                graves.remove(key.as_slice())?;
            }
            for record in &changes.book.written {
                let key = record.record().peer_id.to_bytes();
                let row: (&[u8], &[u8]) = (record.envelope(), record.membership_tag());
                book.insert(key.as_slice(), row)?;
                graves.remove(key.as_slice())?;
            }
            for grave in &changes.book.buried {
                let key = grave.peer.to_bytes();
                book.remove(key.as_slice())?;
                graves.insert(key.as_slice(), (grave.seq, grave.until.get()))?;
            }
        }
        if let Some(rings) = &changes.rings {
            let bytes = ring_memory::encode(rings);
            transaction.open_table(RINGS)?.insert("memory", bytes.as_slice())?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Reserves every `seq` up to this one. It is on disk when this returns.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_seq(&self, seq: u64) -> Result<(), DatabaseError> {
        self.write(&Changes { seq: Some(seq), ..Changes::default() })
    }
}
