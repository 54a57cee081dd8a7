//! What goes over a stream of records at once, and where the stream stands with it.

/// Where a stream of records stands: all that one book had at this version was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Names the life of the process whose book it is; versions of two epochs cannot be compared. Never 0 for a node.
    pub epoch: u64,
    /// The book's version, which only grows; 0 where nothing can be said.
    pub version: u64,
}

/// What one end of a stream tells the other at once.
#[derive(Clone, Debug)]
pub struct Batch<R> {
    /// Records that are new or newer to the receiver, as far as the sender knows.
    pub records: Vec<R>,
    /// All that the sender knows has been sent with these.
    pub snapshot_complete: bool,
    /// The snapshot holds only what has changed since the position that the receiver named when it opened the stream.
    pub resumed: bool,
    /// Where the sender's book stands with these; version 0 in all but the last part of a batch that comes in several.
    pub position: Position,
    /// Version of the receiver's book up to which the sender has its records; 0 for none.
    pub received: u64,
}

impl<R> Batch<R> {
    /// The same with its records in another form, for whoever carries it.
    pub fn map_records<S>(self, convert: impl FnOnce(Vec<R>) -> Vec<S>) -> Batch<S> {
        let Self { records, snapshot_complete, resumed, position, received } = self;
        Batch { records: convert(records), snapshot_complete, resumed, position, received }
    }
}

impl<R> Default for Batch<R> {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            snapshot_complete: false,
            resumed: false,
            position: Position::default(),
            received: 0,
        }
    }
}
