//! Signed records on the wire.

use bytes::Bytes;
use prost::Message as _;
use prost::encoding::{encoded_len_varint, key_len};
use unring_peer::{SignedRecord, UnverifiedRecord};

use super::{InvalidMessage, at_most};
use crate::limits::MAX_RECORDS;
use crate::pb;

/// The records of a message, and how many could not be read: a broken record does not cost the others.
pub(super) fn batch(
    field: &'static str,
    wire: Vec<pb::SignedRecord>,
) -> Result<(Vec<UnverifiedRecord>, usize), InvalidMessage> {
    at_most(field, wire.len(), MAX_RECORDS)?;
    let count = wire.len();
    let records: Vec<_> = wire.into_iter().filter_map(|record| decode(record).ok()).collect();
    let refused = count - records.len();
    Ok((records, refused))
}

/// The caller's own record, without which the request makes no sense.
pub(super) fn callers(
    wire: Option<pb::SignedRecord>,
) -> Result<Option<UnverifiedRecord>, InvalidMessage> {
    let field = "caller_record";
    wire.map(decode).transpose().map_err(|source| InvalidMessage::Record { field, source })
}

fn decode(wire: pb::SignedRecord) -> Result<UnverifiedRecord, unring_peer::InvalidRecord> {
    // A part of the message would keep the whole message in memory for as long as the record is kept.
    let copied = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
    let tag = wire.membership_tag.as_ref().map(copied).unwrap_or_default();
    UnverifiedRecord::decode(copied(&wire.envelope), tag)
}

pub(super) fn to_wire(record: &SignedRecord) -> pb::SignedRecord {
    // Absent, not empty: whether a field without presence is empty is found out by comparing no bytes at an address that
    // is none, for which a processor with masked loads (AVX-512) takes some 250 ns, three times for each record.
    let tag = Some(record.membership_tag()).filter(|tag| !tag.is_empty());
    pb::SignedRecord { envelope: record.envelope().clone(), membership_tag: tag.cloned() }
}

/// How many of `records`, from the first, fit into `budget` bytes and [`MAX_RECORDS`], with their decoded form if asked
/// for.
pub(super) fn that_fit(records: &[SignedRecord], decode: bool, budget: usize) -> usize {
    let sizes = records.iter().map(|record| {
        let decoded = if decode { field_len(record.record().to_wire().encoded_len()) } else { 0 };
        let (envelope, tag) = (record.envelope().len(), record.membership_tag().len());
        field_len(field_len(envelope) + field_len(tag)) + decoded
    });
    prefix_within(sizes, budget).min(MAX_RECORDS)
}

/// How many of `sizes`, from the first, add up to at most `budget`.
pub(super) fn prefix_within(sizes: impl Iterator<Item = usize>, budget: usize) -> usize {
    sizes
        .scan(0_usize, |total, size| {
            *total = total.saturating_add(size);
            Some(*total)
        })
        .take_while(|total| *total <= budget)
        .count()
}

/// Bytes of a length-delimited field with a number below 16.
pub(super) fn field_len(length: usize) -> usize {
    key_len(1) + encoded_len_varint(length as u64) + length
}

pub(super) fn decoded(records: &[SignedRecord], decode: bool) -> Vec<pb::NodeRecord> {
    let wanted = if decode { records } else { &[] };
    wanted.iter().map(|record| record.record().to_wire()).collect()
}
