//! One node of the network.

use std::time::Duration;

use unring_cycle_detector::Event;
use unring_exchange::{Config, Engine, Notice, Now, Origin, Verifier};
use unring_peer::{Identity, PeerId, UnixMillis};

/// Names a node: its place in the order of creation.
pub type NodeId = usize;

/// One node: an engine, and what it has said.
#[derive(Debug)]
pub struct Node<V> {
    pub(crate) name: String,
    pub(crate) identity: Identity,
    /// None while it is down.
    pub(crate) engine: Option<Engine<V>>,
    pub(crate) config: Config,
    pub(crate) upstreams: Vec<String>,
    pub(crate) persisted_seq: u64,
    pub(crate) timer: Option<Duration>,
    /// Ring events in their order.
    pub rings: Vec<Event<PeerId>>,
    /// Notices in their order.
    pub notices: Vec<Notice>,
}

impl<V: Verifier + Clone> Node<V> {
    /// Its peer id.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.identity.peer_id()
    }

    /// Its engine; none while it is down.
    #[must_use]
    pub fn engine(&self) -> Option<&Engine<V>> {
        self.engine.as_ref()
    }

    pub(crate) fn start(&mut self, now: Now, verifier: &V) {
        let origin = Origin {
            identity: self.identity.clone(),
            last_seq: self.persisted_seq,
            addresses: Vec::new(),
            grpc_url: None,
        };
        let mut engine = Engine::new(now, self.config.clone(), origin, verifier.clone());
        let upstreams = self.upstreams.iter().map(|address| (address.clone(), UnixMillis::new(1)));
        engine.set_upstreams(now, upstreams.collect());
        self.engine = Some(engine);
        self.timer = None;
    }
}
