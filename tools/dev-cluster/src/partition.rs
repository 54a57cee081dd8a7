//! A partition: when it begins, how long it lasts, and what is asked of the nodes afterwards.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

use crate::cluster::Cluster;
use crate::watch::Watch;

/// The halves must have found each other so soon after the end.
pub const FOUND_WITHIN: Duration = Duration::from_secs(15);

/// A partition that lasts so long must have been noticed: a silent connection is given up after 25 s.
pub const NOTICED_AFTER: Duration = Duration::from_secs(30);

/// When the halves are cut off, from the moment when all nodes are ready, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The beginning.
    pub at: Duration,
    /// The time until its end.
    pub lasts: Duration,
}

/// What became of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PartitionReport {
    /// Seconds from the moment when all were ready to its beginning.
    pub at_s: f64,
    /// How many seconds it lasted.
    pub lasted_s: f64,
    /// Whether a node lost the connection to a node of the other half.
    pub noticed: bool,
    /// Seconds from its end until every node knew and was connected to all that it should be; null if that was not within 15 s.
    pub found_again_s: Option<f64>,
}

impl FromStr for Partition {
    type Err = String;

    /// `AT,FOR`, such as `10s,40s`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once(',');
        let (at, lasts) = parts.ok_or("expected AT,FOR such as 10s,40s")?;
        let duration =
            |text: &str| humantime::parse_duration(text.trim()).map_err(|error| error.to_string());
        let (at, lasts) = (duration(at)?, duration(lasts)?);
        if lasts.is_zero() {
            return Err("expected a partition that lasts".to_owned());
        }
        Ok(Self { at, lasts })
    }
}

impl PartitionReport {
    /// It in a line, for people.
    pub fn line(&self) -> String {
        let Self { at_s, lasted_s, .. } = self;
        let noticed = if self.noticed { "noticed" } else { "not noticed" };
        let found = match self.found_again_s {
            Some(seconds) => format!("all found again {seconds} s after its end"),
            None => format!("not all found again {} s after its end", FOUND_WITHIN.as_secs()),
        };
        format!("  parted after {at_s} s for {lasted_s} s, {noticed}; {found}")
    }
}

impl Partition {
    /// When it must have healed, from the moment when all nodes are ready.
    pub fn healed_by(&self) -> Duration {
        self.at.saturating_add(self.lasts).saturating_add(FOUND_WITHIN)
    }
}

/// What is missing between nodes of the topology, a sentence each: knowledge of one that is reached along joins, or a connection
/// to one that joins connect it with.
pub fn missing(cluster: &Cluster, watch: &Watch) -> Vec<String> {
    let (graph, ids) = (cluster.topology().graph(), cluster.peer_ids());
    let indices = |peers: &mut dyn Iterator<Item = &str>| -> BTreeSet<usize> {
        peers.filter_map(|peer| ids.iter().position(|id| id == peer)).collect()
    };
    let name = |node: usize| cluster.nodes().get(node).map_or("", |node| node.name());
    let mut missing = Vec::new();
    for (index, seen) in watch.nodes().iter().enumerate() {
        if let Some(error) = &seen.error {
            missing.push(format!("{} does not answer: {error}", name(index)));
            continue;
        }
        let status = seen.status();
        let known = indices(&mut status.peers.iter().map(|peer| peer.peer_id.as_str()));
        let live = indices(&mut status.libp2p.connected_peers.iter().map(String::as_str));
        for other in graph.reachable(index).difference(&known) {
            missing.push(format!("{} does not know {}", name(index), name(*other)));
        }
        for other in graph.component(index).difference(&live) {
            missing.push(format!("{} has no connection to {}", name(index), name(*other)));
        }
    }
    missing
}

/// The laws of a partition that did not hold: one that lasts is noticed, and nothing is missing some seconds after its end.
pub fn judge(lasted: Duration, noticed: bool, missing: &[String]) -> Vec<String> {
    let mut failures = Vec::new();
    if !noticed && lasted >= NOTICED_AFTER {
        failures.push(format!(
            "no node lost a connection in a partition of {} s, expected that within {} s: were they parted?",
            lasted.as_secs(),
            NOTICED_AFTER.as_secs()
        ));
    }
    if !missing.is_empty() {
        failures.push(format!(
            "{} s after the partition ended {}, expected all to have found each other; see peers and \
             libp2p in statusz.json of these nodes, and their logs",
            FOUND_WITHIN.as_secs(),
            missing.join(", ")
        ));
    }
    failures
}

/// Whether a node of the first half, of so many, has lost its connection to one of the other.
pub fn is_noticed(cluster: &Cluster, watch: &Watch, left: usize) -> bool {
    let others: BTreeSet<&String> = cluster.peer_ids().iter().skip(left).collect();
    watch.nodes().iter().take(left).filter(|node| node.error.is_none()).any(|node| {
        let live = &node.status().libp2p.connected_peers;
        others.iter().any(|other| !live.contains(other))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{NOTICED_AFTER, Partition, PartitionReport, judge};

    #[test]
    fn a_partition_is_read_as_people_write_it() {
        let partition: Partition = "10s,40s".parse().unwrap();
        let (at, lasts) = (Duration::from_secs(10), Duration::from_secs(40));
        assert_eq!(partition, Partition { at, lasts });
        assert_eq!(partition.healed_by(), Duration::from_secs(65));
        for wrong in ["10s", "10s,", ",1s", "1s,0s", "a,b"] {
            assert!(wrong.parse::<Partition>().is_err(), "{wrong}");
        }
    }
    #[test]
    fn a_partition_that_shows_nowhere_or_does_not_heal_is_a_failure() {
        let missing = ["node-1 has no connection to node-2".to_owned()];
        assert_eq!(judge(NOTICED_AFTER, true, &[]), [""; 0]);
        assert_eq!(judge(NOTICED_AFTER / 2, false, &[]), [""; 0]);
        assert!(judge(NOTICED_AFTER, false, &[])[0].contains("were they parted?"));
        assert!(judge(NOTICED_AFTER, true, &missing)[0].contains(&missing[0]));
        let report =
            PartitionReport { at_s: 5.0, lasted_s: 40.0, noticed: true, found_again_s: None };
        let line = report.line();
        assert_eq!(
            line,
            "  parted after 5 s for 40 s, noticed; not all found again 15 s after its end"
        );
    }
}
