//! The way of a request: who started it, which nodes it passed, how often it may still be forwarded.

use std::fmt;

use thiserror::Error;
use unring_peer::{Identity, PeerId, PublicKey, UnixMillis, verify_signature};

/// Highest hop limit that is accepted: the width of SIP's Max-Forwards (RFC 3261 section 20.22). Above it a request
/// is refused, so that nobody can buy more forwarding by asking for it.
pub const MAX_HOP_LIMIT: u8 = 255;

/// Most hops that a path may hold; a longer one is refused. It follows from [`MAX_HOP_LIMIT`]: each forward takes one.
pub const MAX_PATH: usize = MAX_HOP_LIMIT as usize;

/// Separates signatures of requests from every other use of a node's key.
const REQUEST_DOMAIN: &str = "unring-request";

/// Domain of the keyed hash behind a stamp.
const STAMP_CONTEXT: &[u8] = b"unring-stamp-v1";

/// 128 random bits that name one request of one origin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId([u8; 16]);

impl RequestId {
    /// The id with these bits; the caller draws them at random.
    #[must_use]
    pub const fn new(bits: [u8; 16]) -> Self {
        Self(bits)
    }

    /// Its 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

/// 16 bytes that only the node that made them can recognise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp([u8; 16]);

impl Stamp {
    /// What precedes the first stamp of a path.
    pub const NONE: Self = Self([0; 16]);

    /// The stamp with these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The secret of one process under which it stamps requests and recognises its own stamps.
///
/// It is the only proof that a request passed here. A peer id in the path proves nothing: were it believed, anybody
/// could suppress a request at a victim by writing the victim into the path (BGP AS-path poisoning). The keyed hash
/// over the routing inputs is RFC 5393's loop detection with a key.
#[derive(Clone)]
pub struct StampKey([u8; 32]);

impl StampKey {
    /// The key with these bits; the caller draws them at random, once per process.
    #[must_use]
    pub const fn new(bits: [u8; 32]) -> Self {
        Self(bits)
    }

    /// This node's stamp on a request whose path ends with `previous`.
    #[must_use]
    pub fn stamp(&self, origin: &PeerId, request_id: RequestId, previous: Stamp) -> Stamp {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(STAMP_CONTEXT);
        hasher.update(&request_id.0);
        hasher.update(&previous.0);
        hasher.update(&origin.to_bytes());
        let mut stamp = [0; 16];
        hasher.finalize_xof().fill(&mut stamp);
        Stamp(stamp)
    }
}

impl fmt::Debug for StampKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StampKey(..)")
    }
}

/// One node that a request passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Who it says it was; the last one is checked against the authenticated caller.
    pub peer: PeerId,
    /// Its stamp, opaque to everybody else.
    pub stamp: Stamp,
}

/// The way of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Who started it.
    pub origin: PeerId,
    /// The origin's key, which its peer id is derived from.
    pub origin_key: PublicKey,
    /// The origin's name for it.
    pub request_id: RequestId,
    /// When it started, on the origin's clock.
    pub issued_at: UnixMillis,
    /// The origin's signature over origin, request id and time.
    pub signature: Vec<u8>,
    /// The nodes it passed, at most [`MAX_PATH`].
    pub path: Vec<Hop>,
    /// How often it may still be forwarded.
    pub hop_limit: u8,
}

/// Why a trace is refused.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum InvalidTrace {
    /// More hops than [`MAX_PATH`].
    #[error("path of {got} hops, at most {MAX_PATH} are allowed")]
    PathTooLong {
        /// Hops it has.
        got: usize,
    },
    /// The last hop is not who called.
    #[error("the last hop is {last}, but the caller is {caller}")]
    LastHopNotCaller {
        /// The path's last hop, or the origin of an empty path.
        last: PeerId,
        /// Who called.
        caller: PeerId,
    },
    /// Whoever forwards must say who it is.
    #[error("a request with a trace needs an authenticated caller")]
    AnonymousCaller,
    /// The origin's key is not the key of its peer id.
    #[error("the origin's public key belongs to {key_of}, not to {origin}")]
    OtherKey {
        /// Who is named as the origin.
        origin: PeerId,
        /// Whose key it is.
        key_of: PeerId,
    },
    /// The origin did not sign this.
    #[error("the signature of origin {origin} on request {request_id} does not verify")]
    Signature {
        /// Who is named as the origin.
        origin: PeerId,
        /// The request.
        request_id: RequestId,
    },
}

