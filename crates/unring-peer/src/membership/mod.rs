//! Who belongs to a cluster: peer ids that are listed, and whoever knows the join token.

mod keyring;
mod token;

use std::collections::BTreeSet;
use std::sync::Arc;

use libp2p_identity::PeerId;
use thiserror::Error;

pub use self::keyring::{Keyring, MAX_TOKENS};
pub use self::token::{InvalidToken, JoinToken, MAX_TOKEN_BYTES, MIN_TOKEN_BYTES};
use crate::{SignedRecord, UnverifiedRecord};

/// Why somebody does not belong to the cluster.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NotAMember {
    /// On the deny list, whatever else it shows.
    #[error("{peer} is denied")]
    Denied {
        /// Who.
        peer: PeerId,
    },
    /// There is an allow list, and it is not on it.
    #[error("{peer} is not on the allow list")]
    NotAllowed {
        /// Who.
        peer: PeerId,
    },
    /// There is a join token, and it shows nothing made with it.
    #[error("nothing made with the cluster's join token is shown")]
    NothingShown,
    /// What it shows was made with another token, for somebody else or for something else.
    #[error("what is shown was not made with this cluster's join token")]
    OtherToken,
}

/// The rules of who belongs to the cluster. By default everybody does. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub struct Membership {
    keyring: Option<Keyring>,
    lists: Arc<PeerLists>,
}

/// Peer ids that are let in or kept out whatever else they show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerLists {
    /// If not empty, only these are let in.
    pub allow: BTreeSet<PeerId>,
    /// These are kept out, also when they are allowed.
    pub deny: BTreeSet<PeerId>,
}

impl Membership {
    /// Whoever the lists let in and, if there is a keyring, shows something made with it.
    #[must_use]
    pub fn new(keyring: Option<Keyring>, lists: PeerLists) -> Self {
        Self { keyring, lists: Arc::new(lists) }
    }

    /// The keys of the join tokens; none where everybody may join.
    #[must_use]
    pub fn keyring(&self) -> Option<&Keyring> {
        self.keyring.as_ref()
    }

    /// The lists alone, for a part of the node that knows neither token nor authority.
    #[must_use]
    pub fn lists(&self) -> &PeerLists {
        &self.lists
    }

    /// Whether the lists let `peer` in.
    ///
    /// # Errors
    /// When it is denied, or others are allowed and it is not.
    pub fn check_peer(&self, peer: &PeerId) -> Result<(), NotAMember> {
        if self.lists.deny.contains(peer) {
            return Err(NotAMember::Denied { peer: *peer });
        }
        if !self.lists.allow.is_empty() && !self.lists.allow.contains(peer) {
            return Err(NotAMember::NotAllowed { peer: *peer });
        }
        Ok(())
    }

    /// Whether a record speaks of a member. It costs two orders of magnitude less than its signature, so it is asked first.
    ///
    /// # Errors
    /// When the lists keep its peer out, or its tag is missing or wrong.
    pub fn check_unverified(&self, record: &UnverifiedRecord) -> Result<(), NotAMember> {
        self.check(&record.peer_id(), record.envelope(), record.membership_tag())
    }

    /// The same for a record whose signature is known to be valid.
    ///
    /// # Errors
    /// When the lists keep its peer out, or its tag is missing or wrong.
    pub fn check_record(&self, record: &SignedRecord) -> Result<(), NotAMember> {
        self.check(&record.record().peer_id, record.envelope(), record.membership_tag())
    }

    fn check(&self, peer: &PeerId, envelope: &[u8], tag: &[u8]) -> Result<(), NotAMember> {
        self.check_peer(peer)?;
        self.keyring.as_ref().map_or(Ok(()), |keyring| keyring.check_tag(envelope, tag))
    }

    /// Gives a record of our own its tag, where there is a token.
    #[must_use]
    pub fn tagged(&self, record: SignedRecord) -> SignedRecord {
        match &self.keyring {
            Some(keyring) => {
                let tag = keyring.tag(record.envelope());
                record.with_membership_tag(tag)
            }
            None => record,
        }
    }
}

#[cfg(test)]
mod tests;
