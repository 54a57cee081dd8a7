//! From what was seen of a run to the laws that did not hold. No clock, no process, no file.

mod rings;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::logs::LogSummary;
use crate::messages::RequestCost;
use crate::report::{Invariants, RingReport};
use crate::statusz::Statusz;
use crate::topology::Topology;

/// What P2P work may cost where a node does not say it, in percent of one core: the default of its configuration.
const DEFAULT_CPU_BUDGET: f64 = 5.0;

/// The most memory that a node of a small cluster may hold, in MiB.
const MAX_RSS_MIB: f64 = 64.0;

/// After this long every member must have warned of its ring: a ring is announced after 10 s at the latest.
const WARNED_AFTER: Duration = Duration::from_secs(12);

/// What was seen of a run.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Who joined whom.
    pub topology: Topology,
    /// The time from the moment when all were ready to the end of the watch.
    pub ran: Duration,
    /// The nodes, in the order of the topology.
    pub nodes: Vec<NodeObserved>,
    /// How many requests from outside were answered.
    pub triggered: usize,
    /// The request that cost most.
    pub dearest: Option<RequestCost>,
}

/// What was seen of a node.
#[derive(Clone, Debug)]
pub struct NodeObserved {
    /// Its peer id.
    pub peer_id: String,
    /// Its last status, or why there is none.
    pub status: Result<Statusz, String>,
    /// How it ended before it was asked to.
    pub ended_early: Option<String>,
    /// How it ended when it was asked to, unless that was with exit code 0.
    pub unclean_exit: Option<String>,
    /// CPU of its P2P runtime after the first seconds, in percent of one core.
    pub p2p_cpu_percent: Option<f64>,
    /// Resident memory at the end, in MiB.
    pub rss_mib: Option<f64>,
    /// Its log in short.
    pub log: LogSummary,
    /// Where its log is.
    pub log_file: PathBuf,
    /// Where its last status is kept.
    pub status_file: PathBuf,
}

/// What follows from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The laws in numbers.
    pub invariants: Invariants,
    /// The rings that nodes reported.
    pub rings: Vec<RingReport>,
    /// A sentence for each law that did not hold.
    pub failures: Vec<String>,
}

/// Judges a run.
pub fn judge(observed: &Observed) -> Judgement {
    let mut failures = Vec::new();
    processes(observed, &mut failures);
    let messages = messages(observed, &mut failures);
    let all_reachable_known = knowledge(observed, &mut failures);
    let connected = connections(observed, &mut failures);
    let found = rings::judge(observed, &mut failures);
    costs(observed, &mut failures);
    let invariants = Invariants {
        messages_per_trigger_max: messages,
        joins: observed.topology.joins(),
        all_reachable_known,
        connected,
        rings_expected: found.expected,
        rings_found: found.rings.len(),
    };
    Judgement { invariants, rings: found.rings, failures }
}

impl Observed {
    fn name(&self, node: usize) -> &str {
        self.topology.nodes.get(node).map_or("", |node| &node.name)
    }

    fn names(&self, nodes: impl IntoIterator<Item = usize>) -> String {
        let names: Vec<&str> = nodes.into_iter().map(|node| self.name(node)).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }

    fn index_of(&self, peer_id: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.peer_id == peer_id)
    }

    fn indices<'a>(&self, peer_ids: impl IntoIterator<Item = &'a str>) -> BTreeSet<usize> {
        peer_ids.into_iter().filter_map(|peer_id| self.index_of(peer_id)).collect()
    }

    /// The nodes whose status is there, with it.
    fn statuses(&self) -> impl Iterator<Item = (usize, &NodeObserved, &Statusz)> {
        let nodes = self.nodes.iter().enumerate();
        nodes.filter_map(|(index, node)| Some((index, node, node.status.as_ref().ok()?)))
    }
}

fn processes(observed: &Observed, failures: &mut Vec<String>) {
    for (index, node) in observed.nodes.iter().enumerate() {
        let (name, log) = (observed.name(index), node.log_file.display());
        if let Some(exit) = &node.ended_early {
            failures.push(format!(
                "{name} ended by itself ({exit}), expected to run to the end; see the end of {log}"
            ));
        } else if let Err(error) = &node.status {
            failures.push(format!(
                "{name} did not answer GET /statusz at the end: {error}; see the end of {log}"
            ));
        }
        if let Some(exit) = &node.unclean_exit {
            failures.push(format!(
                "{name} ended with {exit} after SIGTERM, expected exit code 0; see the end of {log}"
            ));
        }
    }
}

