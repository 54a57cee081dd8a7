//! What the network is told at its start, and every bound with its reason.

use std::time::Duration;

use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::kad::KadConfig;
use crate::network_key::NetworkKey;

/// Protocol version string that identify sends; informational, nothing is decided by it.
pub const IDENTIFY_PROTOCOL: &str = "unring/1.0.0";

/// libp2p connections in total: the high-water mark of go-libp2p's connection manager, with which Spegel runs.
pub const DEFAULT_MAX_CONNECTIONS: u32 = 192;
/// The fewest connections that can be configured: one for a peer we choose and one for a peer that chooses us.
pub const MIN_MAX_CONNECTIONS: u32 = 2;
/// Connections to one peer: two, so that a dial from each side at once leaves both, and nobody takes more room.
pub const MAX_CONNECTIONS_PER_PEER: u32 = 2;
/// Inbound handshakes at once; above it newcomers are dropped before any cryptography is done for them.
pub const MAX_PENDING_INCOMING: u32 = 32;
/// Outbound handshakes at once, over all users of the swarm: the sum of [`MAX_DIALS_IN_FLIGHT`], [`MAX_CONNECTS_IN_FLIGHT`],
/// [`crate::MAX_KAD_DIALS`] and [`crate::MAX_REFRESH_DIALS`], so that none is ever in the way of another, and some that are given up.
pub const MAX_PENDING_OUTGOING: u32 = 40;
/// How long a connection to a peer that is not wanted may stay unused.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// A stranger's connection that was of no use for so long is closed when another needs its place: as long as a peer has to say
/// what it wants.
pub const UNUSED_BEFORE_CLOSED: Duration = Duration::from_secs(10);
/// Connections that are closed for others and not gone yet, each for a second at most; meanwhile further ones are refused.
pub const MAX_CLOSING: usize = 16;

/// Between two pings on a connection; but for identify every five minutes they are all that an idle one carries.
pub const PING_INTERVAL: Duration = Duration::from_secs(10);
/// How long the answer to a ping may take; the second failure in a row closes the connection, so a host that lost its power or
/// its network is noticed after 25 s. TCP by itself would try again ever later, after a partition of a minute only 40 s
/// after its end.
pub const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Dials at once to wanted peers: enough to fill a node's connections within seconds, too few to be a storm.
pub const MAX_DIALS_IN_FLIGHT: usize = 8;
/// Dials at once by [`crate::Handle::connect`]: as many as to wanted peers, beside them.
pub const MAX_CONNECTS_IN_FLIGHT: usize = 8;
/// Calls of [`crate::Handle::connect`] that wait for one of these dials to end; further ones are refused.
pub const MAX_CONNECTS_WAITING: usize = 256;
/// Addresses kept of one peer, in the order given; further ones are skipped. A node has few interfaces.
pub const MAX_ADDRESSES_PER_PEER: usize = 8;
/// The longest that a peer whose connection was lost is left alone: the other side of a partition is found again within that
/// after its end. A dead one costs a packet in that time, until its record ends.
pub const LOST_BACKOFF: Duration = Duration::from_secs(8);
/// Dials in a row that fail until a peer makes room for one that waits for a place: with peers connected about half a
/// minute of trying, longer than a node takes to restart.
pub const FAILURES_TO_GIVE_UP: u32 = 5;
/// Of the places, and of the dials at once, that corroborated peers contend for, hearsay has one in so many: enough
/// that peers which call and are never there cannot keep honest hearsay out, and no more, since it is free to make.
pub const HEARSAY_SHARE: usize = 4;
/// Hearsay peers are given places at once as often as there are places, and from then on one in this time: a list of
/// peers that do not exist must not make this node dial the addresses in it as fast as it can.
pub const HEARSAY_GAP: Duration = Duration::from_secs(1);
/// Peers whose connections are kept alive; further ones are left out, see [`crate::Dialer::set_wanted`].
pub const MAX_KNOWN_PEERS: usize = 8192;
/// Addresses to listen on, and addresses to announce; more is a typed error at the start.
pub const MAX_OWN_ADDRESSES: usize = 16;

/// Events that wait for a slow receiver; when it is full the oldest are dropped and counted.
pub const EVENT_QUEUE: usize = 256;
/// Bytes of error text in an event; longer text is cut. Part of it may come from the remote.
pub const MAX_ERROR_TEXT: usize = 512;

/// A TCP connect with its Noise and yamux handshakes, in and out, takes at most this.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Until a host that is dialled answers at all: below [`crate::REQUEST_TIMEOUT`], so that whoever waits for it hears of it, and
/// above the first repetition of a lost packet, after one second.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_millis(2500);
/// How long binding may take until each listener has reported an address.
pub(crate) const BIND_DEADLINE: Duration = Duration::from_secs(5);
/// How long connections get to close on shutdown; what is open then is dropped.
pub(crate) const CLOSE_DEADLINE: Duration = Duration::from_secs(1);
/// Streams of one connection (yamux): those below, and as many again that have ended and are not cleared away yet.
pub(crate) const MAX_STREAMS_PER_CONNECTION: usize = 128;
/// Of these, opened by the peer; further ones are reset. The 32 of Kademlia, and eight for identify and ping.
pub const MAX_INBOUND_STREAMS_PER_CONNECTION: usize = 40;
/// Of these, opened by this node; further ones wait. As many as the other end serves, here as in js-libp2p.
pub const MAX_OUTBOUND_STREAMS_PER_CONNECTION: usize = 32;
/// Bytes of one connection that came and were not taken from their streams; then it is not read. Two pieces: whoever reads its
/// streams is never held up by it for long, and all connections together hold some megabytes.
pub const MAX_INBOUND_BYTES_HELD: usize = 32 * 1024;
/// Bytes written on the streams of one connection that did not go out; then the streams wait.
pub const MAX_OUTBOUND_BYTES_HELD: usize = 32 * 1024;
/// Data that comes is passed on in pieces of this size, whatever the peer's frames: what rust-yamux sends.
pub(crate) const MAX_PIECE: usize = 16 * 1024;
/// Inbound streams of one connection whose protocol is not agreed yet; further ones are reset.
pub(crate) const MAX_NEGOTIATING_STREAMS: usize = 32;

