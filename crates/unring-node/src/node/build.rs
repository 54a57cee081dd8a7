//! From a configuration to a node that is bound but not yet running.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

use rand::Rng as _;
use tokio::runtime::{Builder, Runtime};
use unring_exchange::{Config as EngineConfig, Engine, Origin, Signatures};
use unring_peer::{Identity, Membership, PeerAddress};
use unring_peer_addr::{AcceptCounters, Pressure, UrlConnector};
use unring_rate_governor::{
    Config as GovernorConfig, CpuMeter, DEFAULT_MAX_CALLERS, Governor, Rate,
};
use unring_routing_kad::{DialConfig, EventReceiver, Handle, Limits, Network};

use super::control::Level;
use super::memory::Memory;
use super::named_keys::NamedKeys;
use super::{BuildError, Node, P2pRuntime, Parts};
use crate::addresses::{Advertised, default_route, multiaddr};
use crate::config::Config;
use crate::exchange::{Clock, Exchange, UpstreamClients};
use crate::k3s::{self, K3s, Rings};
use crate::keeper::Writer;
use crate::log::{LogCounters, NODE};
use crate::security::{Admittance, keep_out};
use crate::sources::{Configured, Sources};
use crate::{identity, version};

/// What was bound and waits to be run.
pub(super) struct Bound {
    pub(super) grpc: TcpListener,
    pub(super) admin: TcpListener,
    pub(super) k3s: Option<TcpListener>,
    pub(super) id: Option<TcpListener>,
    pub(super) network: Network,
    pub(super) network_events: EventReceiver,
    pub(super) writer: Writer,
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").finish_non_exhaustive()
    }
}

/// Threads of the P2P runtime. One bounds what P2P work can ever take to one core, whatever goes wrong.
const P2P_THREADS: usize = 1;

/// Threads for file and name look-ups of P2P work: they count in its CPU.
const P2P_BLOCKING_THREADS: usize = 4;

/// The libp2p port of peers of which only an address is known, on a node that does not listen itself: everybody's default.
const LIBP2P_PORT: u16 = 5872;

/// Least burst, in units of cost: ten forwarded requests, so that a small rate still lets one through.
const LEAST_BURST: u32 = 40;

impl Node {
    /// Reads the identity, opens the database and binds every address.
    ///
    /// # Errors
    /// The first thing that is missing; nothing keeps running then.
    pub fn build(config: Config, log: Arc<LogCounters>) -> Result<Self, BuildError> {
        // Before the disk is read, so that the time since the start counts that, too.
        let clock = Clock::start();
        crate::files::make_room(&config.limits);
        let rings = Arc::new(Rings::new(clock));
        let (k3s_files, k3s_sources) = k3s::Files::read(&config.k3s, &rings)?;
        let network_key = super::dht::network_key(&config.dht)?;
        // They are read again with this node's own port.
        Configured::read(&config.bootstrap, LIBP2P_PORT)?;
        let identity = identity::load_or_create(&config.data_dir)?;
        let security = Admittance::load(&config.security, &identity)?;
        let memory = Memory::open(&config.data_dir)?;
        let grpc = listen("the gRPC service", config.listen.grpc, "listen.grpc")?;
        let admin = listen("metrics and health", config.listen.admin, "listen.admin")?;
        let (grpc_address, admin_address) =
            (local(&grpc, config.listen.grpc), local(&admin, config.listen.admin));

        let k3s = match config.k3s.listen {
            Some(at) => Some(listen("K3s's path", at, "k3s.listen")?),
            None => None,
        };

        let id = match config.bootstrap.listen {
            Some(at) => Some(listen("/id", at, "bootstrap.listen")?),
            None => None,
        };

        let meter = Arc::new(CpuMeter::new());
        let runtime = p2p_runtime(&meter).map_err(BuildError::Runtime)?;
        let mut network_config = network_config(&config);
        network_config.network_key = network_key;
        let (mut network, network_handle, network_events) = runtime
            .block_on(Network::bind(identity.keypair().clone(), network_config))
            .map_err(BuildError::Libp2p)?;
        // Before the network runs, so that nobody is served whom it should not know.
        keep_out(&network_handle, &security.guard().membership());
        let listening: Vec<_> = config
            .listen
            .libp2p
            .iter()
            .filter_map(|wanted| really_listening(*wanted, &network_handle.listen_addresses()))
            .collect();
        let advertised = Advertised::new(&config, grpc_address, &listening, default_route);
        let router = network.router();
        if router.is_some() {
            super::dht::announce(&mut network, &advertised);
        }

        let connector = UrlConnector::switched(security.tls().clone(), config.insecure);
        let (exchange, writer) = runtime.block_on(async {
            let membership = security.guard().membership();
            let mut engine =
                engine(clock, &config, &identity, &advertised, memory.last_seq(), membership);
            let (keeper, writer) = memory.restore(clock.now(), &config, &mut engine);
            let clients =
                UpstreamClients::new(connector, identity.clone(), security.guard().clone());
            let timeout = config.timing.request_timeout;
            (Exchange::new(engine, clock, keeper, clients, timeout), writer)
        });
        let (sources, port) = first_peers(&identity, &advertised, &network_handle);
        let (bootstrap, mut first) = Configured::read(&config.bootstrap, port)?;
        first.extend(k3s_sources);
        sources.replace(clock.now().mono, |_| true, first);
        let parts = Parts {
            me: identity.peer_id(),
            grpc: grpc_address,
            admin: admin_address,
            advertised,
            exchange,
            network: network_handle,
            sources,
            bootstrap,
            router,
            named_keys: NamedKeys::default(),
            governor: Arc::new(Governor::new(governor_config(&config)?)),
            meter,
            throttled: Arc::new(AtomicU64::new(0)),
            security,
            accepted: Arc::new(AcceptCounters::default()),
            pressure: Arc::new(Pressure::new()),
            log,
            level: Level::new(config.limits.cpu_budget),
            draining: AtomicBool::new(false),
            first_connected: OnceLock::new(),
            p2p: runtime.handle().clone(),
            k3s: K3s::new(
                k3s.as_ref().and_then(|listener| listener.local_addr().ok()),
                rings,
                k3s_files,
            ),
            id: id.as_ref().and_then(|listener| listener.local_addr().ok()),
            config,
        };
        let bound = Bound { grpc, admin, k3s, id, network, network_events, writer };
        Ok(Self { parts: Arc::new(parts), bound, runtime: P2pRuntime(Some(runtime)) })
    }
}

