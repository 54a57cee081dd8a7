//! The rings: found by all their nodes, by nobody else's invention, named truly and warned of once.

use std::collections::{BTreeMap, BTreeSet};

use super::{NodeObserved, Observed, WARNED_AFTER};
use crate::brute::{Graph, Ring, WitnessError};
use crate::report::{CutReport, InOrder, RingReport};
use crate::statusz;

/// What was found.
pub(super) struct Found {
    /// How many rings brute force finds.
    pub(super) expected: usize,
    /// The rings that nodes reported.
    pub(super) rings: Vec<RingReport>,
}

/// A ring in a node's status.
struct Reported<'a> {
    by: usize,
    /// Its nodes; `None` when one of them is none of ours.
    members: Option<BTreeSet<usize>>,
    ring: &'a statusz::Ring,
}

pub(super) fn judge(observed: &Observed, failures: &mut Vec<String>) -> Found {
    let graph = observed.topology.graph();
    let expected = graph.rings();
    let reported = reported(observed);
    for ring in &expected {
        members_report(observed, ring, &reported, failures);
        one_id(observed, ring, &reported, failures);
        warned_once(observed, ring, &reported, failures);
    }
    for report in &reported {
        match expected.iter().find(|ring| report.is(ring)) {
            Some(ring) => {
                true_witness(observed, &graph, ring, report, failures);
                true_cut(observed, &graph, ring, report, failures);
            }
            // A join whose end is not known here may close it.
            None if observed.topology.has_literal_upstreams() => {}
            None => failures.push(format!(
                "{} reports a ring of {}, which the joins do not form; see rings in {}",
                observed.name(report.by),
                written(report),
                status_file(observed, report.by)
            )),
        }
    }
    invented_warnings(observed, &reported, failures);
    Found { expected: expected.len(), rings: reports(observed, &expected, &reported) }
}

impl Reported<'_> {
    fn is(&self, ring: &Ring) -> bool {
        self.members.as_ref().is_some_and(|members| members.iter().eq(&ring.members))
    }
}

fn reported(observed: &Observed) -> Vec<Reported<'_>> {
    let all = observed.statuses().flat_map(|(by, _, status)| {
        // A ring of shared addresses alone is information, not a fault, and none of the joins here is shared.
        let plain = status.rings.iter().filter(|ring| ring.kind != "shared");
        plain.map(move |ring| {
            let members =
                ring.members.iter().map(|member| observed.index_of(&member.peer_id)).collect();
            Reported { by, members, ring }
        })
    });
    all.collect()
}

