//! The tables, and how a layout becomes the next one.

use redb::{ReadableTable as _, TableDefinition, WriteTransaction};

/// The layout of the tables below. A newer one is set aside, an older one is brought up to this.
pub(super) const SCHEMA: u64 = 2;

/// Numbers by name: "schema" and "seq".
pub(super) const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
/// Since when each upstream address has been configured, Unix time in milliseconds.
pub(super) const JOINS: TableDefinition<'_, &str, u64> = TableDefinition::new("joins");
/// Where each upstream address led: peer ids in base58, with commas.
pub(super) const TARGETS: TableDefinition<'_, &str, &str> = TableDefinition::new("targets");
/// What was said of rings: one JSON value under "memory".
pub(super) const RINGS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("rings");
/// Records by peer id, each as its verbatim envelope and membership tag. Since layout 2.
pub(super) const BOOK: TableDefinition<'_, &[u8], (&[u8], &[u8])> = TableDefinition::new("book");
/// The `seq` of records that expired, and until when that counts, by peer id. Since layout 2.
pub(super) const GRAVES: TableDefinition<'_, &[u8], (u64, u64)> = TableDefinition::new("graves");

/// When there was last a connection to a peer, Unix time in milliseconds, by peer id. It may be missing in layout 2, and
/// versions that do not know it leave it alone.
pub(super) const MET: TableDefinition<'_, &[u8], u64> = TableDefinition::new("met");

type Step = fn(&WriteTransaction) -> Result<(), redb::Error>;

/// What makes of layout 0 (an empty file), 1, ... the next one. A step is never changed once it was released.
const STEPS: &[Step] = &[
    |empty| {
        empty.open_table(NUMBERS)?;
        empty.open_table(JOINS)?;
        empty.open_table(TARGETS)?;
        empty.open_table(RINGS)?;
        Ok(())
    },
    |one| {
        // Layout 1 made a table when it was first written to.
        one.open_table(JOINS)?;
        one.open_table(TARGETS)?;
        one.open_table(RINGS)?;
        one.open_table(BOOK)?;
        one.open_table(GRAVES)?;
        Ok(())
    },
];

const _: () = assert!(STEPS.len() as u64 == SCHEMA);

/// Brings an older layout up to the present one. A newer one is left as it is; its number is returned.
pub(super) fn migrate(transaction: &WriteTransaction) -> Result<u64, redb::Error> {
    let found = transaction.open_table(NUMBERS)?.get("schema")?.map_or(0, |schema| schema.value());
    let steps = usize::try_from(found).ok().and_then(|found| STEPS.get(found..));
    for step in steps.unwrap_or_default() {
        step(transaction)?;
    }
    if found < SCHEMA {
        transaction.open_table(NUMBERS)?.insert("schema", SCHEMA)?;
    }
    Ok(found)
}
