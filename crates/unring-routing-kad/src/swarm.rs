//! The libp2p stack in one place: transport, behaviours, swarm.

use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{Swarm, identify, ping};
use libp2p_identity::Keypair;

use crate::config::{self, Config};
use crate::gate::Gate;
use crate::kad::{Streams, Table};
use crate::mux::Multiplex;
use crate::transport::{self, SetupError};

/// Every protocol that the node speaks. The gate comes first, so that what it denies costs the others nothing.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) gate: Gate,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    /// Keeps the routing table.
    pub(crate) kad: Toggle<Table>,
    /// Asks others and serves them.
    pub(crate) streams: Toggle<Streams>,
}

/// Builds the swarm; connections run as tasks of the tokio runtime that polls it.
pub(crate) fn build(
    keypair: &Keypair,
    config: &Config,
    multiplex: Multiplex,
    gate: Gate,
    kad: Option<(Table, Streams)>,
) -> Result<Swarm<Behaviour>, SetupError> {
    let transport = transport::build(keypair, config.network_key.clone(), multiplex)?;
    let (kad, streams) = kad.unzip();
    let behaviour = Behaviour {
        gate,
        identify: identify::Behaviour::new(
            // Only external addresses are told, so that others see the one address that was meant for them;
            // addresses of peers come from their signed records, never from this protocol's cache.
            identify::Config::new(config::IDENTIFY_PROTOCOL.to_owned(), keypair.public())
                .with_agent_version(config.agent_version.clone())
                .with_hide_listen_addrs(true)
                .with_cache_size(0),
        ),
        ping: ping::Behaviour::new(
            ping::Config::new()
                .with_interval(config.limits.ping_interval)
                .with_timeout(config.limits.ping_timeout),
        ),
        kad: kad.into(),
        streams: streams.into(),
    };
    let swarm = libp2p::swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(config.limits.idle_timeout)
        .with_max_negotiating_inbound_streams(config::MAX_NEGOTIATING_STREAMS)
        // Addresses of one node are tried one after the other, not all at once: each costs it a handshake.
        .with_smart_dial();
    Ok(Swarm::new(transport, behaviour, keypair.public().to_peer_id(), swarm))
}