fn p2p_runtime(meter: &Arc<CpuMeter>) -> std::io::Result<Runtime> {
    let (started, stopped) = (Arc::clone(meter), Arc::clone(meter));
    Builder::new_multi_thread()
        .worker_threads(P2P_THREADS)
        .max_blocking_threads(P2P_BLOCKING_THREADS)
        .thread_name("p2p")
        .on_thread_start(move || started.register_current_thread())
        .on_thread_stop(move || stopped.unregister_current_thread())
        .enable_all()
        .build()
}

fn engine(
    clock: Clock,
    config: &Config,
    identity: &Identity,
    advertised: &Advertised,
    last_seq: u64,
    membership: Membership,
) -> Engine<Signatures> {
    let origin = Origin {
        identity: identity.clone(),
        last_seq,
        addresses: advertised.libp2p.clone(),
        grpc_url: advertised.grpc.clone(),
        membership,
    };
    let mut engine_config = EngineConfig::new(config.name.clone(), rand::rng().random());
    engine_config.zone.clone_from(&config.zone);
    version::VERSION.clone_into(&mut engine_config.version);
    engine_config.record_ttl = config.timing.record_ttl;
    engine_config.request_timeout = config.timing.request_timeout;
    engine_config.book_capacity = config.limits.book_capacity;
    engine_config.slots_per_upstream = config.limits.slots_per_upstream;
    Engine::new(clock.now(), engine_config, origin, Signatures)
}

fn tcp_port(address: &PeerAddress) -> Option<u16> {
    address.as_multiaddr().iter().find_map(|part| match part {
        multiaddr::Protocol::Tcp(port) => Some(port),
        _ => None,
    })
}

/// No sources yet, and the port of peers that are named without one.
fn first_peers(identity: &Identity, advertised: &Advertised, network: &Handle) -> (Sources, u16) {
    let listening = network.listen_addresses().into_iter();
    let listening = listening.filter_map(|address| PeerAddress::from_multiaddr(address).ok());
    // What is told to others comes first: its port is the one that peers of this cluster use.
    let own: Vec<_> = advertised.libp2p.iter().cloned().chain(listening).collect();
    let port = own.iter().find_map(tcp_port).unwrap_or(LIBP2P_PORT);
    let own = own.into_iter().collect();
    (Sources::new(identity.peer_id(), own, rand::rng().random()), port)
}

fn network_config(config: &Config) -> unring_routing_kad::Config {
    let limits = Limits::new(config.limits.max_connections);
    let kad = super::dht::kad(&config.dht);
    let external = config.advertise.libp2p.iter().map(|address| address.as_multiaddr().clone());
    unring_routing_kad::Config {
        listen: config.listen.libp2p.iter().map(|address| multiaddr(*address)).collect(),
        external: if kad.is_some() { vec![] } else { external.collect() },
        agent_version: format!("unring/{}", version::VERSION),
        dial: DialConfig::for_limits(&limits),
        limits,
        kad,
        network_key: None,
    }
}

fn governor_config(config: &Config) -> Result<GovernorConfig, BuildError> {
    let total = config.limits.requests_per_second.get();
    // A second's worth at once: nodes that start together ask together.
    let rate = |per_second: u32| {
        Rate::new(per_second, per_second.max(LEAST_BURST)).map_err(BuildError::Rate)
    };
    Ok(GovernorConfig {
        total: rate(total)?,
        // Half of it, so that one caller alone cannot use it up.
        per_caller: rate((total / 2).max(1))?,
        max_callers: DEFAULT_MAX_CALLERS,
        budget: config.limits.cpu_budget,
    })
}

fn listen(
    what: &'static str,
    address: SocketAddr,
    key: &'static str,
) -> Result<TcpListener, BuildError> {
    let fail = |source| BuildError::Listen { what, address, key, source };
    let listener = TcpListener::bind(address).map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    Ok(listener)
}

fn local(listener: &TcpListener, wanted: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(wanted)
}

/// The address with its real port, where the system chose one.
fn really_listening(wanted: SocketAddr, listening: &[multiaddr::Multiaddr]) -> Option<SocketAddr> {
    if wanted.port() != 0 {
        return Some(wanted);
    }
    let port = listening.iter().find_map(|address| {
        let mut parts = address.iter();
        let ip = match parts.next()? {
            multiaddr::Protocol::Ip4(ip) => std::net::IpAddr::V4(ip),
            multiaddr::Protocol::Ip6(ip) => std::net::IpAddr::V6(ip),
            _ => return None,
        };
        let fits =
            ip == wanted.ip() || (wanted.ip().is_unspecified() && ip.is_ipv4() == wanted.is_ipv4());
        match parts.next()? {
            multiaddr::Protocol::Tcp(port) if fits => Some(port),
            _ => None,
        }
    });
    if port.is_none() {
        tracing::warn!(target: NODE, %wanted, "libp2p does not say which port it listens on");
    }
    port.map(|port| SocketAddr::new(wanted.ip(), port))
}
