//! Who belongs to the cluster: from files to what every part of the node asks, changed while it runs.
//!
//! Files are read off the P2P runtime. One that cannot be used changes nothing: what was read before goes on to hold.

mod files;
mod tokens;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use unring_peer::{Identity, JoinToken, Membership, PeerLists};
use unring_peer_addr::{ClusterTls, Guard, TlsError, TlsIdentity, TlsSwitch};
use unring_routing_kad::{Handle, Lists};

pub use self::files::SecretsError;

use self::tokens::Tokens;
use crate::config::Security;
use crate::errors::chain;
use crate::log::NODE;
use crate::node::Parts;
use crate::watched::Seen;

/// What is in use, and where it came from.
#[derive(Debug)]
pub(crate) struct Admittance {
    identity: Identity,
    guard: Guard,
    tls: TlsSwitch,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    config: Security,
    /// What was tried last: where it cannot be used, something newer than what is in use.
    tried: Security,
    tokens: Tokens,
    /// Whether a cluster's authority has to speak for every node.
    by_authority: bool,
    /// The files as they were when they were read last, or tried to.
    seen: Seen,
    reloads: u64,
    failures: u64,
    last_error: Option<String>,
}

/// What the status page and metrics show.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) tokens: usize,
    pub(crate) overlap_left: Option<Duration>,
    pub(crate) by_authority: bool,
    pub(crate) allowed: usize,
    pub(crate) denied: usize,
    pub(crate) reloads: u64,
    pub(crate) failures: u64,
    pub(crate) last_error: Option<String>,
}

impl Admittance {
    /// Reads what `config` names, for the node with this identity.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub(crate) fn load(config: &Security, identity: &Identity) -> Result<Self, SecretsError> {
        let (seen, read) = read(config);
        let Secrets { tokens, cluster } = read?;
        let state = State {
            config: config.clone(),
            tried: config.clone(),
            tokens: Tokens::new(tokens),
            by_authority: cluster.is_some(),
            seen,
            reloads: 0,
            failures: 0,
            last_error: None,
        };
        let guard = Guard::new(identity.peer_id(), state.membership());
        let tls = shown(identity, cluster).and_then(|shown| TlsSwitch::new(&shown));
        let tls = tls.map_err(SecretsError::Tls)?;
        warn_of_exposed(config);
        Ok(Self { identity: identity.clone(), guard, tls, state: Mutex::new(state) })
    }

    /// What servers and clients show in handshakes.
    pub(crate) fn tls(&self) -> &TlsSwitch {
        &self.tls
    }

    /// What servers and clients ask.
    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    pub(crate) fn view(&self, now: Duration) -> View {
        let state = self.state.lock();
        View {
            tokens: state.tokens.keyring().map_or(0, |keyring| keyring.tokens()),
            overlap_left: state.tokens.overlap_left(now),
            by_authority: state.by_authority,
            allowed: state.config.lists.allow.len(),
            denied: state.config.lists.deny.len(),
            reloads: state.reloads,
            failures: state.failures,
            last_error: state.last_error.clone(),
        }
    }

    /// Takes over `config`, or what the files say now, or that the time of an old token is over: whether who belongs to
    /// the cluster may be another question now. It reads files; with `config` also those that it could not read before.
    fn renew(&self, now: Duration, config: Option<Security>) -> bool {
        let mut state = self.state.lock();
        let retired = state.tokens.expire(now);
        let asked = config.is_some();
        let config = config.unwrap_or_else(|| state.tried.clone());
        let other_keys = config != state.tried;
        let other_files = state.seen.is_over();
        let mut taken_over = Ok(Taken::default());
        if other_keys || other_files || asked && state.last_error.is_some() {
            let (seen, read) = read(&config);
            state.seen = seen;
            state.tried = config.clone();
            taken_over = read.and_then(|Secrets { tokens, cluster }| {
                let by_authority = cluster.is_some();
                // A new certificate each time: whether its files are what changed is not worth knowing.
                if by_authority || state.by_authority {
                    let shown = shown(&self.identity, cluster);
                    shown.and_then(|shown| self.tls.set(&shown)).map_err(SecretsError::Tls)?;
                }
                state.by_authority = by_authority;
                Ok(state.take_over(now, config, tokens))
            });
        }
        let other_token = taken_over.as_ref().is_ok_and(|taken| taken.other_token);
        let changed = retired || taken_over.as_ref().is_ok_and(|taken| taken.anything);
        if changed {
            // Before it is said.
            self.guard.set(state.membership());
        }
        if retired {
            tracing::info!(target: NODE, event = "token_retired", "the join token from before the last change is not accepted any more");
        }
        if other_token {
            state.announce(now);
        }
        if other_files && taken_over.is_ok() && state.by_authority {
            tracing::info!(target: NODE, event = "certificate_changed", "the files of the cluster's authority were read again; open connections stay");
        }
        if let Err(error) = taken_over {
            state.keep(&error);
        }
        changed
    }
}

