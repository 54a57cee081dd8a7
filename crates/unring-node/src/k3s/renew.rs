//! Keys and files of K3s: what is in use, and taking over what changed.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use unring_bootstrap::Kind;
use unring_k3s::{ClientConfig, Offer, ServerTls};

use super::files::{ServerFiles, clients};
use super::{K3sFileError, Legacy, Rings};
use crate::config::K3s as Config;
use crate::node::Parts;
use crate::sources::Source;
use crate::watched::{Counts, Seen, Watched, named};

/// What is in use of K3s's files.
#[derive(Debug)]
pub(crate) struct Files {
    watched: Mutex<Watched<Config>>,
    /// For pages that must not wait while files are read.
    counts: Mutex<Counts>,
    served: Option<Arc<Served>>,
}

/// What the listener goes by.
#[derive(Debug)]
pub(crate) struct Served {
    tls: RwLock<ServerTls>,
    pub(super) offer: Offer,
}

impl Served {
    fn new(files: ServerFiles) -> Self {
        let ServerFiles { tls, access, ca } = files;
        Self { tls: RwLock::new(tls), offer: Offer::new(access, ca.as_ref()) }
    }

    fn replace(&self, files: ServerFiles) {
        let ServerFiles { tls, access, ca } = files;
        *self.tls.write() = tls;
        self.offer.replace(access, ca.as_ref());
    }

    /// For the next connection.
    pub(super) fn tls(&self) -> ServerTls {
        self.tls.read().clone()
    }
}

impl Files {
    /// Reads them at the start: those of the listener if there is one, and those with which servers are asked.
    pub(crate) fn read(
        config: &Config,
        rings: &Arc<Rings>,
    ) -> Result<(Self, Vec<Source>), K3sFileError> {
        let seen = seen(config);
        let served = config.listen.map(|_| ServerFiles::read(config)).transpose()?;
        let of_clients = of_clients(config);
        let sources = sources(config, clients(config)?, &of_clients, rings);
        let watched = Mutex::new(Watched::new(hot(config.clone()), seen));
        let served = served.map(|files| Arc::new(Served::new(files)));
        Ok((Self { watched, counts: Mutex::default(), served }, sources))
    }

    pub(super) fn served(&self) -> Option<Arc<Served>> {
        self.served.clone()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts.lock().clone()
    }
}

/// Takes over `asked`, or what the files say now. It reads files, so it is not for the P2P runtime.
pub(crate) fn renew(parts: &Parts, asked: Option<Config>) {
    let files = &parts.k3s.files;
    let mut watched = files.watched.lock();
    let Some(config) = watched.due(asked.map(hot)) else { return };
    let (seen, of_clients) = (seen(&config), of_clients(&config));
    let result = read(&config, files.served.is_some()).map(|(server, clients)| {
        if let (Some(served), Some(server)) = (&files.served, server) {
            served.replace(server);
        }
        let rings = &parts.k3s.rings;
        let now = parts.exchange.now().mono;
        let sources = sources(&config, clients, &of_clients, rings);
        let gone = parts.sources.replace(now, |kind| kind == Kind::K3s, sources);
        let gone = gone.iter().filter_map(|name| name.parse().ok());
        gone.for_each(|server| rings.forget(&server));
    });
    watched.ended("k3s", config, seen, &result);
    *files.counts.lock() = watched.counts();
}

/// Where it listens is decided at the start.
fn hot(config: Config) -> Config {
    Config { listen: None, ..config }
}

/// With a listener that runs and no certificate any more, which is for the next start, it keeps the one it has.
fn read(
    config: &Config,
    serves: bool,
) -> Result<(Option<ServerFiles>, Vec<ClientConfig>), K3sFileError> {
    let serves = serves && config.certificate.is_some() && config.key.is_some();
    let server = serves.then(|| ServerFiles::read(config)).transpose()?;
    Ok((server, clients(config)?))
}

fn seen(config: &Config) -> Seen {
    let Config { certificate, key, ca, client_ca, token_file, .. } = config;
    let Config { client_certificate, client_key, .. } = config;
    named([certificate, key, ca, client_ca, token_file, client_certificate, client_key])
}

/// The files with which servers are asked, as they are before they are read.
fn of_clients(config: &Config) -> Seen {
    let Config { ca, token_file, client_certificate, client_key, .. } = config;
    named([ca, token_file, client_certificate, client_key])
}

fn sources(
    config: &Config,
    clients: Vec<ClientConfig>,
    of_clients: &Seen,
    rings: &Arc<Rings>,
) -> Vec<Source> {
    let made_of = format!("{:?} {of_clients:?}", config.distribution);
    let source = |client: ClientConfig| {
        let legacy = Legacy::new(client, Arc::clone(rings));
        Source {
            kind: Kind::K3s,
            name: legacy.server().to_string(),
            made_of: made_of.clone(),
            asker: Arc::new(legacy),
        }
    };
    clients.into_iter().map(source).collect()
}