fn members_report(
    observed: &Observed,
    ring: &Ring,
    reported: &[Reported<'_>],
    failures: &mut Vec<String>,
) {
    for (index, ..) in observed.statuses().filter(|(index, ..)| ring.members.contains(index)) {
        let own: Vec<&Reported<'_>> = reported.iter().filter(|report| report.by == index).collect();
        if !own.iter().any(|report| report.is(ring)) {
            let seen: Vec<String> =
                own.iter().map(|report| format!("[{}]", written(report))).collect();
            failures.push(format!(
                "{} does not report the ring of {} that it is on, seen {}; see rings in {}",
                observed.name(index),
                observed.names(ring.members.iter().copied()),
                if seen.is_empty() { "no ring".to_owned() } else { seen.join(" ") },
                status_file(observed, index)
            ));
        }
    }
}

fn one_id(observed: &Observed, ring: &Ring, reported: &[Reported<'_>], failures: &mut Vec<String>) {
    let same = reported.iter().filter(|report| report.is(ring));
    let mut ids: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for report in same {
        ids.entry(&report.ring.id).or_default().push(report.by);
    }
    if ids.len() > 1 {
        let ids: Vec<String> =
            ids.into_iter().map(|(id, by)| format!("{id:?} by {}", observed.names(by))).collect();
        failures.push(format!(
            "the ring of {} has {} ids, expected one: {}; see rings in their statusz.json",
            observed.names(ring.members.iter().copied()),
            ids.len(),
            ids.join(", ")
        ));
    }
}

fn true_witness(
    observed: &Observed,
    graph: &Graph,
    ring: &Ring,
    report: &Reported<'_>,
    failures: &mut Vec<String>,
) {
    let members = &report.ring.witness;
    // A node that is none of ours cannot be in the ring either.
    let known = |member: &statusz::Member| observed.index_of(&member.peer_id).unwrap_or(usize::MAX);
    let witness: Vec<usize> = members.iter().map(known).collect();
    let Err(error) = graph.check_witness(ring, &witness) else { return };
    let name = |index: usize| match observed.name(index) {
        "" => "a stranger",
        name => name,
    };
    let wrong = match error {
        WitnessError::Empty => "it is empty".to_owned(),
        WitnessError::Outside { node } => format!("{} is not in the ring", name(node)),
        WitnessError::Repeated { node } => format!("{} is named twice", name(node)),
        WitnessError::NoJoin { from, to } => format!("{} does not join {}", name(from), name(to)),
        WitnessError::NotShortest { seen, shortest } => {
            format!("it has {seen} joins, the shortest circuit has {shortest}")
        }
    };
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    failures.push(format!(
        "{} names the witness [{}] of the ring of {}, expected a shortest circuit, but {wrong}; see rings in {}",
        observed.name(report.by),
        names.join(" -> "),
        observed.names(ring.members.iter().copied()),
        status_file(observed, report.by)
    ));
}

fn true_cut(
    observed: &Observed,
    graph: &Graph,
    ring: &Ring,
    report: &Reported<'_>,
    failures: &mut Vec<String>,
) {
    let cut = report.ring.cuts.first();
    let ends = cut.and_then(|cut| {
        Some((observed.index_of(&cut.from.peer_id)?, observed.index_of(&cut.to.peer_id)?))
    });
    if ends.is_some_and(|(from, to)| graph.is_join_of(ring, from, to)) {
        return;
    }
    let seen = cut.map_or("none".to_owned(), |cut| format!("{} -> {}", cut.from.name, cut.to.name));
    failures.push(format!(
        "{} names the cut {seen} of the ring of {}, expected one of the ring's joins; see rings in {}",
        observed.name(report.by),
        observed.names(ring.members.iter().copied()),
        status_file(observed, report.by)
    ));
}

fn warned_once(
    observed: &Observed,
    ring: &Ring,
    reported: &[Reported<'_>],
    failures: &mut Vec<String>,
) {
    let ids = ids(ring, reported);
    for (index, node) in observed.nodes.iter().enumerate() {
        let seen = warnings(node, &ids);
        let member = ring.members.contains(&index);
        // A node that ended by itself is named for that; what it had no time to say is no second fault.
        let must = member && observed.ran >= WARNED_AFTER && node.ended_early.is_none();
        let expected = match (member, must) {
            (true, true) if seen != 1 => "exactly one",
            (true, false) if seen > 1 => "at most one",
            (false, _) if seen > 0 => "none, as it is not on it",
            _ => continue,
        };
        failures.push(format!(
            "{} logged {seen} warnings of the ring of {}, expected {expected}; see fields.event ring_* in {}",
            observed.name(index),
            observed.names(ring.members.iter().copied()),
            node.log_file.display()
        ));
    }
}

fn invented_warnings(observed: &Observed, reported: &[Reported<'_>], failures: &mut Vec<String>) {
    for (index, node) in observed.nodes.iter().enumerate() {
        let known = |id: &str| reported.iter().any(|report| report.ring.id == id);
        for warning in node.log.ring_warnings.iter().filter(|warning| !known(&warning.ring)) {
            failures.push(format!(
                "{} warned of a ring ({}, id {:?}) that no node reports at the end; see fields.event {} in {}",
                observed.name(index),
                warning.witness,
                warning.ring,
                warning.event,
                node.log_file.display()
            ));
        }
    }
}

fn reports(observed: &Observed, expected: &[Ring], reported: &[Reported<'_>]) -> Vec<RingReport> {
    // In the order of brute force, what it does not find last.
    let place = |report: &Reported<'_>| {
        expected.iter().position(|ring| report.is(ring)).unwrap_or(usize::MAX)
    };
    let mut first: Vec<&Reported<'_>> = Vec::new();
    for report in reported {
        if !first.iter().any(|known| known.members == report.members) {
            first.push(report);
        }
    }
    first.sort_by_key(|report| place(report));
    let report = |first: &&Reported<'_>| {
        let same = reported.iter().filter(|report| report.members == first.members);
        let ids: BTreeSet<&str> = same.map(|report| report.ring.id.as_str()).collect();
        let counts =
            observed.nodes.iter().enumerate().map(|(index, node)| (index, warnings(node, &ids)));
        let on_it =
            |index: usize| first.members.as_ref().is_some_and(|members| members.contains(&index));
        let shown = counts.filter(|&(index, count)| count > 0 || on_it(index));
        let cut = first.ring.cuts.first();
        RingReport {
            nodes: match &first.members {
                Some(members) => {
                    members.iter().map(|&member| observed.name(member).to_owned()).collect()
                }
                None => names(&first.ring.members),
            },
            witness: names(&first.ring.witness),
            cut: cut.map(|cut| CutReport { from: cut.from.name.clone(), to: cut.to.name.clone() }),
            warnings_per_node: InOrder(
                shown.map(|(index, count)| (observed.name(index).to_owned(), count)).collect(),
            ),
        }
    };
    first.iter().map(report).collect()
}

fn ids<'a>(ring: &Ring, reported: &'a [Reported<'_>]) -> BTreeSet<&'a str> {
    reported.iter().filter(|report| report.is(ring)).map(|report| report.ring.id.as_str()).collect()
}

fn warnings(node: &NodeObserved, ids: &BTreeSet<&str>) -> usize {
    node.log.ring_warnings.iter().filter(|warning| ids.contains(warning.ring.as_str())).count()
}

fn names(members: &[statusz::Member]) -> Vec<String> {
    members.iter().map(|member| member.name.clone()).collect()
}

fn written(report: &Reported<'_>) -> String {
    names(&report.ring.members).join(", ")
}

fn status_file(observed: &Observed, node: usize) -> String {
    observed.nodes.get(node).map(|node| node.status_file.display().to_string()).unwrap_or_default()
}
