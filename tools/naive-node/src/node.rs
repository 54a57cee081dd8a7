//! A node: its listeners, its bootstrap, its account of itself.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::address::PeerAddress;
use crate::client::Caller;
use crate::limits::{Counters, Ledger, Limits};
use crate::log::{Log, chain};
use crate::server::{Server, accept};
use crate::sources::{Chain, NodeList, Rule, Source};
use crate::tls::{TlsError, TlsFiles};

/// `defaultClientTimeout` of K3s.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

/// How often a server that is joined is tried until it takes connections: K3s cannot start before that either.
const JOIN_POLL: Duration = Duration::from_millis(100);

/// What a node is.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name in the node list.
    pub name: String,
    /// Where it serves `/v1-k3s/p2p` over TLS; port 0 for any.
    pub listen: SocketAddr,
    /// Where it tells of itself in plaintext: `/readyz` and `/statusz`; port 0 for any.
    pub admin: SocketAddr,
    /// Its own address.
    pub address: PeerAddress,
    /// The servers that it joins.
    pub servers: Vec<SocketAddr>,
    /// The stand-in for the node list of Kubernetes; without it the list is empty, as at a cold start.
    pub nodes: Option<PathBuf>,
    /// The cluster's CA and key pair.
    pub tls: TlsFiles,
    /// What a caller without a certificate must know.
    pub token: Option<String>,
    /// The fix of k3s#12154: at most so many requests at once, the first source wins, the node list is cached.
    pub cap: Option<NonZeroUsize>,
    /// What keeps a run in bounds.
    pub limits: Limits,
    /// How long a call may take: [`GIVE_UP_AFTER`], less in tests.
    pub give_up_after: Duration,
    /// Whether it bootstraps once at the start.
    pub bootstrap: bool,
    /// Whether lines of the log are counted only.
    pub quiet: bool,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Load is for loopback.
    #[error("{0} is not on loopback")]
    NotLoopback(SocketAddr),
    /// A port is taken.
    #[error("cannot listen on {at}")]
    Listen {
        /// Where.
        at: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The node list cannot be read.
    #[error("cannot read the node list {}", file.display())]
    Nodes {
        /// Which file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No TLS.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
}

/// A bound node; nothing runs until [`Node::run`].
#[derive(Debug)]
pub struct Node {
    /// Where it serves.
    pub listen: SocketAddr,
    /// Where it tells of itself.
    pub admin: SocketAddr,
    listeners: (TcpListener, TcpListener),
    tls: Arc<ServerConfig>,
    config: Config,
    ca_pem: Arc<Vec<u8>>,
    ledger: Arc<Ledger>,
}

impl Node {
    /// Binds its ports.
    ///
    /// # Errors
    /// A port is taken or not on loopback, or TLS cannot be set up.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let places = [&config.listen, &config.admin].into_iter().chain(&config.servers);
        if let Some(outside) = places.into_iter().find(|at| !at.ip().is_loopback()) {
            return Err(StartError::NotLoopback(*outside));
        }
        let failed = |at| move |source| StartError::Listen { at, source };
        let served = bind(config.listen).await.map_err(failed(config.listen))?;
        let admin = bind(config.admin).await.map_err(failed(config.admin))?;
        Ok(Self {
            listen: served.0,
            admin: admin.0,
            listeners: (served.1, admin.1),
            tls: Arc::new(config.tls.server()?),
            ca_pem: Arc::new(config.tls.ca_pem()?),
            ledger: Ledger::new(config.limits),
            config,
        })
    }

    /// Sets what it joins, where that was not known when it was bound.
    pub fn join(&mut self, servers: Vec<SocketAddr>) {
        self.config.servers = servers;
    }

    /// Its counters, which go on while it runs.
    pub fn counters(&self) -> impl Fn() -> Counters + Send + Sync + 'static + use<> {
        let ledger = Arc::clone(&self.ledger);
        move || ledger.counters()
    }

    /// Serves until it is dropped.
    ///
    /// # Errors
    /// The node list cannot be read.
    pub async fn run(self) -> Result<Infallible, StartError> {
        let server = Arc::new(self.server()?);
        let mut tasks = JoinSet::new();
        let (served, admin) = self.listeners;
        tasks.spawn(accept(Arc::clone(&server), served, TlsAcceptor::from(self.tls)));
        let ledger = Arc::clone(&self.ledger);
        tasks.spawn(async move {
            loop {
                if let Ok((stream, _)) = admin.accept().await {
                    tell(stream, &ledger).await;
                }
            }
        });
        if self.config.bootstrap {
            tasks.spawn(bootstrap(server, self.config.servers));
        }
        loop {
            // A node goes on when its bootstrap is over.
            tasks.join_next().await;
            std::future::pending::<()>().await;
        }
    }

    fn server(&self) -> Result<Server, StartError> {
        let config = &self.config;
        let rule = if config.cap.is_some() { Rule::FirstSuccess } else { Rule::Union };
        let caller = Caller {
            tls: config.tls.clone(),
            ca_pem: Arc::clone(&self.ca_pem),
            ledger: Arc::clone(&self.ledger),
            give_up_after: config.give_up_after,
            from: config.listen.ip(),
        };
        let nodes = match (&config.nodes, rule) {
            (None, _) => NodeList::Cached(Vec::new()),
            (Some(file), Rule::Union) => {
                NodeList::Live { file: file.clone(), own_name: config.name.clone() }
            }
            (Some(file), Rule::FirstSuccess) => NodeList::read(file, &config.name)
                .map(NodeList::Cached)
                .map_err(|source| StartError::Nodes { file: file.clone(), source })?,
        };
        let servers = config.servers.iter().map(|&server| Source::Server(caller.call(server)));
        let sources = std::iter::once(Source::Nodes(nodes))
            .chain(servers)
            .chain(std::iter::once(Source::Own(config.address.clone())));
        Ok(Server {
            chain: Chain { sources: sources.collect(), rule },
            ca_pem: Arc::clone(&self.ca_pem),
            token: config.token.clone(),
            cap: config.cap.map(|cap| Arc::new(Semaphore::new(cap.get()))),
            ledger: Arc::clone(&self.ledger),
            log: Log::new(Arc::clone(&self.ledger), config.quiet),
        })
    }
}

