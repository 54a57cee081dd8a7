//! All that a database holds, read once at the start.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use redb::{Database as Redb, ReadableDatabase as _, ReadableTable as _, TableError};
use unring_cycle_detector::RingMemory;
use unring_exchange::Grave;
use unring_peer::{PeerId, UnixMillis, UnverifiedRecord};

use super::tables::{BOOK, GRAVES, JOINS, MET, NUMBERS, RINGS, TARGETS};
use crate::ring_memory;

/// What a database holds.
#[derive(Debug, Default)]
pub struct Loaded {
    /// No record of ours has a higher `seq`; 0 when there was none.
    pub seq: u64,
    /// Since when each upstream address has been configured.
    pub joins: BTreeMap<String, UnixMillis>,
    /// Where each led. What another version wrote otherwise is left out.
    pub targets: BTreeMap<String, Vec<PeerId>>,
    /// When there was last a connection to whom.
    pub met: BTreeMap<PeerId, UnixMillis>,
    /// What was said of rings; nothing where an unknown version wrote it.
    pub rings: RingMemory<PeerId>,
    /// Records of other nodes. Their signatures are not checked.
    pub book: Vec<UnverifiedRecord>,
    /// Keys of what should be records and cannot be read.
    pub unreadable: BTreeSet<Vec<u8>>,
    /// Records that expired.
    pub graves: Vec<Grave>,
}

impl Loaded {
    pub(super) fn read(redb: &Redb) -> Result<Self, redb::Error> {
        let transaction = redb.begin_read()?;
        let mut loaded = Self {
            seq: transaction.open_table(NUMBERS)?.get("seq")?.map_or(0, |seq| seq.value()),
            ..Self::default()
        };
        for entry in transaction.open_table(JOINS)?.iter()? {
            let (address, since) = entry?;
            loaded.joins.insert(address.value().to_owned(), UnixMillis::new(since.value()));
        }
        for entry in transaction.open_table(TARGETS)?.iter()? {
            let (address, targets) = entry?;
            let peers = targets.value().split(',').filter_map(|peer| peer.parse().ok());
            loaded.targets.insert(address.value().to_owned(), peers.collect());
        }
        match transaction.open_table(MET) {
            Ok(met) => {
                for entry in met.iter()? {
                    let (peer, at) = entry?;
                    if let Ok(peer) = PeerId::from_bytes(peer.value()) {
                        loaded.met.insert(peer, UnixMillis::new(at.value()));
                    }
                }
            }
            Err(TableError::TableDoesNotExist(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let memory = transaction.open_table(RINGS)?.get("memory")?;
        loaded.rings =
            memory.and_then(|memory| ring_memory::decode(memory.value())).unwrap_or_default();
        for entry in transaction.open_table(BOOK)?.iter()? {
            let (key, row) = entry?;
            let (envelope, tag) = row.value();
            let bytes = Bytes::copy_from_slice;
            match UnverifiedRecord::decode(bytes(envelope), bytes(tag)) {
                Ok(record) if record.peer_id().to_bytes() == key.value() => {
                    loaded.book.push(record)
                }
                _ => {
                    loaded.unreadable.insert(key.value().to_vec());
                }
            }
        }
        for entry in transaction.open_table(GRAVES)?.iter()? {
            let (key, row) = entry?;
            let ((seq, until), peer) = (row.value(), PeerId::from_bytes(key.value()));
            match peer {
                Ok(peer) => {
                    let until = UnixMillis::new(until);
                    loaded.graves.push(Grave { peer, seq, until });
                }
                Err(_) => {
                    loaded.unreadable.insert(key.value().to_vec());
                }
            }
        }
        Ok(loaded)
    }
}
