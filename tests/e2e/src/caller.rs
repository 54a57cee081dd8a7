//! A gRPC client that no node knows.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use unring_exchange::{OutboundRequest, RemoteAnswer, Scope};
use unring_peer::{Identity, JoinToken, Keyring, Membership, PeerLists};
use unring_peer_addr::{
    CallError, Client, ClusterTls, ConnectError, Guard, TlsIdentity, UrlConnector,
};

/// Time to connect.
const CONNECT: Duration = Duration::from_secs(10);

/// A client with an identity of its own.
#[derive(Debug)]
pub struct Caller {
    runtime: Runtime,
    connector: UrlConnector,
    identity: Identity,
    guard: Guard,
}

impl Default for Caller {
    fn default() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let identity = Identity::generate();
        let tls = TlsIdentity::new(&identity).unwrap();
        Self {
            runtime,
            connector: UrlConnector::new(&tls, false).unwrap(),
            identity,
            guard: Guard::default(),
        }
    }
}

impl Caller {
    /// One that shows that it knows this join token.
    pub fn with_token(token: &str) -> Self {
        let mut caller = Self::default();
        let keyring = Keyring::new(&[JoinToken::parse(token).unwrap()]);
        let membership = Membership::new(Some(keyring), PeerLists::default());
        caller.guard = Guard::new(caller.identity.peer_id(), membership);
        caller
    }

    /// One whose certificate an authority speaks for.
    pub fn in_cluster(cluster: ClusterTls) -> Self {
        let mut caller = Self::default();
        let tls = TlsIdentity::in_cluster(&caller.identity, cluster).unwrap();
        caller.connector = UrlConnector::new(&tls, false).unwrap();
        caller
    }

    /// Its key, for what it signs.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its peer id.
    pub fn peer_id(&self) -> String {
        self.identity.peer_id().to_base58()
    }

    /// Connects to the node at `url`.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn connect(&self, url: &str) -> Result<Client, ConnectError> {
        let url = url.parse().unwrap();
        let client = Client::connect(&self.connector, &url, &self.identity, CONNECT).await?;
        client.with_guard(self.guard.clone())
    }

    /// Runs calls on this caller's runtime.
    pub fn block_on<T>(&self, calls: impl Future<Output = T>) -> T {
        self.runtime.block_on(calls)
    }

    /// Asks a node once, over a connection of its own.
    ///
    /// # Errors
    /// It does not answer within `limit`.
    pub fn ask(&self, url: &str, scope: Scope, limit: Duration) -> Result<RemoteAnswer, CallError> {
        self.block_on(async { ask(&self.connect(url).await?, scope, limit).await })
    }
}

/// Asks for peers without a trace, as a tool does: the node that is asked becomes the origin.
///
/// # Errors
/// There is no answer within `limit`.
pub async fn ask(
    client: &Client,
    scope: Scope,
    limit: Duration,
) -> Result<RemoteAnswer, CallError> {
    let request = OutboundRequest { scope, max_peers: 0, trace: None, caller_record: None };
    client.list_peers(request, limit).await
}
