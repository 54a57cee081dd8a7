//! Every bound, with its reason.

use std::time::Duration;

/// Sources in a table: more than a person configures. Further ones are refused.
pub const MAX_SOURCES: usize = 64;

/// Addresses of one answer that are used, those of this node not counted; further ones are left out. A first peer is
/// looked for, not all peers: these tell of the others.
pub const MAX_FOUND: usize = 32;

/// Bytes of an error that are kept for the status page; part of it may come from the remote.
pub const MAX_ERROR_BYTES: usize = 512;

/// The first wait after an attempt without which nobody is connected; doubled each time. As Spegel.
pub const BACKOFF_MIN: Duration = Duration::from_millis(50);

/// The longest wait while nobody is connected. As Spegel.
pub const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// Between two attempts while somebody is connected, less up to a tenth at random. As Spegel.
pub const REFRESH: Duration = Duration::from_secs(30 * 60);

/// How long an attempt may take in all, with the dials to what it found. As Spegel.
pub const ATTEMPT_LIMIT: Duration = Duration::from_secs(30);

/// How long the answer of DNS or an HTTP server may take. As Spegel's HTTP client, and K3s's.
pub const ASK_LIMIT: Duration = Duration::from_secs(10);

/// A connection that was lost sooner does not begin the back-off anew: a peer that accepts and hangs up must not make
/// every source be asked as fast as it can.
pub const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Answers in a row that name nobody else, after which whoever a source told of before is forgotten: the first may come from
/// a server, or a name, that is only just being set up again.
pub const ANSWERS_TO_FORGET: u32 = 2;

/// The least time between two log lines about one source, and between two about being alone.
pub const QUIET: Duration = Duration::from_secs(60);

/// How long nobody must have been connected before a node says that it is alone.
pub const ALONE_AFTER: Duration = Duration::from_secs(5);

/// Bytes of an answer of `/id`; an honest one has a few hundred. A longer one is refused unread.
pub const MAX_ID_BYTES: usize = 64 * 1024;

/// Peers of one answer of `/id`, as Spegel takes; further ones are left out.
pub const MAX_ID_PEERS: usize = 3;

/// Addresses of one peer in an answer of `/id`: a node has few interfaces. Further ones are left out.
pub const MAX_ID_ADDRESSES: usize = 8;

/// A and AAAA records used, each, in ascending order, as Spegel does: all nodes then begin with the same ones, which
/// keeps them in one network.
pub const MAX_DNS_ADDRESSES: usize = 3;

/// TXT look-ups of one `/dnsaddr`; what is left then is left out. As rust-libp2p.
pub const MAX_DNSADDR_LOOKUPS: usize = 32;

/// How deep a `/dnsaddr` may point to further ones; deeper ones are left out. Public ones have one level.
pub const MAX_DNSADDR_DEPTH: usize = 4;

/// How long one question to DNS may take, and how often it is asked: both servers of a usual `/etc/resolv.conf` fit into
/// [`ASK_LIMIT`].
pub const DNS_TIMEOUT: Duration = Duration::from_secs(3);

/// See [`DNS_TIMEOUT`].
pub const DNS_ATTEMPTS: usize = 2;

/// Bytes of a refusal's body that are shown.
pub const MAX_DETAIL_BYTES: usize = 200;
