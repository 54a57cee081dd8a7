//! Requests from outside that make the nodes exchange peers.

use std::error::Error;
use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use unring_exchange::{OutboundRequest, Scope};
use unring_peer::{GrpcUrl, Identity, InvalidGrpcUrl};
use unring_peer_addr::{CallError, Client, ConnectError, TlsError, TlsIdentity, UrlConnector};

use crate::cluster::{Cluster, Stop};
use crate::error_chain;
use crate::node_config;

/// How long a connection may take; forty nodes share two cores.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How long an answer may take: a node's own default for a request.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How a trigger ended, when it did not end well.
pub type TriggerError = Box<dyn Error + Send + Sync>;

/// A client that sends one `ListPeers` with `SCOPE_RECURSIVE` and no trace, so that the node becomes the origin.
pub trait Trigger {
    /// Asks the node at this URL and waits for its answer.
    ///
    /// # Errors
    /// The node cannot be reached or does not answer.
    fn fire(&mut self, grpc_url: &str) -> Result<(), TriggerError>;
}

/// A trigger that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// The index of the node that was asked.
    pub node: usize,
    /// Why there was no answer, if there was none.
    pub error: Option<String>,
}

/// Sends `count` triggers one after another, round robin from the node at `first`, or fewer when a stop comes first.
pub fn fire(
    cluster: &Cluster,
    trigger: &mut dyn Trigger,
    first: usize,
    count: usize,
    stop: &Stop,
) -> Vec<Fired> {
    let nodes: Vec<_> = cluster.nodes().iter().zip(&cluster.topology().nodes).enumerate().collect();
    let turns = nodes
        .iter()
        .cycle()
        .skip(first % nodes.len().max(1))
        .take(count)
        .take_while(|_| !stop.is_wanted());
    let fired = turns.map(|&(node, (process, spec))| {
        let answer = trigger.fire(&node_config::grpc_url(spec, process.ports()));
        Fired { node, error: answer.err().map(|err| error_chain(&*err)) }
    });
    fired.collect()
}

/// Real calls: gRPC over mutual TLS, or in plaintext, with a fresh identity and a connection for each.
#[derive(Debug)]
pub struct GrpcTrigger {
    runtime: Runtime,
    connector: UrlConnector,
    identity: Identity,
}

/// Why there can be no calls.
#[derive(Debug, thiserror::Error)]
pub enum GrpcTriggerError {
    /// No runtime.
    #[error("cannot start a runtime for gRPC calls")]
    Runtime(#[source] io::Error),
    /// No TLS.
    #[error("cannot make a TLS identity for gRPC calls")]
    Tls(#[from] TlsError),
}

#[derive(Debug, thiserror::Error)]
enum CallFailed {
    #[error("its URL is wrong")]
    Url(#[from] InvalidGrpcUrl),
    #[error("it cannot be reached")]
    Connect(#[from] ConnectError),
    #[error("it gave no answer")]
    Call(#[from] CallError),
}

impl GrpcTrigger {
    /// A client that no node knows.
    ///
    /// # Errors
    /// The machine has no room for a runtime, or the TLS library refuses.
    pub fn new() -> Result<Self, GrpcTriggerError> {
        let runtime = runtime().map_err(GrpcTriggerError::Runtime)?;
        let identity = Identity::generate();
        // Every node is on loopback, where plaintext needs nobody's consent.
        let connector = UrlConnector::new(&TlsIdentity::new(&identity)?, false)?;
        Ok(Self { runtime, connector, identity })
    }

    async fn call(&self, grpc_url: &str) -> Result<(), CallFailed> {
        let url: GrpcUrl = grpc_url.parse()?;
        let client = Client::connect(&self.connector, &url, &self.identity, CONNECT_WITHIN).await?;
        let request = OutboundRequest {
            scope: Scope::Recursive,
            max_peers: 0,
            trace: None,
            caller_record: None,
        };
        client.list_peers(request, ANSWER_WITHIN).await?;
        Ok(())
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

impl Trigger for GrpcTrigger {
    fn fire(&mut self, grpc_url: &str) -> Result<(), TriggerError> {
        let called = self.runtime.block_on(self.call(grpc_url));
        // The connection is a task of the runtime, which nobody runs between two calls: without this the node would not hear that
        // it is closed, and would wait for it until its drain deadline.
        self.runtime = runtime()?;
        Ok(called?)
    }
}
