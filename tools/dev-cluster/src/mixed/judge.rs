//! Whether K3s's servers stormed, and whether their rings were suspected.

use std::time::Duration;

use serde::Serialize;

use super::{Places, Split};
use crate::report::InOrder;
use crate::statusz::{Statusz, SuspectedRing};
use crate::verdict::NodeObserved;

/// After this long a node that finds nobody must suspect its ring. It takes 5 s on a quiet machine; where a request takes
/// longer, chance is likelier and more requests are needed, at last every 10 s one. A run waits so long, and no longer than
/// it takes.
pub(crate) const SUSPECTED_WITHIN: Duration = Duration::from_secs(90);

/// What a run showed of K3s's servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LegacyReport {
    /// Calls that each of them sent.
    pub sent: InOrder<u64>,
    /// The most that all of them may have sent: what the nodes asked, and each server once at its start, every call passed
    /// on along each join once.
    pub allowed: u64,
    /// Rings through them that are there, of which a node can know.
    pub rings_expected: usize,
    /// Rings through them that are there, of which no node can know.
    pub rings_hidden: usize,
    /// Rings through them that a node suspects, as it names them.
    pub suspected: Vec<String>,
}

impl LegacyReport {
    /// The same in a line.
    pub fn summary(&self) -> String {
        let sent: u64 = self.sent.0.iter().map(|(_, sent)| sent).sum();
        let Self { allowed, rings_expected, rings_hidden, .. } = self;
        let mut text = format!(
            "{} servers of K3s sent {sent} calls, at most {allowed} are no storm; rings through them: {} suspected, \
             {rings_expected} to be seen",
            self.sent.0.len(),
            self.suspected.len()
        );
        if *rings_hidden > 0 {
            text += &format!(
                ", {rings_hidden} that cannot be seen and is harmless: a node between two of its servers answers and asks \
                 nobody (docs/k3s.md)"
            );
        }
        for ring in &self.suspected {
            text += &format!("\n  suspected ring {ring}");
        }
        text
    }
}

/// What the servers said of themselves, before the nodes were looked at for the last time.
pub(crate) struct Seen<'a> {
    pub(crate) split: &'a Split,
    pub(crate) places: &'a Places,
    /// Calls sent, and whether a limit was met.
    pub(crate) sent: &'a [(u64, bool)],
    pub(crate) ran: Duration,
}

/// Judges the servers; a sentence for each law that did not hold.
pub(crate) fn judge(
    seen: &Seen<'_>,
    nodes: &[NodeObserved],
    failures: &mut Vec<String>,
) -> LegacyReport {
    let split = seen.split;
    let calls = split.calls_of_a_request().unwrap_or_default();
    // Each bootstraps once.
    let mut allowed: u64 = calls.iter().sum();
    let statuses: Vec<Option<&Statusz>> =
        nodes.iter().map(|node| node.status.as_ref().ok()).collect();
    for (status, joins) in statuses.iter().zip(&split.joins_of_unring) {
        for &server in joins {
            let url = seen.places.url(server);
            let source = status.and_then(|status| {
                let mut sources = status.first_peer.sources.iter();
                sources.find(|source| source.kind == "k3s" && Some(&source.name) == url.as_ref())
            });
            // One more may be under way.
            let asked = source.map_or(0, |source| source.attempts).saturating_add(1);
            let each = calls.get(server).copied().unwrap_or(0);
            allowed = allowed.saturating_add(asked.saturating_mul(each));
        }
    }
    let sent: u64 = seen.sent.iter().map(|(sent, _)| sent).sum();
    if sent > allowed || seen.sent.iter().any(|(_, capped)| *capped) {
        failures.push(format!(
            "servers of K3s sent {sent} calls, expected at most {allowed}: a storm; see their logs beside the nodes' \
             folders, and first_peer.sources and k3s in statusz.json of each node"
        ));
    }
    let rings_hidden = split.hidden;
    let mut report = LegacyReport { allowed, rings_hidden, ..LegacyReport::default() };
    report.sent = InOrder(
        split.legacy.iter().cloned().zip(seen.sent.iter().map(|(sent, _)| *sent)).collect(),
    );
    for (index, (node, status)) in nodes.iter().zip(&statuses).enumerate() {
        let Some(status) = status else { continue };
        let name = split.unring.nodes.get(index).map_or("", |node| &node.name);
        let expected = expected(split, seen.places, index);
        let told = &status.k3s.suspected_rings;
        for ring in told {
            report
                .suspected
                .push(format!("{name} -> {} -> .. -> {} -> {name}", ring.server, ring.client));
            if !expected.contains(ring) {
                failures.push(format!(
                    "{name} suspects a ring out by {} and back by {}, expected one of {expected:?}; see k3s in {}",
                    ring.server,
                    ring.client,
                    node.status_file.display()
                ));
            }
        }
        // Who has found a peer asks every 30 minutes and cannot know yet.
        if !status.libp2p.connected_peers.is_empty() {
            continue;
        }
        report.rings_expected += expected.len();
        // A run that was stopped did not wait.
        if seen.ran < SUSPECTED_WITHIN && told.len() < expected.len() {
            continue;
        }
        for ring in expected.iter().filter(|ring| !told.contains(ring)) {
            failures.push(format!(
                "{name} does not suspect the ring out by {} and back by {} after {:?}; see k3s and first_peer in {}",
                ring.server,
                ring.client,
                seen.ran,
                node.status_file.display()
            ));
        }
        if node.log.legacy_warnings != expected.len() {
            failures.push(format!(
                "{name} warned {} times of rings through servers of K3s, expected {}; see {}",
                node.log.legacy_warnings,
                expected.len(),
                node.log_file.display()
            ));
        }
    }
    report
}

