//! Keys and files of `[bootstrap]`: the sources that they name, and taking over what changed.

use std::sync::Arc;

use parking_lot::Mutex;
use unring_bootstrap::{Dns, HttpSource, Kind, Tls};

use super::files::{HttpFileError, tls};
use super::fixed::Fixed;
use super::remote::{Addresses, Dnsaddr, Http};
use super::{Ask, Source};
use crate::config::Bootstrap as Config;
use crate::node::Parts;
use crate::watched::{Counts, Seen, Watched, named};

/// What is in use of `[bootstrap]`.
#[derive(Debug)]
pub(crate) struct Configured {
    watched: Mutex<Watched<Config>>,
    /// For pages that must not wait while files are read.
    counts: Mutex<Counts>,
    /// This node's own, where a name comes without one.
    port: u16,
}

impl Configured {
    /// Reads the files at the start; the sources that are configured.
    pub(crate) fn read(config: &Config, port: u16) -> Result<(Self, Vec<Source>), HttpFileError> {
        let seen = seen(config);
        let sources = sources(config, tls(config)?.as_ref(), &seen, port);
        let watched = Mutex::new(Watched::new(hot(config.clone()), seen));
        Ok((Self { watched, counts: Mutex::default(), port }, sources))
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts.lock().clone()
    }
}

/// Takes over `asked`, or what the files say now. It reads files, so it is not for the P2P runtime.
pub(crate) fn renew(parts: &Parts, asked: Option<Config>) {
    let mut watched = parts.bootstrap.watched.lock();
    let Some(config) = watched.due(asked.map(hot)) else { return };
    let seen = seen(&config);
    let result = tls(&config).map(|tls| {
        let sources = sources(&config, tls.as_ref(), &seen, parts.bootstrap.port);
        let now = parts.exchange.now().mono;
        parts.sources.replace(now, |kind| kind != Kind::K3s, sources);
    });
    watched.ended("bootstrap", config, seen, &result);
    *parts.bootstrap.counts.lock() = watched.counts();
}

/// Where `/id` is served is decided at the start.
fn hot(config: Config) -> Config {
    Config { listen: None, ..config }
}

fn seen(config: &Config) -> Seen {
    named([&config.http_ca, &config.http_certificate, &config.http_key])
}

/// What the configuration names; it allows fewer than fit.
fn sources(config: &Config, tls: Option<&Tls>, seen: &Seen, port: u16) -> Vec<Source> {
    let server = config.dns_server;
    let dns = Dns::new(server);
    let mut sources = Vec::new();
    let mut add = |kind, name: String, made_of, asker: Arc<dyn Ask>| {
        sources.push(Source { kind, name, made_of, asker });
    };
    if !config.peers.is_empty() {
        let made_of = format!("{:?}", config.peers);
        let fixed = Arc::new(Fixed(config.peers.clone()));
        add(Kind::Static, "bootstrap.peers".to_owned(), made_of, fixed);
    }
    for wanted in &config.dns {
        let port = wanted.port.unwrap_or(port);
        let asker = Addresses { dns, name: wanted.name.clone(), port };
        add(Kind::Dns, wanted.to_string(), format!("{server:?}"), Arc::new(asker));
    }
    for name in &config.dnsaddr {
        let asker = Dnsaddr { dns, name: name.clone() };
        add(Kind::Dnsaddr, name.clone(), format!("{server:?}"), Arc::new(asker));
    }
    for url in &config.http {
        let made_of = format!("{server:?} {:?}", url.is_tls().then_some(seen));
        let asker = HttpSource { url: url.clone(), tls: tls.cloned(), dns, port };
        add(Kind::Http, url.to_string(), made_of, Arc::new(Http(asker)));
    }
    sources
}
