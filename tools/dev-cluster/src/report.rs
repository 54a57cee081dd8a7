//! `report.json` and `cluster.json`.

use serde::{Serialize, Serializer};

use crate::baseline::BaselineReport;
use crate::mixed::LegacyReport;
use crate::partition::PartitionReport;
use crate::providers::ProvidersReport;

/// What a run showed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The shape, or the topology's file.
    pub topology: String,
    /// How many nodes.
    pub nodes: usize,
    /// The seed of a random topology.
    pub seed: u64,
    /// Seconds from the moment when all were ready to the end of the watch.
    pub duration_s: f64,
    /// Seconds from the first process to the last ready node; null when that never came.
    pub ready_s: Option<f64>,
    /// The laws in numbers.
    pub invariants: Invariants,
    /// The rings that nodes reported.
    pub rings: Vec<RingReport>,
    /// Each node in numbers, in the order of the topology.
    pub per_node: InOrder<NodeReport>,
    /// Whether nodes find each other's keys in the DHT; null when the run was stopped before they were asked.
    pub providers: Option<ProvidersReport>,
    /// What became of the partition, where one was asked for.
    pub partition: Option<PartitionReport>,
    /// Nodes without loop protection beside these, where that was asked for.
    pub baseline: Option<BaselineReport>,
    /// Servers of K3s among the nodes, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legacy: Option<LegacyReport>,
    /// Whether every law held.
    pub verdict: Verdict,
    /// A sentence for each law that did not.
    pub failures: Vec<String>,
}

/// The laws in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Invariants {
    /// The messages of the request that cost most, those of the start included.
    pub messages_per_trigger_max: u64,
    /// Directed joins: what one request may cost.
    pub joins: usize,
    /// Whether every node knows every node that it reaches along joins.
    pub all_reachable_known: bool,
    /// Whether every node has a live libp2p connection to every other of its weakly connected component.
    pub connected: bool,
    /// Rings of the topology, by brute force.
    pub rings_expected: usize,
    /// Different rings that nodes reported.
    pub rings_found: usize,
}

/// A ring that nodes reported.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RingReport {
    /// Its nodes.
    pub nodes: Vec<String>,
    /// A shortest circuit, as the first of its nodes names it.
    pub witness: Vec<String>,
    /// The first join to cut, as the first of its nodes names it.
    pub cut: Option<CutReport>,
    /// How many warnings of it each node logged.
    pub warnings_per_node: InOrder<usize>,
}

/// A join to cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CutReport {
    /// The node that has it in its configuration.
    pub from: String,
    /// Where it leads.
    pub to: String,
}

/// A node in numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NodeReport {
    /// Peers in its book.
    pub peers_known: usize,
    /// Peers with a live libp2p connection.
    pub connected: usize,
    /// Requests answered.
    pub served: u64,
    /// Recursive requests sent.
    pub sent: u64,
    /// Requests that it had forwarded before.
    pub duplicates: u64,
    /// Requests that came back to it.
    pub loops: u64,
    /// Requests that its governor refused or degraded.
    pub throttled: u64,
    /// CPU of its P2P runtime in percent of one core, mean after the first 5 s; null for a shorter run.
    pub cpu_percent_of_core: Option<f64>,
    /// CPU of its whole process over the same time.
    pub process_cpu_percent: Option<f64>,
    /// Resident memory at the end, in MiB.
    pub rss_mib: Option<f64>,
    /// Lines in its log.
    pub log_lines: u64,
}

/// Whether every law held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All did.
    Pass,
    /// Some did not.
    Fail,
}

impl Report {
    /// The outcome in a few lines, for people.
    pub fn summary(&self) -> String {
        let Invariants {
            messages_per_trigger_max: messages,
            joins,
            rings_expected,
            rings_found,
            ..
        } = self.invariants;
        let verdict = match self.verdict {
            Verdict::Pass => "PASS",
            Verdict::Fail => "FAIL",
        };
        let mut lines = vec![format!(
            "{verdict}: {} of {} for {} s; a request cost at most {} over {}; \
             rings: {rings_found} found, {rings_expected} expected",
            self.topology,
            counted(self.nodes, "node"),
            self.duration_s,
            counted(messages, "message"),
            counted(joins, "join")
        )];
        for ring in &self.rings {
            let circuit: Vec<&str> =
                ring.witness.iter().chain(ring.witness.first()).map(String::as_str).collect();
            let cut = ring
                .cut
                .as_ref()
                .map_or("nothing".to_owned(), |cut| format!("{} -> {}", cut.from, cut.to));
            lines.push(format!("  ring {}; cut {cut}", circuit.join(" -> ")));
        }
        lines.extend(self.legacy.iter().map(|legacy| format!("  {}", legacy.summary())));
        lines.extend(self.providers.iter().map(ProvidersReport::line));
        lines.extend(self.partition.iter().map(PartitionReport::line));
        lines.extend(self.baseline.iter().map(BaselineReport::table));
        lines.extend(self.failures.iter().map(|failure| format!("  - {failure}")));
        lines.join("\n")
    }
}

