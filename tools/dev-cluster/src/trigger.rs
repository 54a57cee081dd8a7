//! Requests from outside that make the nodes exchange peers.

use std::error::Error;

use crate::cluster::Cluster;
use crate::error_chain;
use crate::node_config;

/// How a trigger ended, when it did not end well.
pub type TriggerError = Box<dyn Error + Send + Sync>;

/// A client that sends one `ListPeers` with `SCOPE_RECURSIVE` and no trace, so that the node becomes the origin.
pub trait Trigger {
    /// Asks the node at this URL and waits for its answer: the request id in hexadecimal, empty for an answer from
    /// the node's book alone.
    ///
    /// # Errors
    /// The node cannot be reached or does not answer.
    fn fire(&mut self, grpc_url: &str) -> Result<String, TriggerError>;
}

/// A trigger that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// The index of the node that was asked.
    pub node: usize,
    /// The request id, or why there was no answer.
    pub answer: Result<String, String>,
}

/// Sends `count` triggers one after another, round robin from the node at `first`.
pub fn fire(
    cluster: &Cluster,
    trigger: &mut dyn Trigger,
    first: usize,
    count: usize,
) -> Vec<Fired> {
    let nodes =
        cluster.nodes().iter().zip(&cluster.topology().nodes).enumerate().collect::<Vec<_>>();
    let turns = nodes.iter().cycle().skip(first % nodes.len().max(1)).take(count);
    let fired = turns.map(|&(node, (process, spec))| {
        let answer = trigger.fire(&node_config::grpc_url(spec, process.ports()));
        Fired { node, answer: answer.map_err(|err| error_chain(&*err)) }
    });
    fired.collect()
}
