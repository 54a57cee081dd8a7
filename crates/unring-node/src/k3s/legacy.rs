//! K3s's and RKE2's servers as a source of first peers.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::Mutex;
use unring_bootstrap::Candidate;
use unring_k3s::suspect::Ended;
use unring_k3s::{CallError, ClientConfig, ConnectError, FetchError, K3sClient, ServerUrl};

use super::rings::Rings;
use crate::errors::chain;
use crate::sources::Ask;

/// One server. Whoever asks it decides when; it is not asked before a time that it named itself.
#[derive(Debug)]
pub(crate) struct Legacy {
    config: ClientConfig,
    rings: Arc<Rings>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Its CA is known and checked; kept until TLS with it fails.
    client: Option<K3sClient>,
    /// It said when to come back.
    not_before: Option<Duration>,
}

impl Legacy {
    pub(crate) fn new(config: ClientConfig, rings: Arc<Rings>) -> Self {
        Self { config, rings, state: Mutex::default() }
    }

    pub(crate) fn server(&self) -> &ServerUrl {
        &self.config.server
    }

    /// Until when the server asks to be left alone.
    fn not_before(&self, error: &CallError) -> Option<Duration> {
        match error {
            CallError::Status { retry_after: Some(wait), .. } => {
                Some(self.rings.now().saturating_add(*wait))
            }
            _ => None,
        }
    }

    async fn addresses(&self) -> Result<Vec<Candidate>, String> {
        // One attempt at a time: the table asks no source twice at once.
        let mut state = self.state.lock().await;
        let now = self.rings.now();
        if let Some(wait) = state.not_before.and_then(|at| at.checked_sub(now)) {
            return Err(format!("it asked to be left alone for {} s more", wait.as_secs() + 1));
        }
        state.not_before = None;
        let client = match &state.client {
            Some(client) => client.clone(),
            None => {
                let connected = K3sClient::connect(self.config.clone()).await;
                let client = connected.map_err(|error| {
                    if let ConnectError::Fetch { source, .. } = &error {
                        state.not_before = self.not_before(source);
                    }
                    chain(&error)
                })?;
                state.client.insert(client).clone()
            }
        };
        let request = Request { rings: &self.rings, server: self.server(), ended: Ended::GaveUp };
        self.rings.started(self.server());
        let fetched = client.peers().await;
        request.end(how(fetched.as_ref()));
        match fetched {
            Ok(fetched) => {
                let addresses = fetched.peers.addresses.into_iter();
                let found =
                    addresses.map(|at| Candidate { address: at.address, peer: Some(at.peer) });
                Ok(found.collect())
            }
            Err(error) => {
                if let FetchError::Call { source, .. } = &error {
                    // Its CA may be another one now.
                    if matches!(source, CallError::Tls(_)) {
                        state.client = None;
                    }
                    state.not_before = self.not_before(source);
                }
                Err(chain(&error))
            }
        }
    }
}

impl Ask for Legacy {
    fn ask(&self) -> BoxFuture<'_, Result<Vec<Candidate>, String>> {
        Box::pin(self.addresses())
    }
}

/// How a request ended, for the detector of rings.
fn how(fetched: Result<&unring_k3s::Fetched, &FetchError>) -> Ended {
    match fetched {
        Ok(fetched) => Ended::Answered(fetched.remote),
        Err(FetchError::Answer { .. }) => Ended::Failed,
        Err(FetchError::Call { source, .. }) => match source {
            CallError::TimedOut => Ended::GaveUp,
            CallError::Connect(_)
            | CallError::Tls(_)
            | CallError::TlsConfig(_)
            | CallError::Request(_) => Ended::NotSent,
            CallError::Http(_) | CallError::Body { .. } | CallError::Status { .. } => Ended::Failed,
        },
    }
}

/// A request that is out. Dropped before it has ended, it was given up.
struct Request<'a> {
    rings: &'a Rings,
    server: &'a ServerUrl,
    ended: Ended,
}

impl Request<'_> {
    fn end(mut self, how: Ended) {
        self.ended = how;
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        self.rings.ended(self.server, self.ended);
    }
}