pub(crate) fn counted(number: impl ToString, what: &str) -> String {
    let number = number.to_string();
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// A JSON object whose keys keep the order of the topology (node-2 before node-10).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InOrder<T>(pub Vec<(String, T)>);

impl<T: Serialize> Serialize for InOrder<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// How a script reaches a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// Process id; null when the process has ended.
    pub pid: Option<u32>,
    /// Peer id.
    pub peer_id: String,
    /// The URLs that it joins.
    pub upstreams: Vec<String>,
    /// URL of its gRPC endpoint.
    pub grpc: String,
    /// URL of its admin endpoint.
    pub admin: String,
    /// Multiaddr of its libp2p endpoint, with its peer id.
    pub libp2p: String,
    /// URL of K3s's path, without the path.
    pub k3s: String,
    /// Path of the CA by which to know that endpoint, PEM.
    pub k3s_ca: String,
    /// A bootstrap token that it lets in.
    pub k3s_token: String,
    /// Path of its log.
    pub log: String,
}

/// A value as the JSON of a file.
///
/// # Errors
/// A number that JSON has no word for.
pub fn to_json<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    let mut json = serde_json::to_string_pretty(value)?;
    json.push('\n');
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::{
        CutReport, Endpoint, InOrder, Invariants, NodeReport, Report, RingReport, Verdict, to_json,
    };
    use crate::providers::ProvidersReport;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_report_is_written_as_scripts_read_it() {
        let node = NodeReport {
            peers_known: 2,
            connected: 1,
            served: 3,
            sent: 4,
            duplicates: 5,
            loops: 6,
            throttled: 7,
            cpu_percent_of_core: Some(0.12),
            process_cpu_percent: None,
            rss_mib: Some(20.5),
            log_lines: 8,
        };
        let ring = RingReport {
            nodes: names(&["node-2", "node-10"]),
            witness: names(&["node-10", "node-2"]),
            cut: Some(CutReport { from: "node-2".into(), to: "node-10".into() }),
            warnings_per_node: InOrder(vec![("node-2".into(), 1), ("node-10".into(), 1)]),
        };
        let report = Report {
            topology: "ring".into(),
            nodes: 2,
            seed: 1,
            duration_s: 15.0,
            ready_s: Some(0.5),
            invariants: Invariants {
                messages_per_trigger_max: 2,
                joins: 3,
                all_reachable_known: true,
                connected: false,
                rings_expected: 1,
                rings_found: 1,
            },
            rings: vec![ring],
            per_node: InOrder(vec![("node-2".into(), node.clone()), ("node-10".into(), node)]),
            providers: Some(ProvidersReport {
                expected: 2,
                found: 1,
                p50_ms: Some(1.5),
                p99_ms: Some(1.5),
            }),
            partition: None,
            baseline: None,
            legacy: None,
            verdict: Verdict::Fail,
            failures: names(&["node-2 is tired"]),
        };
        assert_eq!(to_json(&report).unwrap(), include_str!("report/example.json"));
        assert_eq!(
            report.summary(),
            "FAIL: ring of 2 nodes for 15 s; a request cost at most 2 messages over 3 joins; rings: 1 found, 1 expected\n  \
             ring node-10 -> node-2 -> node-10; cut node-2 -> node-10\n  \
             keys of other nodes found in the DHT: 1 of 2; a look-up took p50 1.5 ms, p99 1.5 ms\n  \
             - node-2 is tired"
        );
    }

    #[test]
    fn an_endpoint_is_written_as_scripts_read_it() {
        let endpoint = Endpoint {
            pid: Some(7),
            peer_id: "12D3".into(),
            upstreams: names(&["https://127.0.0.1:2"]),
            grpc: "https://127.0.0.1:1".into(),
            admin: "http://127.0.0.1:3".into(),
            libp2p: "/ip4/127.0.0.1/tcp/4/p2p/12D3".into(),
            k3s: "https://127.0.0.1:5".into(),
            k3s_ca: "/t/k3s_files/ca.pem".into(),
            k3s_token: "abcdef.0123456789abcdef".into(),
            log: "/t/node-1/unring.log".into(),
        };
        let json = serde_json::to_string(&InOrder(vec![("node-1".to_owned(), endpoint)])).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"node-1":{"pid":7,"peer_id":"12D3","upstreams":["https://127.0.0.1:2"],"grpc":"https://127.0.0.1:1","#,
                r#""admin":"http://127.0.0.1:3","libp2p":"/ip4/127.0.0.1/tcp/4/p2p/12D3","k3s":"https://127.0.0.1:5","#,
                r#""k3s_ca":"/t/k3s_files/ca.pem","k3s_token":"abcdef.0123456789abcdef","log":"/t/node-1/unring.log"}}"#
            )
        );
    }
}