/// What [`crate::Network::bind`] needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses to listen on, `/ip4|ip6/ADDRESS/tcp/PORT`; port 0 takes a free one. Empty: only dial.
    pub listen: Vec<Multiaddr>,
    /// The addresses that others are told, at best exactly one. Listen addresses are never told.
    pub external: Vec<Multiaddr>,
    /// Name and version of the program, sent by identify.
    pub agent_version: String,
    /// Bounds on connections.
    pub limits: Limits,
    /// How wanted peers are dialled.
    pub dial: DialConfig,
    /// How the node takes part in Kademlia, if it does. Then it announces exactly one address: the one in `external`; if there is
    /// none, the one that it listens on, if that is one; else the one that [`crate::Network::announce`] is told.
    pub kad: Option<KadConfig>,
    /// The key of the private network, if it is one.
    pub network_key: Option<NetworkKey>,
}

/// Bounds on connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Established connections in total, in and out. At least [`MIN_MAX_CONNECTIONS`].
    pub max_connections: u32,
    /// Established connections to one peer.
    pub max_per_peer: u32,
    /// Inbound connections whose handshake is not done.
    pub max_pending_incoming: u32,
    /// Outbound connections whose handshake is not done.
    pub max_pending_outgoing: u32,
    /// How long an unused connection to a peer that is not wanted stays open.
    pub idle_timeout: Duration,
    /// Time between two pings on a connection.
    pub ping_interval: Duration,
    /// How long the answer to a ping may take. A silent peer is given up after the second ping that fails; that one
    /// opens a new stream, which takes 10 s to fail.
    pub ping_timeout: Duration,
}

impl Limits {
    /// `max_connections` in total, the constants of this crate for everything else.
    #[must_use]
    pub fn new(max_connections: u32) -> Self {
        Self {
            max_connections,
            max_per_peer: MAX_CONNECTIONS_PER_PEER,
            max_pending_incoming: MAX_PENDING_INCOMING,
            max_pending_outgoing: MAX_PENDING_OUTGOING,
            idle_timeout: IDLE_TIMEOUT,
            ping_interval: PING_INTERVAL,
            ping_timeout: PING_TIMEOUT,
        }
    }

    /// How many peers are dialled and held: half of the connections, rounded up. The other half is for peers that
    /// chose us, so strangers can never take the room of the peers that we chose.
    #[must_use]
    pub fn max_chosen(&self) -> u32 {
        self.max_connections.div_ceil(2)
    }

    /// Connections to peers that this node did not choose: the other half.
    #[must_use]
    pub fn max_others(&self) -> u32 {
        self.max_connections.saturating_sub(self.max_chosen())
    }

    /// Of these, such as the peers opened: all but a quarter, which is kept for look-ups. With the default these are 24 places, half
    /// as many again as dials of Kademlia at once.
    #[must_use]
    pub fn max_strangers(&self) -> u32 {
        self.max_others() - self.max_others() / 4
    }
}

/// A back-off: doubled at each failure from `min` to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Least delay.
    pub min: Duration,
    /// Greatest delay.
    pub max: Duration,
}

/// How wanted peers are dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DialConfig {
    /// Dials at once.
    pub max_in_flight: usize,
    /// Peers dialled and held; see [`Limits::max_chosen`].
    pub max_chosen: usize,
    /// How long the greater of two peer ids leaves the dial to the smaller.
    pub yield_delay: Duration,
    /// Back-off per peer while no peer at all is connected.
    pub alone: Backoff,
    /// Back-off per peer whose last connection was stable, while others are connected.
    pub lost: Backoff,
    /// Back-off per peer otherwise.
    pub connected: Backoff,
    /// A connection lost sooner than this counts as a failed dial, so that a peer which accepts and hangs up at once
    /// is not dialled in a loop.
    pub stable_after: Duration,
}

impl DialConfig {
    /// The project's values, with as many chosen peers as `limits` has room for.
    #[must_use]
    pub fn for_limits(limits: &Limits) -> Self {
        Self {
            max_in_flight: MAX_DIALS_IN_FLIGHT,
            max_chosen: usize::try_from(limits.max_chosen()).unwrap_or(usize::MAX),
            yield_delay: Duration::from_secs(1),
            alone: Backoff { min: Duration::from_millis(50), max: Duration::from_secs(10) },
            lost: Backoff { min: Duration::from_secs(1), max: LOST_BACKOFF },
            connected: Backoff { min: Duration::from_secs(1), max: Duration::from_secs(300) },
            stable_after: Duration::from_secs(10),
        }
    }
}

/// A peer to stay connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPeer {
    /// Who must answer there.
    pub peer: PeerId,
    /// Where it may be; only `/ip4|ip6/ADDRESS/tcp/PORT`, with or without its own `/p2p/ID`, is used.
    pub addresses: Vec<Multiaddr>,
    /// Known only from another node. `false`: it called us itself, is our upstream or is otherwise corroborated.
    pub hearsay: bool,
}
