//! What a node says of itself, in the types of the domain.

use std::collections::BTreeSet;
use std::time::Duration;

use libp2p_identity::PeerId;
use thiserror::Error;

use crate::{GrpcUrl, InvalidAddress, PeerAddress, UnixMillis, limits, pb};

/// What a node says of itself. Signed it is a [`SignedRecord`](crate::SignedRecord).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// Who the record speaks of.
    pub peer_id: PeerId,
    /// Version: higher wins, equal or lower is never stored or passed on.
    pub seq: u64,
    /// When it was signed, on the signer's clock.
    pub issued_at: UnixMillis,
    /// How long it is valid from `issued_at`; at most [`limits::MAX_TTL`].
    pub ttl: Duration,
    /// What people call the node.
    pub name: String,
    /// Where libp2p reaches it.
    pub addresses: Vec<PeerAddress>,
    /// Addresses in the wire message that this version cannot dial. Empty in a record of our own.
    pub skipped_addresses: Vec<SkippedAddress>,
    /// The upstreams that it is configured to join.
    pub joins: Vec<Join>,
    /// Failure domain; empty when unknown.
    pub zone: String,
    /// Version of its software; empty when unknown.
    pub version: String,
    /// Where its gRPC service is; none when it must not be dialled.
    pub grpc_url: Option<GrpcUrl>,
}

/// One configured upstream and where it led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The address as the operator wrote it.
    pub address: String,
    /// Who answered there at the last refreshes. One: plain. Several: shared (VIP, load balancer).
    pub targets: BTreeSet<PeerId>,
    /// When the node first saw the address in its configuration.
    pub since: UnixMillis,
}

/// An address that this version leaves out: one of another transport must not cost the node its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedAddress {
    /// Its place in the wire message.
    pub index: usize,
    /// Why it was left out.
    pub reason: InvalidAddress,
}

/// Why the content of a record is refused.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum InvalidContent {
    /// Not a peer id.
    #[error("peer id {0:?} is not a libp2p peer id")]
    PeerId(String),
    /// A target that is not a peer id.
    #[error("target {target:?} of join {join} is not a libp2p peer id")]
    Target {
        /// Which join.
        join: usize,
        /// The text.
        target: String,
    },
    /// Valid for no time, or for longer than [`limits::MAX_TTL`].
    #[error("valid for {got} ms, allowed are 1 to {}", limits::MAX_TTL.as_millis())]
    Ttl {
        /// Milliseconds it claims.
        got: u64,
    },
    /// More entries than allowed.
    #[error("{got} {what}, at most {max} are allowed")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// How many may be.
        max: usize,
    },
    /// A text that is too long.
    #[error("{what} of {got} bytes, at most {max} are allowed")]
    TooLong {
        /// Which text.
        what: &'static str,
        /// Bytes it has.
        got: usize,
        /// Bytes it may have.
        max: usize,
    },
    /// A text with control characters or such that change the direction of text, which would let a record write log lines and terminal codes of its own.
    #[error("{what} holds a control character")]
    ControlCharacter {
        /// Which text.
        what: &'static str,
    },
    /// A gRPC URL that is none.
    #[error("gRPC URL is malformed")]
    GrpcUrl(#[source] crate::InvalidGrpcUrl),
}

impl NodeRecord {
    /// A record without addresses and joins, never signed yet, valid for no time.
    #[must_use]
    pub fn new(peer_id: PeerId, name: impl Into<String>) -> Self {
        Self {
            peer_id,
            seq: 0,
            issued_at: UnixMillis::default(),
            ttl: Duration::ZERO,
            name: name.into(),
            addresses: Vec::new(),
            skipped_addresses: Vec::new(),
            joins: Vec::new(),
            zone: String::new(),
            version: String::new(),
            grpc_url: None,
        }
    }

    /// When it stops being valid, on the signer's clock. It follows the signed times alone, so that nobody can keep a
    /// dead peer alive by passing its record on.
    #[must_use]
    pub fn expires_at(&self) -> UnixMillis {
        self.issued_at.saturating_add(self.ttl)
    }

    /// Whether two records say the same, whatever their version and time.
    #[must_use]
    pub fn same_content(&self, other: &Self) -> bool {
        let Self {
            peer_id,
            seq: _,
            issued_at: _,
            ttl,
            name,
            addresses,
            joins,
            zone,
            version,
            grpc_url,
            ..
        } = self;
        *peer_id == other.peer_id
            && *ttl == other.ttl
            && *name == other.name
            && *addresses == other.addresses
            && *joins == other.joins
            && *zone == other.zone
            && *version == other.version
            && *grpc_url == other.grpc_url
    }

