//! Who belongs to the cluster, asked of every call in both directions, and changed while a node runs.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, RwLock};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use tonic::metadata::{MetadataMap, MetadataValue};
use unring_peer::{Membership, NotAMember, PeerId};

/// Binary metadata with which a node shows, in both directions, that it knows the join token: a MAC over its peer id.
pub(crate) const MEMBER_METADATA: &str = "unring-member-bin";

/// How people show the token itself (RFC 6750 section 2.1); the scheme's name in any case (RFC 9110 section 11.1).
const BEARER: &str = "bearer ";

/// Who belongs to the cluster, for servers and clients. Clones share it, so that a change holds for the next call of every
/// connection that is open. By default everybody belongs to it.
#[derive(Clone, Debug, Default)]
pub struct Guard(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Who shows that it is a member; nobody does by default.
    me: Option<PeerId>,
    membership: RwLock<Membership>,
    denied: AtomicU64,
    nothing_shown: AtomicU64,
    other_token: AtomicU64,
    unauthenticated: AtomicU64,
}

/// Calls refused because their caller does not belong to the cluster, since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardCounts {
    /// On the deny list, or not on the allow list.
    pub denied: u64,
    /// Nothing made with the join token was shown.
    pub nothing_shown: u64,
    /// What was shown was made with another token.
    pub other_token: u64,
    /// Who calls was not proved at all.
    pub unauthenticated: u64,
}

impl Guard {
    /// The guard of the node `me`, with these rules.
    #[must_use]
    pub fn new(me: PeerId, membership: Membership) -> Self {
        let membership = RwLock::new(membership);
        Self(Arc::new(Inner { me: Some(me), membership, ..Inner::default() }))
    }

    /// Other rules, from the next call on.
    pub fn set(&self, membership: Membership) {
        // Nothing can panic while it is held, so that it is never poisoned.
        let mut held = self.0.membership.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        *held = membership;
    }

    /// The rules now.
    #[must_use]
    pub fn membership(&self) -> Membership {
        self.0.membership.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// What was refused.
    #[must_use]
    pub fn counts(&self) -> GuardCounts {
        let Inner { denied, nothing_shown, other_token, unauthenticated, .. } = &*self.0;
        GuardCounts {
            denied: denied.load(Relaxed),
            nothing_shown: nothing_shown.load(Relaxed),
            other_token: other_token.load(Relaxed),
            unauthenticated: unauthenticated.load(Relaxed),
        }
    }

    pub(crate) fn count_unauthenticated(&self) {
        self.0.unauthenticated.fetch_add(1, Relaxed);
    }

    /// Whether a call may pass. `peer` is who the transport or a proof says that it is.
    pub(crate) fn check_call(
        &self,
        peer: Option<&PeerId>,
        headers: &HeaderMap,
    ) -> Result<(), NotAMember> {
        let membership = self.membership();
        let checked = check(&membership, peer, headers);
        if let Err(why) = &checked {
            let count = match why {
                NotAMember::Denied { .. } | NotAMember::NotAllowed { .. } => &self.0.denied,
                NotAMember::NothingShown => &self.0.nothing_shown,
                NotAMember::OtherToken => &self.0.other_token,
            };
            count.fetch_add(1, Relaxed);
        }
        checked
    }

    /// Shows in a call that we are a member, where there is a token.
    pub(crate) fn show_call(&self, metadata: &mut MetadataMap) {
        if let (Some(me), Some(keyring)) = (&self.0.me, self.membership().keyring()) {
            let proof = keyring.caller_proof(me);
            metadata.insert_bin(MEMBER_METADATA, MetadataValue::from_bytes(&proof));
        }
    }

    /// Shows in an answer that we are a member, where there is a token.
    pub(crate) fn show_answer(&self, headers: &mut HeaderMap) {
        if let (Some(me), Some(keyring)) = (&self.0.me, self.membership().keyring()) {
            let mut metadata = MetadataMap::new();
            let proof = keyring.server_proof(me);
            metadata.insert_bin(MEMBER_METADATA, MetadataValue::from_bytes(&proof));
            headers.extend(metadata.into_headers());
        }
    }

    /// Whether an answer comes from a member. In plaintext nobody knows who answers, so only its records can be judged.
    pub(crate) fn check_answer(
        &self,
        peer: Option<&PeerId>,
        metadata: &MetadataMap,
    ) -> Result<(), NotAMember> {
        let Some(peer) = peer else { return Ok(()) };
        let membership = self.membership();
        membership.check_peer(peer)?;
        let Some(keyring) = membership.keyring() else { return Ok(()) };
        keyring.check_server(peer, &shown(metadata)?)
    }
}

fn check(
    membership: &Membership,
    peer: Option<&PeerId>,
    headers: &HeaderMap,
) -> Result<(), NotAMember> {
    if let Some(peer) = peer {
        membership.check_peer(peer)?;
    }
    let Some(keyring) = membership.keyring() else { return Ok(()) };
    if let Some(value) = headers.get(AUTHORIZATION) {
        let bytes = value.as_bytes();
        let (scheme, token) = bytes.split_at_checked(BEARER.len()).unwrap_or((bytes, &[]));
        if !scheme.eq_ignore_ascii_case(BEARER.as_bytes()) {
            return Err(NotAMember::NothingShown);
        }
        return keyring.check_token(token.trim_ascii());
    }
    // A proof is of a peer id, so whoever says nothing of who it is has none.
    let Some(peer) = peer else { return Err(NotAMember::NothingShown) };
    let Some(value) = headers.get(MEMBER_METADATA) else { return Err(NotAMember::NothingShown) };
    let mut single = HeaderMap::new();
    single.insert(MEMBER_METADATA, value.clone());
    keyring.check_caller(peer, &shown(&MetadataMap::from_headers(single))?)
}

fn shown(metadata: &MetadataMap) -> Result<Vec<u8>, NotAMember> {
    let value = metadata.get_bin(MEMBER_METADATA).ok_or(NotAMember::NothingShown)?;
    value.to_bytes().map(Into::into).map_err(|_| NotAMember::OtherToken)
}
