//! The records of an answer, most of which it shares with other answers.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use unring_peer::{PeerId, SignedRecord};

/// Records that many answers hold, drawn once and written once. It dies with the last answer that holds it.
#[derive(Debug)]
pub struct Sample {
    records: Vec<SignedRecord>,
    written: OnceLock<Written>,
}

/// What an adapter has made of a [`Sample`]: only it knows how records are written.
#[derive(Clone, Debug)]
pub struct Written {
    /// A whole message that says nothing beside these records.
    pub message: Bytes,
    /// Where in it the records are, for a message that says more.
    pub records: Range<usize>,
}

impl Sample {
    pub(crate) fn new(records: Vec<SignedRecord>) -> Self {
        Self { records, written: OnceLock::new() }
    }

    /// The records.
    #[must_use]
    pub fn records(&self) -> &[SignedRecord] {
        &self.records
    }

    /// The sample as it was written first; `write` is called if nobody has. An engine's answers are to be written in one way.
    pub fn written(&self, write: impl FnOnce(&[SignedRecord]) -> Written) -> &Written {
        self.written.get_or_init(|| write(&self.records))
    }

    /// Bytes that its records take on the wire, but for what frames each.
    pub(crate) fn wire_bytes(&self) -> usize {
        self.records.iter().map(SignedRecord::wire_bytes).sum()
    }

    pub(crate) fn holds(&self, peer: &PeerId) -> bool {
        self.records.iter().any(|record| record.record().peer_id == *peer)
    }
}

/// The records of one answer. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Records {
    askers_own: Option<SignedRecord>,
    shared: Arc<Sample>,
}

impl Records {
    pub(crate) fn new(askers_own: Option<SignedRecord>, shared: Arc<Sample>) -> Self {
        Self { askers_own, shared }
    }

    /// The asker's own newest record, unless it is among the [shared](Self::shared) ones or unknown.
    #[must_use]
    pub fn askers_own(&self) -> Option<&SignedRecord> {
        self.askers_own.as_ref()
    }

    /// The records that other answers hold as well.
    #[must_use]
    pub fn shared(&self) -> &Sample {
        &self.shared
    }

    /// All records: the asker's own one first, if it is not among the others.
    pub fn iter(&self) -> impl Iterator<Item = &SignedRecord> {
        self.askers_own.iter().chain(&self.shared.records)
    }

    /// How many they are.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.askers_own.is_some()) + self.shared.records.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Vec<SignedRecord>> for Records {
    /// Records that no other answer holds.
    fn from(records: Vec<SignedRecord>) -> Self {
        Self::new(None, Arc::new(Sample::new(records)))
    }
}