    /// The wire message.
    #[must_use]
    pub fn to_wire(&self) -> pb::NodeRecord {
        pb::NodeRecord {
            peer_id: self.peer_id.to_base58(),
            seq: self.seq,
            issued_at_unix_ms: self.issued_at.get(),
            ttl_ms: u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX),
            name: self.name.clone(),
            addresses: self.addresses.iter().map(ToString::to_string).collect(),
            joins: self.joins.iter().map(Join::to_wire).collect(),
            zone: self.zone.clone(),
            version: self.version.clone(),
            grpc_url: self.grpc_url.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }

    /// Checks a wire message against every bound in [`limits`].
    ///
    /// # Errors
    /// The first thing that is wrong; addresses that cannot be dialled are left out instead.
    pub fn from_wire(wire: pb::NodeRecord) -> Result<Self, InvalidContent> {
        let peer_id =
            peer_id(&wire.peer_id).ok_or_else(|| InvalidContent::PeerId(shorten(&wire.peer_id)))?;
        at_most("addresses", wire.addresses.len(), limits::MAX_ADDRESSES)?;
        at_most("joins", wire.joins.len(), limits::MAX_JOINS)?;
        let ttl = Duration::from_millis(wire.ttl_ms);
        if ttl.is_zero() || ttl > limits::MAX_TTL {
            return Err(InvalidContent::Ttl { got: wire.ttl_ms });
        }
        let mut skipped_addresses = Vec::new();
        let mut addresses = Vec::with_capacity(wire.addresses.len());
        for (index, address) in wire.addresses.iter().enumerate() {
            match address.parse::<PeerAddress>() {
                Ok(address) if addresses.contains(&address) => {}
                Ok(address) => addresses.push(address),
                Err(reason) => skipped_addresses.push(SkippedAddress { index, reason }),
            }
        }
        let joins =
            wire.joins.into_iter().enumerate().map(|(index, join)| Join::from_wire(index, join));
        let grpc_url = match wire.grpc_url.as_str() {
            "" => None,
            url => Some(url.parse().map_err(InvalidContent::GrpcUrl)?),
        };
        Ok(Self {
            peer_id,
            seq: wire.seq,
            issued_at: UnixMillis::new(wire.issued_at_unix_ms),
            ttl,
            name: text("name", wire.name, limits::MAX_NAME_BYTES)?,
            addresses,
            skipped_addresses,
            joins: joins.collect::<Result<_, _>>()?,
            zone: text("zone", wire.zone, limits::MAX_NAME_BYTES)?,
            version: text("version", wire.version, limits::MAX_NAME_BYTES)?,
            grpc_url,
        })
    }
}

impl Join {
    fn to_wire(&self) -> pb::Join {
        pb::Join {
            address: self.address.clone(),
            targets: self.targets.iter().map(|target| target.to_base58()).collect(),
            since_unix_ms: self.since.get(),
        }
    }

    fn from_wire(index: usize, wire: pb::Join) -> Result<Self, InvalidContent> {
        at_most("targets of a join", wire.targets.len(), limits::MAX_TARGETS)?;
        let targets = wire.targets.iter().map(|target| {
            peer_id(target)
                .ok_or_else(|| InvalidContent::Target { join: index, target: shorten(target) })
        });
        Ok(Self {
            targets: targets.collect::<Result<_, _>>()?,
            address: text("address of a join", wire.address, limits::MAX_JOIN_ADDRESS_BYTES)?,
            since: UnixMillis::new(wire.since_unix_ms),
        })
    }
}

/// Reading base58 takes time quadratic in its length, so that a longer text is refused unread.
fn peer_id(text: &str) -> Option<PeerId> {
    if text.len() > limits::MAX_PEER_ID_BYTES { None } else { text.parse().ok() }
}

fn at_most(what: &'static str, got: usize, max: usize) -> Result<(), InvalidContent> {
    if got > max { Err(InvalidContent::TooMany { what, got, max }) } else { Ok(()) }
}

fn text(what: &'static str, text: String, max: usize) -> Result<String, InvalidContent> {
    if text.len() > max {
        return Err(InvalidContent::TooLong { what, got: text.len(), max });
    }
    if text.chars().any(|character| character.is_control() || reorders(character)) {
        return Err(InvalidContent::ControlCharacter { what });
    }
    Ok(text)
}

/// Line and paragraph separators, and characters that change the direction of text: they make a log line look like
/// another one (Unicode Technical Report 36, section 2.10).
fn reorders(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What an error shows of a text that somebody else chose.
fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}