/// Whether a node that finds nobody does not suspect all of its rings yet.
pub(crate) fn is_pending<'a>(
    split: &Split,
    places: &Places,
    statuses: impl IntoIterator<Item = &'a Statusz>,
) -> bool {
    let mut statuses = statuses.into_iter().enumerate();
    statuses.any(|(node, status)| {
        let told = &status.k3s.suspected_rings;
        status.libp2p.connected_peers.is_empty()
            && expected(split, places, node).iter().any(|ring| !told.contains(ring))
    })
}

fn expected(split: &Split, places: &Places, node: usize) -> Vec<SuspectedRing> {
    let addresses: Vec<_> = Places::addresses(split.legacy.len()).collect();
    let ring = |(first, last): (usize, usize)| {
        Some(SuspectedRing { server: places.url(first)?, client: addresses.get(last)?.to_string() })
    };
    split.rings_of(node).into_iter().filter_map(ring).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Places, split};
    use super::{InOrder, LegacyReport, SUSPECTED_WITHIN, Seen, SuspectedRing, judge};
    use crate::logs::LogSummary;
    use crate::statusz::{K3s, Source, Statusz};
    use crate::topology::Shape;
    use crate::verdict::NodeObserved;

    /// A ring of a node and two servers, of which the node has asked one this often.
    fn ring(
        attempts: u64,
        suspects: bool,
        warnings: usize,
        sent: [u64; 2],
        ran: Duration,
    ) -> (LegacyReport, Vec<String>) {
        let split = split(&Shape::Ring.build(3, 0), 2).unwrap();
        let places = Places::pick(2).unwrap();
        let server = places.url(0).unwrap();
        let ring = SuspectedRing { server: server.clone(), client: "127.0.0.3".into() };
        let mut status = Statusz {
            k3s: K3s { served: attempts, suspected_rings: Vec::new() },
            ..Statusz::default()
        };
        status.k3s.suspected_rings.extend(suspects.then_some(ring));
        status.first_peer.sources.push(Source { kind: "k3s".into(), name: server, attempts });
        let node = NodeObserved {
            peer_id: String::new(),
            status: Ok(status),
            ended_early: None,
            unclean_exit: None,
            p2p_cpu_percent: None,
            rss_mib: None,
            log: LogSummary { legacy_warnings: warnings, ..LogSummary::default() },
            log_file: "log".into(),
            status_file: "statusz.json".into(),
        };
        let sent = sent.map(|sent| (sent, false));
        let seen = Seen { split: &split, places: &places, sent: &sent, ran };
        let mut failures = Vec::new();
        (judge(&seen, &[node], &mut failures), failures)
    }

    #[test]
    fn what_is_suspected_and_what_cannot_be_is_said() {
        let report = LegacyReport {
            sent: InOrder(vec![("node-2".into(), 3), ("node-4".into(), 1)]),
            allowed: 10,
            rings_expected: 0,
            rings_hidden: 1,
            suspected: Vec::new(),
        };
        let line = "2 servers of K3s sent 4 calls, at most 10 are no storm; rings through them: 0 suspected, 0 to be seen";
        let hidden = format!(
            "{line}, 1 that cannot be seen and is harmless: a node between two of its servers"
        );
        assert!(report.summary().starts_with(&hidden), "{}", report.summary());
        let ring = "node-1 -> https://127.0.0.2:6443 -> .. -> 127.0.0.3 -> node-1".to_owned();
        let suspected = LegacyReport {
            rings_expected: 1,
            rings_hidden: 0,
            suspected: vec![ring.clone()],
            ..report
        };
        let line = line.replace("0 suspected, 0 to", "1 suspected, 1 to");
        assert_eq!(suspected.summary(), format!("{line}\n  suspected ring {ring}"));
    }

    #[test]
    fn a_request_may_go_round_once() {
        // Ten requests, one under way and three calls of the starts: 11 * 2 + 3.
        let (report, failures) = ring(10, true, 1, [12, 13], SUSPECTED_WITHIN);
        assert_eq!((report.allowed, &failures[..]), (25, &[][..]));
        let (_, failures) = ring(10, true, 1, [13, 13], SUSPECTED_WITHIN);
        assert!(failures[0].contains("26 calls, expected at most 25: a storm"), "{failures:?}");
    }

    #[test]
    fn a_ring_that_is_there_is_suspected_and_said_once_in_time() {
        let check = |suspects, warnings, ran, expected: Option<&str>| {
            let (_, failures) = ring(10, suspects, warnings, [1, 1], ran);
            match expected {
                None => assert_eq!(failures, [""; 0]),
                Some(text) => assert!(failures[0].contains(text), "{failures:?}"),
            }
        };
        check(true, 1, SUSPECTED_WITHIN, None);
        check(true, 1, Duration::from_secs(5), None);
        check(false, 0, Duration::from_secs(5), None);
        check(false, 0, SUSPECTED_WITHIN, Some("does not suspect"));
        check(true, 2, SUSPECTED_WITHIN, Some("warned 2 times"));
    }
}
