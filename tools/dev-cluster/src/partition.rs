//! A partition: when it begins, how long it lasts, and what is asked of the nodes afterwards.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

use crate::cluster::Cluster;
use crate::topology::Topology;
use crate::watch::Watch;

/// The halves must have found each other so soon after the end.
pub const FOUND_WITHIN: Duration = Duration::from_secs(15);

/// A partition that lasts so long must have been noticed: a silent connection is given up after 25 s.
pub const NOTICED_AFTER: Duration = Duration::from_secs(30);

/// How long others believe what a node told them, where the configuration does not say it: its default, which is Spegel's.
const RECORD_VALIDITY: Duration = Duration::from_secs(19 * 60);

/// What is no longer believed is gone so soon: nodes look for it every few seconds.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);

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
    /// Records of other nodes that all nodes held together when it began.
    pub records_before: usize,
    /// The same at its end: those of the other half, if it lasted longer than they are believed, are gone.
    pub records_kept: usize,
    /// Seconds from its end until they held as many as before.
    pub records_again_s: Option<f64>,
    /// Seconds from its end until every node knew and was connected to all that it should be; null if that was not within 15 s.
    pub peers_again_s: Option<f64>,
    /// Seconds from its end until every node had found the key of each other; null if that was not within 15 s.
    pub providers_again_s: Option<f64>,
    /// The later of both; null if one is.
    pub found_again_s: Option<f64>,
}

/// What is judged of a partition, beside what was missing at last.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// How long it lasted.
    pub lasted: Duration,
    /// Whether a node lost the connection to a node of the other half.
    pub noticed: bool,
    /// How long nodes believe what they were told, at most.
    pub validity: Duration,
    /// As in [`PartitionReport::records_before`].
    pub records_before: usize,
    /// As in [`PartitionReport::records_kept`].
    pub records_kept: usize,
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
        let Self { at_s, lasted_s, records_before, records_kept, .. } = self;
        let noticed = if self.noticed { "noticed" } else { "not noticed" };
        let again = |seconds: Option<f64>| match seconds {
            Some(seconds) => format!("{seconds} s"),
            None => format!("more than {} s", FOUND_WITHIN.as_secs()),
        };
        let mut line = format!(
            "  parted after {at_s} s for {lasted_s} s, {noticed}; all peers again {} after its end, all keys in the DHT {}",
            again(self.peers_again_s),
            again(self.providers_again_s)
        );
        if records_kept < records_before {
            line += &format!(
                "; of {records_before} records in the DHT {records_kept} were left, as many as before again {}",
                again(self.records_again_s)
            );
        }
        line
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

/// How long nodes believe what they were told, at most: as their configuration says, else 19 min, as Spegel.
pub fn validity(topology: &Topology) -> Duration {
    let validity = topology.nodes.iter().map(|node| {
        let dht = node.config.get("dht").and_then(|dht| dht.get("record_validity"));
        let text = dht.and_then(toml::Value::as_str);
        text.and_then(|text| humantime::parse_duration(text).ok()).unwrap_or(RECORD_VALIDITY)
    });
    validity.max().unwrap_or(RECORD_VALIDITY)
}

/// Records of other nodes that all nodes hold together.
pub fn records(watch: &Watch) -> usize {
    watch.nodes().iter().filter_map(|node| Some(node.status().dht.as_ref()?.records)).sum()
}

/// The laws of a partition that did not hold: one that lasts is noticed, what nodes were told is forgotten in time and told again,
/// and no peer of `missing` is missing some seconds after its end.
pub fn judge(seen: &Seen, missing: &[String], records_again_s: Option<f64>) -> Vec<String> {
    let Seen { lasted, noticed, validity, records_before, records_kept } = *seen;
    let (within, lasted_s) = (FOUND_WITHIN.as_secs(), lasted.as_secs());
    let mut failures = Vec::new();
    if !noticed && lasted >= NOTICED_AFTER {
        failures.push(format!(
            "no node lost a connection in a partition of {lasted_s} s, expected that within {} s: were they parted?",
            NOTICED_AFTER.as_secs()
        ));
    }
    if lasted >= validity + FORGOTTEN_AFTER && records_kept >= records_before {
        failures.push(format!(
            "the nodes still hold {records_kept} records of {records_before} after a partition of {lasted_s} s, expected \
             those of the other half to be forgotten after {} s: were they parted?",
            validity.as_secs()
        ));
    }
    // Where nobody had noticed, a connection may be given up only now, and nobody comes back who is to be told again.
    if !noticed && lasted < NOTICED_AFTER {
        return failures;
    }
    if records_again_s.is_none() {
        failures.push(format!(
            "{within} s after the partition ended the nodes do not hold as many records as before ({records_before}), \
             expected those of the other half to be told again; see dht in statusz.json of all nodes"
        ));
    }
    if !missing.is_empty() {
        failures.push(format!(
            "{within} s after the partition ended {}, expected all to have found each other; see peers and \
             libp2p in statusz.json of these nodes, and their logs",
            missing.join(", ")
        ));
    }
    failures
}