async fn bind(at: SocketAddr) -> io::Result<(SocketAddr, TcpListener)> {
    let listener = TcpListener::bind(at).await?;
    Ok((listener.local_addr()?, listener))
}

/// What kad-dht does once, its table being empty: asks the sources as any request does, a call to itself left out.
async fn bootstrap(server: Arc<Server>, servers: Vec<SocketAddr>) {
    for joined in servers {
        while TcpStream::connect(joined).await.is_err() {
            tokio::time::sleep(JOIN_POLL).await;
        }
    }
    let found = match server.chain.get().await {
        Ok(addresses) => format!("bootstrapped with {} addresses", addresses.len()),
        Err(errors) => {
            let errors: Vec<String> = errors.iter().map(|error| chain(error)).collect();
            format!("bootstrap failed: {}", errors.join(", "))
        }
    };
    server.log.info(&found);
}

async fn tell(stream: TcpStream, ledger: &Arc<Ledger>) {
    let service = service_fn(|request: Request<Incoming>| {
        let ledger = Arc::clone(ledger);
        async move {
            let (status, body) = match request.uri().path() {
                "/readyz" => (200, "ready\n".to_owned()),
                "/statusz" => match serde_json::to_string(&ledger.counters()) {
                    Ok(json) => (200, json),
                    Err(error) => (500, error.to_string()),
                },
                _ => (404, String::new()),
            };
            Response::builder().status(status).body(Full::new(Bytes::from(body)))
        }
    });
    let served =
        http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
    // One at a time: whoever asks is the program that started this one.
    let _ = tokio::time::timeout(Duration::from_secs(1), served).await;
}
