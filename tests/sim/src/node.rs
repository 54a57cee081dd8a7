//! One node of the network.

use std::collections::BTreeMap;
use std::time::Duration;

use libp2p_identity::Keypair;
use unring_cycle_detector::{Event, RingMemory, Voice};
use unring_exchange::{Config, Engine, Notice, Now, Origin, Verifier};
use unring_peer::{Identity, PeerId, UnixMillis};

/// Names a node: its place in the order of creation.
pub type NodeId = usize;

/// The same identity for the same number, in every run.
#[must_use]
pub fn identity(number: usize) -> Identity {
    let mut secret = [0x5a; 32];
    secret[..8].copy_from_slice(&(number as u64).to_le_bytes());
    Keypair::ed25519_from_bytes(secret)
        .map_or_else(|_| Identity::generate(), Identity::from_keypair)
}

/// One node: an engine, and what it has said.
#[derive(Debug)]
pub struct Node<V> {
    pub(crate) name: String,
    pub(crate) identity: Identity,
    /// None while it is down.
    pub(crate) engine: Option<Engine<V>>,
    /// How often it was started: what was meant for an earlier life does not reach a later one.
    pub(crate) life: u32,
    pub(crate) config: Config,
    pub(crate) upstreams: Vec<String>,
    pub(crate) persisted_seq: u64,
    pub(crate) ring_memory: RingMemory<PeerId>,
    pub(crate) targets: BTreeMap<String, Vec<PeerId>>,
    /// How far its wall clock is behind.
    pub(crate) behind: Duration,
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

    /// The `seq` that it has on disk.
    #[must_use]
    pub fn persisted_seq(&self) -> u64 {
        self.persisted_seq
    }

    /// Ring events with a log line.
    #[must_use]
    pub fn loud(&self) -> Vec<&Event<PeerId>> {
        self.rings.iter().filter(|event| event.voice() != Voice::Quiet).collect()
    }

    pub(crate) fn start(&mut self, now: Now, verifier: &V) {
        self.life += 1;
        let origin = Origin {
            identity: self.identity.clone(),
            last_seq: self.persisted_seq,
            addresses: Vec::new(),
            grpc_url: None,
            membership: unring_peer::Membership::default(),
        };
        // Another life draws other random bits.
        self.config.seed[8..12].copy_from_slice(&self.life.to_le_bytes());
        let mut engine = Engine::new(now, self.config.clone(), origin, verifier.clone());
        engine.restore_ring_memory(now, self.ring_memory.clone());
        let upstreams = self.upstreams.iter().map(|address| (address.clone(), UnixMillis::new(1)));
        engine.set_upstreams(now, upstreams.collect());
        engine.restore_targets(now, &self.targets);
        self.engine = Some(engine);
        self.timer = None;
    }
}
