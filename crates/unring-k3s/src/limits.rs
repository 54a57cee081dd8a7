//! Every bound on what is read from others or said to them.

use std::time::Duration;

/// Bytes of an answer that the client reads. A cluster of 400 nodes, each named twice as K3s does, takes 80 KB.
/// At the bound the answer is refused as a whole: half a list is no list.
pub const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// The longest pause that a server can ask for; a longer one is taken for this. Nobody is kept away for ever by one answer.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Addresses taken from one answer: as many as a book holds. Those beyond it are left out and counted.
pub const MAX_ANSWER_ADDRESSES: usize = 4096;

/// Addresses that the server puts into one answer. Each is dialled by who asked; the rest is left out.
pub const MAX_SERVED_ADDRESSES: usize = 1000;

/// Bytes of one address with its peer id: the longest of both, and `/p2p/` between them.
pub const MAX_ADDRESS_BYTES: usize =
    unring_peer::limits::MAX_ADDRESS_BYTES + unring_peer::limits::MAX_PEER_ID_BYTES + 5;

/// Bytes of a join token. K3s makes 32 to 64 digits behind a hash of 64; people choose longer ones. Refused above it.
pub const MAX_TOKEN_BYTES: usize = 1024;

/// Bytes of a CA's PEM. One certificate of K3s has 600; a bundle under rotation a few KB. Refused above it.
pub const MAX_CA_BYTES: usize = 64 * 1024;

/// Certificates of a CA: each may have to be checked against each other. Refused above it.
pub const MAX_CA_CERTIFICATES: usize = 16;

/// Tokens with which one is let in: a server's, an agent's, and both once more while they are changed. Refused above it.
pub const MAX_TOKENS: usize = 8;

/// Bytes of an `Authorization` header: the longest token in base64, twice. A longer one is not looked at.
pub const MAX_AUTHORIZATION_BYTES: usize = 4096;

/// Organizations of a client certificate that are looked at. Kubernetes's own have one.
pub const MAX_GROUPS: usize = 16;

/// Lines of which it is remembered when they were last in the log: at most two for each client. While more come within a
/// minute, those beyond are not logged.
pub const MAX_LOGGED_CLIENTS: usize = 1024;

/// Addresses shown in one line of the log. The rest is counted.
pub const MAX_LOGGED_ADDRESSES: usize = 8;

/// Bytes of a server's URL: a DNS name, scheme and port, with room. Refused above it.
pub const MAX_URL_BYTES: usize = 300;

/// Bytes of a refusal's body that are shown. The rest is dropped.
pub const MAX_DETAIL_BYTES: usize = 200;

/// Connections that the listener has open at once. K3s's clients make one for each request. The next takes the place of one
/// that has asked nothing for 2 s, or is closed at once.
pub const MAX_CONNECTIONS: usize = 128;

/// Of these from one address, or one /64 of IPv6: several agents behind a NAT at once, and no more than a quarter. The next
/// takes the place of a neighbour that has asked nothing for 2 s, or is closed at once.
pub const MAX_CONNECTIONS_PER_ADDRESS: usize = MAX_CONNECTIONS / 4;

/// Bytes of a request's head. The longest honest one takes 2 KiB. Answered with 431 above it.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;
