//! What an engine counts.

/// Counts since the engine started. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Inbound requests answered, refused ones left out.
    pub served: u64,
    /// Recursive requests sent: the messages of law L1.
    pub sent: u64,
    /// Local requests sent: polls of upstreams that cannot stream, and looks that met a node without a stream.
    pub sent_local: u64,
    /// Looks at where an address leads, over connections of their own.
    pub probes: u64,
    /// Inbound requests that had been forwarded before.
    pub duplicates: u64,
    /// Inbound requests that came back with our own stamp: each is a turn of a ring that was cut short.
    pub loops: u64,
    /// Mentions of us in a path without a valid stamp: forged, or stamped before our restart.
    pub forged_stamps: u64,
    /// Requests that some upstream was not asked because no slot was free there, or because too many were waiting.
    pub busy: u64,
    /// Answers from the book because the CPU budget was used up.
    pub degraded: u64,
    /// Requests not forwarded because the hop limit was used up.
    pub hop_limit: u64,
    /// Requests not forwarded because the dedup store was full.
    pub dedup_full: u64,
    /// Requests not forwarded, and records kept out, because of their clock.
    pub clock_skew: u64,
    /// Requests refused for their trace.
    pub invalid_traces: u64,
    /// Times that our own record was signed.
    pub signed: u64,
    /// Times that our own record went out before its `seq` was on disk, because the disk took longer than
    /// [`MAX_PERSIST_WAIT`](crate::config::MAX_PERSIST_WAIT).
    pub seqs_unpersisted: u64,
    /// Records pushed on streams.
    pub pushes: u64,
    /// Streams of watchers that went on where an earlier one had ended.
    pub streams_resumed: u64,
    /// Streams ended because the other end did not read.
    pub slow_consumers: u64,
    /// Streams ended because nothing was heard on them for [`STREAM_TIMEOUT`](crate::config::STREAM_TIMEOUT).
    pub silent_streams: u64,
    /// Heartbeats sent: messages without a record.
    pub heartbeats: u64,
    /// Records kept, new or newer.
    pub records_kept: u64,
    /// Records that brought nothing new.
    pub records_known: u64,
    /// Records that could not be read or whose signature does not verify.
    pub records_invalid: u64,
    /// Records kept out because the book or the introducer's share was full.
    pub records_full: u64,
    /// Records kept out or taken out because their time was over.
    pub records_expired: u64,
    /// Records kept out or taken out because their peer is denied, or not allowed.
    pub records_denied: u64,
    /// Records kept out or taken out because nothing made with the join token came with them.
    pub records_without_tag: u64,
    /// Records kept out or taken out because their tag was not made with our join token.
    pub records_wrong_tag: u64,
}
