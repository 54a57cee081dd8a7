//! Where the first peer comes from: asks the configured sources and dials what they tell.
//!
//! `unring_bootstrap` decides who is asked and dialled when; here it is done. A further source implements [`Ask`] and is
//! given to [`Sources::replace`]: back-off, time limit, dials, status page, metrics and log lines come with it.

mod connect;
mod files;
mod fixed;
mod remote;
mod renew;
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
use unring_bootstrap::{Action, Candidate, Kind, Myself, SourceView, Table};
use unring_peer::{PeerAddress, PeerId};

pub use self::files::HttpFileError;

pub(crate) use self::renew::{Configured, renew};
pub(crate) use self::rows::{Row, rows};
pub(crate) use self::run::run;
pub(crate) use self::serve::serve;

use crate::errors::chain;
use crate::log::NODE;

/// Somebody who knows where peers are.
pub(crate) trait Ask: fmt::Debug + Send + Sync {
    /// Asks once: addresses, or why there are none, for people. Dropped when [`Kind::ask_limit`] is over.
    fn ask(&self) -> BoxFuture<'_, Result<Vec<Candidate>, String>>;
}

/// One source, and how it is asked.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) kind: Kind,
    /// What an operator knows it by, at best as it is configured. No two of a kind have the same.
    pub(crate) name: String,
    /// What decides how it is asked beside its name: with another text it is asked anew. It holds no secret.
    pub(crate) made_of: String,
    pub(crate) asker: Arc<dyn Ask>,
}

/// All sources of a node.
#[derive(Debug)]
pub(crate) struct Sources {
    state: Mutex<State>,
    /// Who was found has changed.
    peers_changed: Notify,
    /// Which sources there are has changed.
    replaced: Notify,
}

#[derive(Debug)]
struct State {
    table: Table,
    /// By their numbers in the table.
    sources: BTreeMap<usize, Source>,
    alone: bool,
}

impl Sources {
    pub(crate) fn new(me: PeerId, addresses: BTreeSet<PeerAddress>, seed: u64) -> Self {
        let table = Table::new(Myself { peer: me, addresses }, seed);
        let state = Mutex::new(State { table, sources: BTreeMap::new(), alone: false });
        Self { state, peers_changed: Notify::new(), replaced: Notify::new() }
    }

    /// Replaces the sources of the kinds that are `mine`. Who is told of by a source that is gone is forgotten; one that is
    /// new, or asked in another way, is asked at once; all others go on as they are. One too many is left out with a
    /// line in the log. Gives the names of those that are gone.
    pub(crate) fn replace(
        &self,
        now: Duration,
        mine: impl Fn(Kind) -> bool,
        wanted: Vec<Source>,
    ) -> Vec<String> {
        let mut state = self.state.lock();
        let State { table, sources, .. } = &mut *state;
        let same = |a: &Source, b: &Source| (a.kind, &a.name) == (b.kind, &b.name);
        let is_gone =
            |known: &Source| mine(known.kind) && !wanted.iter().any(|one| same(known, one));
        let gone: Vec<_> = sources
            .iter()
            .filter(|(_, known)| is_gone(known))
            .map(|(number, known)| (*number, known.name.clone()))
            .collect();
        for (number, _) in &gone {
            sources.remove(number);
            table.remove(*number);
        }
        for source in wanted {
            match sources.iter_mut().find(|(_, known)| same(known, &source)) {
                Some((_, known)) if known.made_of == source.made_of => {}
                Some((number, known)) => {
                    table.again(now, *number);
                    *known = source;
                }
                None => match table.add(now, source.kind, source.name.clone()) {
                    Ok(number) => _ = sources.insert(number, source),
                    Err(error) => {
                        tracing::warn!(target: NODE, source = source.name, error = chain(&error), "a source is left out");
                    }
                },
            }
        }
        drop(state);
        self.replaced.notify_one();
        gone.into_iter().map(|(_, name)| name).collect()
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
        self.state.lock().sources.get(&source).map(|source| Arc::clone(&source.asker))
    }

    /// Tells the table, and gives what it wants done.
    fn tell(&self, event: impl FnOnce(&mut Table)) -> Vec<Action> {
        let mut state = self.state.lock();
        event(&mut state.table);
        state.table.take_actions()
    }
}
