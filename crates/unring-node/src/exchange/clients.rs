//! Connections to upstreams: one each, made when it is needed and kept while it lasts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use unring_peer::{GrpcUrl, Identity};
use unring_peer_addr::{Client, ConnectError, Guard, UrlConnector};

use crate::errors::chain;

/// Time for a connection: a name, then up to four addresses of a second each.
const CONNECT: Duration = Duration::from_secs(5);

/// Connections by address. There are at most as many as joins are configured.
pub(crate) struct Clients {
    connector: UrlConnector,
    identity: Identity,
    guard: Guard,
    by_address: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Slot>>>>,
}

/// The connection to one address, or how the last attempt ended.
#[derive(Default)]
struct Slot {
    client: Option<Client>,
    failure: Option<(Instant, String)>,
}

impl Clients {
    pub(crate) fn new(connector: UrlConnector, identity: Identity, guard: Guard) -> Self {
        Self { connector, identity, guard, by_address: Mutex::new(HashMap::new()) }
    }

    /// The connection to `url`, and whether it was made for this call; else why there is none, for people.
    ///
    /// Calls that need one at once share one attempt, at most [`CONNECT`] long, and its end, whichever it is. A handshake
    /// needs nothing that a request holds, so that this is no wait cycle (law L2).
    pub(crate) async fn get(&self, url: &GrpcUrl) -> Result<(Client, bool), String> {
        let asked = Instant::now();
        let slot = Arc::clone(self.by_address.lock().entry(url.to_string()).or_default());
        let mut slot = slot.lock().await;
        if let Some(client) = slot.client.as_ref().filter(|client| !client.is_closed()) {
            return Ok((client.clone(), false));
        }
        if let Some((_, why)) = slot.failure.as_ref().filter(|(ended, _)| *ended >= asked) {
            return Err(why.clone());
        }
        slot.client = None;
        match self.connect(url).await {
            Ok(client) => {
                slot.client = Some(client.clone());
                Ok((client, true))
            }
            Err(error) => {
                let why = chain(&error);
                slot.failure = Some((Instant::now(), why.clone()));
                Err(why)
            }
        }
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self, url: &GrpcUrl) -> Result<Client, ConnectError> {
        let client = Client::connect(&self.connector, url, &self.identity, CONNECT).await?;
        client.with_guard(self.guard.clone())
    }

    /// Forgets the connection to `url`: the next call makes a new one, which may lead elsewhere.
    pub(crate) fn forget(&self, url: &GrpcUrl) {
        self.by_address.lock().remove(url.as_str());
    }

    /// Forgets the connections to all other addresses.
    pub(crate) fn retain(&self, addresses: &[String]) {
        self.by_address.lock().retain(|address, _| addresses.contains(address));
    }
}