/// Whether a node has lost its connection to one of the other half; the first half has so many.
pub fn is_noticed(cluster: &Cluster, watch: &Watch, left: usize) -> bool {
    let ids = cluster.peer_ids();
    watch.nodes().iter().enumerate().filter(|(_, node)| node.error.is_none()).any(|(own, node)| {
        let live = &node.status().libp2p.connected_peers;
        let others = ids.iter().enumerate().filter(|(other, _)| (*other < left) != (own < left));
        others.into_iter().any(|(_, other)| !live.contains(other))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        NOTICED_AFTER, Partition, PartitionReport, RECORD_VALIDITY, Seen, judge, validity,
    };
    use crate::topology::Topology;

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
        let seen = Seen {
            lasted: NOTICED_AFTER,
            noticed: true,
            validity: RECORD_VALIDITY,
            records_before: 12,
            records_kept: 12,
        };
        let short = Seen { lasted: NOTICED_AFTER / 2, noticed: false, ..seen };
        let again = Some(1.0);
        let check = |seen: &Seen, missing: &[String], again, expected: Option<&str>| {
            let failures = judge(seen, missing, again);
            match expected {
                None => assert_eq!(failures, [""; 0]),
                Some(text) => assert!(failures[0].contains(text), "{failures:?}"),
            }
        };
        check(&seen, &[], again, None);
        check(&short, &missing, None, None);
        check(&Seen { noticed: false, ..seen }, &[], again, Some("were they parted?"));
        check(&seen, &missing, again, Some(&missing[0]));
        check(&seen, &[], None, Some("do not hold as many records as before (12)"));
        let forgetful = Seen { validity: Duration::from_secs(19), ..seen };
        check(&forgetful, &[], again, Some("still hold 12 records of 12"));
        check(&Seen { records_kept: 4, ..forgetful }, &[], again, None);
    }

    #[test]
    fn a_line_says_what_was_found_again_and_what_was_told_again() {
        let report = PartitionReport {
            at_s: 5.0,
            lasted_s: 40.0,
            noticed: true,
            records_before: 6,
            records_kept: 6,
            records_again_s: Some(0.1),
            peers_again_s: Some(7.5),
            providers_again_s: None,
            found_again_s: None,
        };
        let line = "  parted after 5 s for 40 s, noticed; all peers again 7.5 s after its end, all keys in the DHT more than 15 s";
        assert_eq!(report.line(), line);
        let forgotten = PartitionReport { records_kept: 2, ..report };
        let end = "; of 6 records in the DHT 2 were left, as many as before again 0.1 s";
        assert_eq!(forgotten.line(), line.to_owned() + end);
    }

    #[test]
    fn records_are_believed_as_long_as_the_most_patient_node_does() {
        let text =
            "[[node]]\nname = 'a'\nconfig.dht.record_validity = '19s'\n[[node]]\nname = 'b'\n";
        let patient = Topology::from_toml("f", text).unwrap();
        assert_eq!(validity(&patient), RECORD_VALIDITY);
        let forgetful = format!("{text}config.dht.record_validity = '20s'");
        let forgetful = Topology::from_toml("f", &forgetful).unwrap();
        assert_eq!(validity(&forgetful), Duration::from_secs(20));
        let text = include_str!("../topologies/forgetful.toml");
        let of_the_documents = Topology::from_toml("f", text).unwrap();
        assert_eq!(validity(&of_the_documents), Duration::from_secs(19));
        assert_eq!(of_the_documents.graph().rings()[0].members.len(), 6);
    }
}
