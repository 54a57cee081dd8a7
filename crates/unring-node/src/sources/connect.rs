//! One dial to what a source told.

use std::time::Duration;

use unring_bootstrap::{Answer, Candidate};
use unring_routing_kad::{DialFailure, Handle, LimitExceeded, LimitKind};

use crate::errors::chain;

/// How long somebody else's dial to the same peer is waited for: a handshake's time, and some.
const OTHER_DIAL: Duration = Duration::from_secs(12);

/// Dials once.
pub(super) async fn dial(network: &Handle, candidate: &Candidate) -> Answer {
    let failure = match network.connect(candidate.to_multiaddr()).await {
        Ok(peer) => return Answer::Peer(peer),
        Err(failure) => failure,
    };
    match (&failure, candidate.peer) {
        (DialFailure::OwnAddress { .. }, _) => Answer::Myself,
        (DialFailure::Limit(LimitExceeded { kind: LimitKind::PerPeer, .. }), _) => {
            Answer::Connected
        }
        // The book knows it too, and it is being dialled already.
        (DialFailure::NotDialled { .. }, Some(peer)) => {
            let mut connected = network.watch_connected();
            let there = connected.wait_for(|connected| connected.contains(&peer));
            match tokio::time::timeout(OTHER_DIAL, there).await {
                Ok(Ok(_)) => Answer::Peer(peer),
                _ => Answer::Nobody(chain(&failure)),
            }
        }
        _ => Answer::Nobody(chain(&failure)),
    }
}
