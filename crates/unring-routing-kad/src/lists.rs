//! Peers that are let in or kept out, whatever else is known of them.

use std::collections::BTreeSet;

use libp2p_identity::PeerId;
use thiserror::Error;

/// Peer ids that are let in or kept out, in both directions. By default everybody is let in.
///
/// They are asked as soon as an id is known: of a peer that is dialled by name before the dial, else after the handshake,
/// which proves the id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lists {
    /// If not empty, only these are let in.
    pub allow: BTreeSet<PeerId>,
    /// These are kept out, also when they are allowed.
    pub deny: BTreeSet<PeerId>,
}

/// Why a peer is kept out.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum KeptOut {
    /// On the deny list.
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
}

impl Lists {
    /// Whether `peer` is let in.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, peer: &PeerId) -> Result<(), KeptOut> {
        if self.deny.contains(peer) {
            return Err(KeptOut::Denied { peer: *peer });
        }
        if !self.allow.is_empty() && !self.allow.contains(peer) {
            return Err(KeptOut::NotAllowed { peer: *peer });
        }
        Ok(())
    }

    pub(crate) fn let_in(&self, peer: &PeerId) -> bool {
        self.check(peer).is_ok()
    }
}