/// What a new configuration or file changed.
#[derive(Clone, Copy, Default)]
struct Taken {
    other_token: bool,
    anything: bool,
}

impl State {
    fn take_over(&mut self, now: Duration, config: Security, tokens: Vec<JoinToken>) -> Taken {
        warn_of_exposed(&config);
        let other_token = self.tokens.replace(now, config.token_overlap, tokens);
        let anything = other_token || config != self.config;
        self.config = config;
        self.reloads += 1;
        self.last_error = None;
        Taken { other_token, anything }
    }

    fn membership(&self) -> Membership {
        Membership::new(self.tokens.keyring(), self.config.lists.clone())
    }

    fn announce(&self, now: Duration) {
        tracing::info!(
            target: NODE,
            event = "token_changed",
            old_accepted_for = ?self.tokens.overlap_left(now).unwrap_or_default(),
            "the join token is another one"
        );
    }

    fn keep(&mut self, error: &SecretsError) {
        let error = chain(error);
        self.failures += 1;
        tracing::error!(
            target: NODE,
            event = "secrets_kept",
            error,
            "what says who belongs to the cluster cannot be used; the node goes on with what it has"
        );
        self.last_error = Some(error);
    }
}

/// What files hold.
struct Secrets {
    tokens: Vec<JoinToken>,
    cluster: Option<ClusterTls>,
}

/// What `config` names, and the files as they were before they were read.
fn read(config: &Security) -> (Seen, Result<Secrets, SecretsError>) {
    let seen = Seen::of(named(config));
    let read = || {
        let tokens = match &config.token_file {
            Some(file) => files::tokens(file)?,
            None => config.tokens.clone(),
        };
        let cluster = config.tls.as_ref().map(files::cluster).transpose()?;
        Ok(Secrets { tokens, cluster })
    };
    (seen, read())
}

/// The certificate that is shown: bound to the peer id, and in a cluster with an authority endorsed by it.
fn shown(identity: &Identity, cluster: Option<ClusterTls>) -> Result<TlsIdentity, TlsError> {
    match cluster {
        Some(cluster) => TlsIdentity::in_cluster(identity, cluster),
        None => TlsIdentity::new(identity),
    }
}

/// The files that `config` names.
fn named(config: &Security) -> impl Iterator<Item = &Path> {
    let tls =
        config.tls.iter().flat_map(|files| [&files.authorities, &files.certificate, &files.key]);
    config.token_file.iter().chain(tls).map(PathBuf::as_path)
}

fn warn_of_exposed(config: &Security) {
    let secrets = config.token_file.iter().chain(config.tls.as_ref().map(|files| &files.key));
    for file in secrets.filter(|file| files::is_exposed(file)) {
        tracing::warn!(
            target: NODE,
            event = "secret_exposed",
            file = %file.display(),
            "others than its owner may read this file, and whoever reads it can join the cluster: chmod 600"
        );
    }
}

/// Takes over another configuration. It reads files, so it is not for the P2P runtime.
pub(crate) fn take_over(parts: &Arc<Parts>, config: Security) {
    let now = parts.exchange.now().mono;
    let changed = parts.security.renew(now, Some(config));
    tell(parts, changed);
}

/// Looks at the files, and at the time. It reads files, so it is not for the P2P runtime.
pub(crate) fn look(parts: &Arc<Parts>) {
    let changed = parts.security.renew(parts.exchange.now().mono, None);
    tell(parts, changed);
}

/// Tells the engine. It signs and looks at its whole book, which is P2P work.
fn tell(parts: &Arc<Parts>, changed: bool) {
    if changed {
        let told = Arc::clone(parts);
        drop(parts.p2p.spawn(async move { set(&told) }));
    }
}

/// What is told is read with the engine in hand: of two changes that are told at once the newer one stays.
fn set(parts: &Parts) {
    let guard = parts.security.guard();
    parts.exchange.event(|state, now| state.engine.set_membership(now, guard.membership()));
    keep_out(&parts.network, &guard.membership());
}

/// libp2p knows neither token nor authority: what keeps strangers out there is the network's key. The lists it knows.
pub(crate) fn keep_out(network: &Handle, membership: &Membership) {
    let PeerLists { allow, deny } = membership.lists().clone();
    network.set_lists(Lists { allow, deny });
}
