//! Who is not let in, and lists that change while the network runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use libp2p::swarm::ListenError;
use libp2p_identity::PeerId;

use super::Network;
use crate::failure::chain;
use crate::first_bytes::{NoGreeting, no_greeting};
use crate::lists::{KeptOut, Lists};

impl Network {
    /// Takes over who is let in: connections to the others are closed, and what they told is forgotten.
    pub(super) fn take_lists(&mut self, lists: &Arc<Lists>) {
        let Some(gone) = self.swarm.behaviour_mut().gate.set_lists(lists) else { return };
        for peer in gone {
            self.outlets.gauges.kept_out_closed.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%peer, "closing the connections of a peer that is kept out now");
            if self.swarm.disconnect_peer_id(peer).is_err() {
                tracing::trace!(%peer, "already gone");
            }
        }
        if let Some(kad) = &self.kad {
            kad.server.take_lists(self.swarm.behaviour_mut(), lists);
        }
    }

    /// Whether a peer is let in whose connection may be about to close.
    pub(super) fn lets_in(&self, peer: &PeerId) -> bool {
        self.swarm.behaviour().gate.lists().let_in(peer)
    }

    /// Tells others that somebody else provides what this node does.
    #[cfg(test)]
    pub(crate) fn speak_for(&mut self, peer: PeerId) {
        if let Some(driver) = self.kad.as_mut().and_then(|kad| kad.driver.as_mut()) {
            driver.speak_for(peer);
        }
    }

    /// Somebody who came was not let in.
    pub(super) fn on_incoming_error(&self, error: &ListenError) {
        let gauges = &self.outlets.gauges;
        let counter = match error {
            ListenError::Denied { cause } if cause.downcast_ref::<KeptOut>().is_some() => {
                &gauges.kept_out
            }
            ListenError::Denied { .. } => &gauges.denied,
            _ => &gauges.handshake_failures,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if no_greeting(error) == Some(NoGreeting::OtherNetwork) {
            gauges.other_network.fetch_add(1, Ordering::Relaxed);
        }
        tracing::debug!(error = chain(error), "incoming connection failed");
    }
}
