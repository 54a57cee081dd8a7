//! Dials that somebody asked for by address: who answers there is not known, or not wanted yet.

use std::collections::HashMap;

use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{DialError, NetworkBehaviour, Swarm};
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use tokio::sync::oneshot;

use crate::address;
use crate::config::MAX_CONNECTS_IN_FLIGHT;
use crate::failure::DialFailure;

/// What a dial came to: who answered, or why nobody did.
pub(crate) type Outcome = Result<PeerId, DialFailure>;

/// A dial that is asked for.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) address: Multiaddr,
    pub(crate) reply: oneshot::Sender<Outcome>,
}

/// The dials on their way, at most [`MAX_CONNECTS_IN_FLIGHT`]; further requests wait in their queue.
#[derive(Debug, Default)]
pub(crate) struct Connects(HashMap<ConnectionId, (Multiaddr, oneshot::Sender<Outcome>)>);

impl Connects {
    pub(crate) fn has_room(&self) -> bool {
        self.0.len() < MAX_CONNECTS_IN_FLIGHT
    }

    /// Dials, unless whoever is named in the address is connected.
    pub(crate) fn start<B: NetworkBehaviour>(&mut self, swarm: &mut Swarm<B>, request: Request) {
        let Request { address, reply } = request;
        // Nobody to tell: the caller has given up.
        let tell = |reply: oneshot::Sender<Outcome>, outcome| _ = reply.send(outcome);
        let Some((socket, named)) = address::split(&address) else {
            let detail = format!("{address} is not of the form /ip4|ip6/ADDRESS/tcp/PORT");
            return tell(reply, Err(DialFailure::NotDialled { detail }));
        };
        if named == Some(*swarm.local_peer_id()) {
            return tell(reply, Err(DialFailure::OwnAddress { address }));
        }
        if let Some(peer) = named.filter(|peer| swarm.is_connected(peer)) {
            return tell(reply, Ok(peer));
        }
        if !address::can_be_dialled(socket) {
            let detail = format!("{address} cannot be dialled");
            return tell(reply, Err(DialFailure::NotDialled { detail }));
        }
        let bare = address::without_peer(&address);
        // A port of its own, as for every other dial.
        let options = match named {
            Some(peer) => {
                DialOpts::peer_id(peer).addresses(vec![bare.clone()]).allocate_new_port().build()
            }
            None => DialOpts::unknown_peer_id().address(bare.clone()).allocate_new_port().build(),
        };
        let id = options.connection_id();
        match swarm.dial(options) {
            Ok(()) => _ = self.0.insert(id, (bare, reply)),
            Err(error) => tell(reply, Err(failure(&error, bare))),
        }
    }

    /// A connection was established.
    pub(crate) fn on_connected(&mut self, id: ConnectionId, peer: PeerId) {
        if let Some((_, reply)) = self.0.remove(&id) {
            _ = reply.send(Ok(peer));
        }
    }

    /// A dial failed, perhaps one of these.
    pub(crate) fn on_failed(&mut self, id: ConnectionId, error: &DialError) {
        if let Some((address, reply)) = self.0.remove(&id) {
            _ = reply.send(Err(failure(error, address)));
        }
    }
}

fn failure(error: &DialError, address: Multiaddr) -> DialFailure {
    match error {
        // The swarm drops addresses that it listens on before it dials.
        DialError::NoAddresses => DialFailure::OwnAddress { address },
        error => DialFailure::new(error),
    }
}