impl Trace {
    /// The trace of a new request, which no node has passed yet.
    #[must_use]
    pub fn start(
        identity: &Identity,
        request_id: RequestId,
        issued_at: UnixMillis,
        hop_limit: u8,
    ) -> Self {
        let origin = identity.peer_id();
        let signature = identity.sign(
            REQUEST_DOMAIN,
            &signed_parts(&origin, request_id, issued_at).each_ref().map(Vec::as_slice),
        );
        let origin_key = identity.public_key();
        Self { origin, origin_key, request_id, issued_at, signature, path: Vec::new(), hop_limit }
    }

    /// Checks bounds, and that the last hop is the authenticated caller: cheap, no signature.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self, caller: Option<PeerId>) -> Result<(), InvalidTrace> {
        if self.path.len() > MAX_PATH {
            return Err(InvalidTrace::PathTooLong { got: self.path.len() });
        }
        let caller = caller.ok_or(InvalidTrace::AnonymousCaller)?;
        let last = self.path.last().map_or(self.origin, |hop| hop.peer);
        if last != caller {
            return Err(InvalidTrace::LastHopNotCaller { last, caller });
        }
        let key_of = self.origin_key.to_peer_id();
        if key_of != self.origin {
            return Err(InvalidTrace::OtherKey { origin: self.origin, key_of });
        }
        Ok(())
    }

    /// Checks the origin's signature: the dear part of [`check`](Self::check).
    ///
    /// # Errors
    /// When the origin did not sign this request.
    pub fn verify(&self) -> Result<(), InvalidTrace> {
        let Self { origin, request_id, .. } = *self;
        let parts = signed_parts(&origin, request_id, self.issued_at);
        let parts = parts.each_ref().map(Vec::as_slice);
        if verify_signature(&self.origin_key, REQUEST_DOMAIN, &parts, &self.signature) {
            Ok(())
        } else {
            Err(InvalidTrace::Signature { origin, request_id })
        }
    }

    /// Where in the path this node's own valid stamp is: the request has passed here before.
    #[must_use]
    pub fn position_of(&self, key: &StampKey, me: &PeerId) -> Option<usize> {
        self.path.iter().enumerate().position(|(index, hop)| {
            hop.peer == *me
                && hop.stamp == key.stamp(&self.origin, self.request_id, self.stamp_before(index))
        })
    }

    /// How often this node is named in the path without a valid stamp: forged, or stamped before a restart.
    #[must_use]
    pub fn forged_mentions(&self, key: &StampKey, me: &PeerId) -> usize {
        let named = self.path.iter().enumerate().filter(|(_, hop)| hop.peer == *me);
        let forged = named.filter(|(index, hop)| {
            hop.stamp != key.stamp(&self.origin, self.request_id, self.stamp_before(*index))
        });
        forged.count()
    }

    /// The trace as this node passes it on: itself appended with its stamp, the hop limit copied **and decremented**
    /// (RFC 7332: a node that makes a new request of an old one must, or loops never end).
    ///
    /// `None` when the hop limit or the path is used up.
    #[must_use]
    pub fn forwarded(&self, key: &StampKey, me: PeerId) -> Option<Self> {
        let hop_limit = self.hop_limit.checked_sub(1)?;
        if self.path.len() >= MAX_PATH {
            return None;
        }
        let stamp = key.stamp(&self.origin, self.request_id, self.stamp_before(self.path.len()));
        let mut path = Vec::with_capacity(self.path.len() + 1);
        path.extend_from_slice(&self.path);
        path.push(Hop { peer: me, stamp });
        let (origin_key, signature) = (self.origin_key.clone(), self.signature.clone());
        Some(Self { path, hop_limit, origin_key, signature, ..*self })
    }

    fn stamp_before(&self, index: usize) -> Stamp {
        index
            .checked_sub(1)
            .and_then(|index| self.path.get(index))
            .map_or(Stamp::NONE, |hop| hop.stamp)
    }
}

fn signed_parts(origin: &PeerId, request_id: RequestId, issued_at: UnixMillis) -> [Vec<u8>; 3] {
    [origin.to_bytes(), request_id.0.to_vec(), issued_at.get().to_be_bytes().to_vec()]
}
