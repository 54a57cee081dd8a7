//! Where the first peer comes from: asks the configured sources and dials what they tell.
//!
//! `unring_bootstrap` decides who is asked and dialled when; here it is done. A further source implements [`Ask`] and is
//! given to [`Sources::add`] before the node runs: back-off, time limit, dials, status page, metrics and log lines come
//! with it.

mod connect;
mod files;
mod fixed;
mod remote;
mod rows;
mod run;
mod say;
mod serve;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Notify;
use unring_bootstrap::{
    Action, Candidate, Dns, HttpSource, Kind, Myself, SourceView, Table, Tls, TooManySources,
};
use unring_peer::{PeerAddress, PeerId};

pub use self::files::HttpFileError;

pub(crate) use self::files::tls;
pub(crate) use self::rows::{Row, rows};
pub(crate) use self::run::run;
pub(crate) use self::serve::serve;

use self::fixed::Fixed;
use self::remote::{Addresses, Dnsaddr, Http};
use crate::config::Bootstrap;
use crate::errors::chain;
use crate::log::NODE;

/// Somebody who knows where peers are.
pub(crate) trait Ask: fmt::Debug + Send + Sync {
    /// Asks once: addresses, or why there are none, for people. Dropped when [`Kind::ask_limit`] is over.
    fn ask(&self) -> BoxFuture<'_, Result<Vec<Candidate>, String>>;
}

/// All sources of a node.
#[derive(Debug)]
pub(crate) struct Sources {
    state: Mutex<State>,
    /// Who was found has changed.
    peers_changed: Notify,
}

#[derive(Debug)]
struct State {
    table: Table,
    askers: Vec<Arc<dyn Ask>>,
    alone: bool,
}

impl Sources {
    pub(crate) fn new(me: PeerId, addresses: BTreeSet<PeerAddress>, seed: u64) -> Self {
        let table = Table::new(Myself { peer: me, addresses }, seed);
        let state = Mutex::new(State { table, askers: Vec::new(), alone: false });
        Self { state, peers_changed: Notify::new() }
    }

    /// Adds a source; `name` is what an operator knows it by, at best as it is configured.
    ///
    /// # Errors
    /// When there are too many.
    pub(crate) fn add(
        &self,
        now: Duration,
        kind: Kind,
        name: String,
        asker: Arc<dyn Ask>,
    ) -> Result<(), TooManySources> {
        let mut state = self.state.lock();
        state.table.add(now, kind, name)?;
        state.askers.push(asker);
        Ok(())
    }

    /// Adds those that the configuration names; it allows fewer than fit. `port` is this node's own.
    pub(crate) fn add_configured(
        &self,
        now: Duration,
        config: &Bootstrap,
        tls: Option<&Tls>,
        port: u16,
    ) {
        let dns = Dns::new(config.dns_server);
        let mut configured: Vec<(Kind, String, Arc<dyn Ask>)> = Vec::new();
        if !config.peers.is_empty() {
            let fixed = Arc::new(Fixed(config.peers.clone()));
            configured.push((Kind::Static, "bootstrap.peers".to_owned(), fixed));
        }
        for wanted in &config.dns {
            let port = wanted.port.unwrap_or(port);
            let asker = Addresses { dns, name: wanted.name.clone(), port };
            configured.push((Kind::Dns, wanted.to_string(), Arc::new(asker)));
        }
        for name in &config.dnsaddr {
            let asker = Dnsaddr { dns, name: name.clone() };
            configured.push((Kind::Dnsaddr, name.clone(), Arc::new(asker)));
        }
        for url in &config.http {
            let asker = HttpSource { url: url.clone(), tls: tls.cloned(), dns, port };
            configured.push((Kind::Http, url.to_string(), Arc::new(Http(asker))));
        }
        for (kind, name, asker) in configured {
            self.add_or_say(now, kind, name, asker);
        }
    }

    /// Adds a source; one too many is left out with a line in the log.
    pub(crate) fn add_or_say(&self, now: Duration, kind: Kind, name: String, asker: Arc<dyn Ask>) {
        if let Err(error) = self.add(now, kind, name.clone(), asker) {
            tracing::warn!(target: NODE, source = name, error = chain(&error), "a source is left out");
        }
    }

    /// Whether each of them was tried once, whatever came of it.
    pub(crate) fn all_tried(&self) -> bool {
        self.state.lock().table.all_tried()
    }

    /// Whether the node has said that it is alone, and nobody came since.
    pub(crate) fn is_alone(&self) -> bool {
        self.state.lock().alone
    }

    /// Who was found and where.
    pub(crate) fn peers(&self) -> BTreeMap<PeerId, BTreeSet<PeerAddress>> {
        self.state.lock().table.peers()
    }

    /// Resolves when that has changed since it last did.
    pub(crate) async fn peers_changed(&self) {
        self.peers_changed.notified().await;
    }

    fn views(&self) -> Vec<SourceView> {
        self.state.lock().table.views()
    }

    fn view(&self, source: usize) -> Option<SourceView> {
        self.state.lock().table.view(source)
    }

    fn asker(&self, source: usize) -> Option<Arc<dyn Ask>> {
        self.state.lock().askers.get(source).cloned()
    }

    /// Tells the table, and gives what it wants done.
    fn tell(&self, event: impl FnOnce(&mut Table)) -> Vec<Action> {
        let mut state = self.state.lock();
        event(&mut state.table);
        state.table.take_actions()
    }
}