fn messages(observed: &Observed, failures: &mut Vec<String>) -> u64 {
    let joins = observed.topology.joins();
    let Some(dearest) = &observed.dearest else {
        // A node without a join has nobody to send to and nothing to list.
        if observed.triggered > 0 && joins > 0 {
            failures.push(format!(
                "no node lists any of {} requests that were answered, expected each of them, or else their messages \
                 cannot be counted; see exchange.recent in statusz.json of each node",
                observed.triggered
            ));
        }
        return 0;
    };
    let messages = dearest.messages();
    if usize::try_from(messages).is_ok_and(|messages| messages <= joins) {
        return messages;
    }
    let (origin, id) = &dearest.request;
    let origin = observed.index_of(origin).map_or(origin.as_str(), |origin| observed.name(origin));
    let senders = dearest.sent_by.iter().filter(|&(_, &sent)| sent > 0);
    let senders: Vec<String> =
        senders.map(|(&node, sent)| format!("{} {sent}", observed.name(node))).collect();
    failures.push(format!(
        "the request {id} of {origin} cost {messages} messages, expected at most {joins} (one per join): sent by {}; \
         see exchange.recent in their statusz.json and this id in their logs",
        senders.join(", ")
    ));
    messages
}

fn knowledge(observed: &Observed, failures: &mut Vec<String>) -> bool {
    let graph = observed.topology.graph();
    let mut all = observed.statuses().count() == observed.nodes.len();
    for (index, node, status) in observed.statuses() {
        let known = observed.indices(status.peers.iter().map(|peer| peer.peer_id.as_str()));
        let missing: Vec<usize> = graph.reachable(index).difference(&known).copied().collect();
        if !missing.is_empty() {
            all = false;
            failures.push(format!(
                "{} does not know {}, expected every node that it reaches along joins, seen {}; {}",
                observed.name(index),
                observed.names(missing),
                observed.names(known),
                where_to_look(node, status, "peers")
            ));
        }
    }
    all
}

fn connections(observed: &Observed, failures: &mut Vec<String>) -> bool {
    let graph = observed.topology.graph();
    let mut all = observed.statuses().count() == observed.nodes.len();
    for (index, node, status) in observed.statuses() {
        let live = observed.indices(status.libp2p.connected_peers.iter().map(String::as_str));
        let missing: Vec<usize> = graph.component(index).difference(&live).copied().collect();
        if !missing.is_empty() {
            all = false;
            failures.push(format!(
                "{} has no libp2p connection to {}, expected one to every node that joins connect it with, seen {}; {}",
                observed.name(index),
                observed.names(missing),
                observed.names(live),
                where_to_look(node, status, "libp2p.connected_peers")
            ));
        }
    }
    all
}

/// The field of the status and the log, and what went wrong with an upstream last, which often is the cause.
fn where_to_look(node: &NodeObserved, status: &Statusz, field: &str) -> String {
    let mut text =
        format!("see {field} in {} and {}", node.status_file.display(), node.log_file.display());
    for upstream in &status.upstreams {
        if let Some(error) = &upstream.last_error {
            text.push_str(&format!("; its upstream {} said: {error}", upstream.address));
        }
    }
    text
}

fn costs(observed: &Observed, failures: &mut Vec<String>) {
    for (index, node) in observed.nodes.iter().enumerate() {
        let name = observed.name(index);
        let says = node.status.as_ref().map_or(0.0, |status| status.budget.limit_percent);
        let budget = if says > 0.0 { says } else { DEFAULT_CPU_BUDGET };
        if let Some(cpu) = node.p2p_cpu_percent.filter(|&cpu| cpu > budget) {
            failures.push(format!(
                "{name} used {cpu:.2} % of a core for P2P, expected at most its budget of {budget} %; \
                 see budget and exchange in {}",
                node.status_file.display()
            ));
        }
        if let Some(rss) = node.rss_mib.filter(|&rss| rss > MAX_RSS_MIB) {
            failures.push(format!(
                "{name} holds {rss:.1} MiB of memory, expected at most {MAX_RSS_MIB} MiB; \
                 see peers and libp2p in {}",
                node.status_file.display()
            ));
        }
    }
}

#[cfg(test)]
mod tests;
