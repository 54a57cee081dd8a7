//! What a server is told at its start.

use std::time::Duration;

use crate::Guard;

/// Streams that a client may have open on one connection, advertised to it. Clients of ours use at most 16 for requests
/// and one to watch; more than this are refused by the HTTP/2 layer and none waits.
pub const DEFAULT_MAX_STREAMS_PER_CONNECTION: u32 = 64;

/// Calls answered at once over all connections: at a few milliseconds each far more than a node's budget of CPU pays
/// for. One more is refused with a retry delay; none waits.
pub const DEFAULT_MAX_IN_FLIGHT: usize = 512;

/// Streams of records open at once: one of each node that joins this one, and room for tools. One more is refused.
pub const DEFAULT_MAX_WATCH_STREAMS: usize = 1024;

/// Time that a call without `grpc-timeout` gets.
pub const DEFAULT_BUDGET: Duration = Duration::from_secs(10);

/// Longest time that a call gets, whatever it asks for: what it holds is given back after that.
pub const DEFAULT_MAX_BUDGET: Duration = Duration::from_secs(30);

/// Silence after which the other end is asked whether it is still there.
pub const DEFAULT_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// Time it has to answer that; then the connection is closed.
pub const DEFAULT_KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for the first call of a connection, HTTP/2's own beginning included: a node calls as soon as it is connected, and a
/// connection without a call holds a place that its neighbours behind the same address may need.
pub const DEFAULT_FIRST_CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Time without a call after which a connection is closed. Nodes that poll do so every 5 minutes at the least, which then
/// costs them a handshake; a stream is a call that lasts.
pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(120);

/// Time for a reader to take the next 64 KiB of an answer or a stream; then its connection is closed. Three times as long as
/// a node allows before it ends a stream, so that a slow line has the time to hear why.
pub const DEFAULT_UNREAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Time for a call that crosses the word that its idle connection is being closed.
pub(crate) const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// Time that open calls have to end after the signal to stop; then their connections are closed.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(5);

/// Retry delay in the refusal of a full server or one that stops: time for a call to end or a node to start again.
pub const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Bytes of a request's headers. Ours take 500; a longer list is refused by the HTTP/2 layer.
pub(crate) const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;

/// Bytes that one call may have sent unread: a batch of records comes in four such pieces.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// Bytes that one connection may have sent unread, all calls together.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Bytes that wait to be sent on one call; at the bound the call waits for its reader.
pub(crate) const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// Bounds of a server. [`ServerConfig::new`] fills in the defaults.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// See [`DEFAULT_MAX_STREAMS_PER_CONNECTION`].
    pub max_streams_per_connection: u32,
    /// See [`DEFAULT_MAX_IN_FLIGHT`].
    pub max_in_flight: usize,
    /// See [`DEFAULT_MAX_WATCH_STREAMS`].
    pub max_watch_streams: usize,
    /// See [`DEFAULT_BUDGET`].
    pub default_budget: Duration,
    /// See [`DEFAULT_MAX_BUDGET`].
    pub max_budget: Duration,
    /// See [`DEFAULT_KEEPALIVE_INTERVAL`].
    pub keepalive_interval: Duration,
    /// See [`DEFAULT_KEEPALIVE_TIMEOUT`].
    pub keepalive_timeout: Duration,
    /// See [`DEFAULT_FIRST_CALL_TIMEOUT`].
    pub first_call_timeout: Duration,
    /// See [`DEFAULT_IDLE_TIMEOUT`].
    pub idle_timeout: Duration,
    /// See [`DEFAULT_UNREAD_TIMEOUT`].
    pub unread_timeout: Duration,
    /// See [`DEFAULT_DRAIN`].
    pub drain: Duration,
    /// See [`DEFAULT_RETRY_AFTER`].
    pub retry_after: Duration,
    /// Who may call. By default everybody.
    pub guard: Guard,
}

impl ServerConfig {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_streams_per_connection: DEFAULT_MAX_STREAMS_PER_CONNECTION,
            max_in_flight: DEFAULT_MAX_IN_FLIGHT,
            max_watch_streams: DEFAULT_MAX_WATCH_STREAMS,
            default_budget: DEFAULT_BUDGET,
            max_budget: DEFAULT_MAX_BUDGET,
            keepalive_interval: DEFAULT_KEEPALIVE_INTERVAL,
            keepalive_timeout: DEFAULT_KEEPALIVE_TIMEOUT,
            first_call_timeout: DEFAULT_FIRST_CALL_TIMEOUT,
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            unread_timeout: DEFAULT_UNREAD_TIMEOUT,
            drain: DEFAULT_DRAIN,
            retry_after: DEFAULT_RETRY_AFTER,
            guard: Guard::default(),
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self::new()
    }
}
