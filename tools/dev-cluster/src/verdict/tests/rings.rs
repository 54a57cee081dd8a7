use std::time::Duration;

use super::super::{Observed, judge};
use super::{check, member, perfect, ring, status};
use crate::logs::RingWarning;
use crate::statusz::Member;
use crate::topology::{Shape, Topology};

#[test]
fn a_ring_of_one_beside_a_bigger_one_is_a_ring_of_its_own() {
    let text =
        "[[node]]\nname = 'a'\nupstreams = ['b', 'a']\n[[node]]\nname = 'b'\nupstreams = ['a']";
    let topology = Topology::from_toml("f", text).unwrap();
    let judgement = judge(&perfect(topology.clone(), &[&[0, 1], &[0]]));
    assert_eq!(judgement.failures, [] as [&str; 0]);
    assert_eq!(judgement.invariants.rings_expected, 2);
    let judgement = judge(&perfect(topology, &[&[0, 1]]));
    assert_eq!(
        judgement.failures,
        [
            "a does not report the ring of a that it is on, seen [a, b]; see rings in /t/a/statusz.json",
            "a logged 0 warnings of the ring of a, expected exactly one; see fields.event ring_* in /t/a/unring.log"
        ]
    );
}

#[test]
fn a_member_that_does_not_report_its_ring() {
    let judgement = check(
        |observed| status(observed, 1).rings.clear(),
        &[
            "node-2 does not report the ring of node-1, node-2, node-3 that it is on, seen no ring; \
           see rings in /t/node-2/statusz.json",
        ],
    );
    assert_eq!(judgement.invariants.rings_found, 1, "the others do");
}

#[test]
fn a_ring_that_is_not_there() {
    let mut observed = perfect(Shape::Line.build(3, 0), &[]);
    let invented = ring(&observed.topology, &[1, 2]);
    status(&mut observed, 2).rings.push(invented);
    let judgement = judge(&observed);
    assert_eq!(
        judgement.failures,
        [
            "node-3 reports a ring of node-2, node-3, which the joins do not form; see rings in /t/node-3/statusz.json"
        ]
    );
    assert_eq!((judgement.invariants.rings_expected, judgement.invariants.rings_found), (0, 1));
}

#[test]
fn a_ring_behind_a_literal_address_cannot_be_judged() {
    let text = "[[node]]\nname = 'a'\nupstreams = ['https://vip']\n[[node]]\nname = 'b'\nupstreams = ['a']";
    let observed = perfect(Topology::from_toml("f", text).unwrap(), &[&[0, 1]]);
    let judgement = judge(&observed);
    assert_eq!(judgement.failures, [] as [&str; 0]);
    assert_eq!((judgement.invariants.rings_expected, judgement.invariants.rings_found), (0, 1));
}

#[test]
fn a_ring_of_shared_addresses_alone_is_no_ring() {
    let mut observed = perfect(Shape::Line.build(2, 0), &[]);
    let mut shared = ring(&observed.topology, &[0, 1]);
    shared.kind = "shared".into();
    status(&mut observed, 0).rings.push(shared);
    assert_eq!(judge(&observed).failures, [] as [&str; 0]);
}

#[test]
fn a_ring_with_two_ids() {
    check(
        |observed| {
            status(observed, 2).rings[0].id = "other".into();
            observed.nodes[2].log.ring_warnings[0].ring = "other".into();
        },
        &[
            r#"the ring of node-1, node-2, node-3 has 2 ids, expected one: "node-1+node-2+node-3" by node-1, node-2, "other" by node-3; see rings in their statusz.json"#,
        ],
    );
}

#[test]
fn a_witness_that_is_not_a_shortest_circuit() {
    let table: [(&[usize], &str, &str); 4] = [
        (&[], "", "it is empty"),
        (&[0, 2, 1], "node-1 -> node-3 -> node-2", "node-1 does not join node-3"),
        (&[0, 1, 0], "node-1 -> node-2 -> node-1", "node-1 is named twice"),
        (&[0, 1], "node-1 -> node-2", "node-2 does not join node-1"),
    ];
    for (witness, named, wrong) in table {
        let sentence = format!(
            "node-1 names the witness [{named}] of the ring of node-1, node-2, node-3, expected a shortest circuit, \
             but {wrong}; see rings in /t/node-1/statusz.json"
        );
        let change = |observed: &mut Observed| {
            let members = witness.iter().map(|&node| member(&observed.topology, node)).collect();
            status(observed, 0).rings[0].witness = members;
        };
        check(change, &[&sentence]);
    }
}

#[test]
fn a_witness_with_a_stranger() {
    check(
        |observed| {
            let stranger = Member { peer_id: "peer-9".into(), name: "who".into() };
            status(observed, 0).rings[0].witness[1] = stranger;
        },
        &[
            "node-1 names the witness [node-1 -> who -> node-3] of the ring of node-1, node-2, node-3, expected a \
           shortest circuit, but a stranger is not in the ring; see rings in /t/node-1/statusz.json",
        ],
    );
}

#[test]
fn a_witness_that_is_too_long() {
    let mut observed = perfect(Shape::Mesh.build(3, 0), &[&[0, 1, 2]]);
    for node in [1, 2] {
        status(&mut observed, node).rings[0].witness.pop();
    }
    let failures = judge(&observed).failures;
    assert_eq!(
        failures[0],
        "node-1 names the witness [node-1 -> node-2 -> node-3] of the ring of node-1, node-2, node-3, expected a \
         shortest circuit, but it has 3 joins, the shortest circuit has 2; see rings in /t/node-1/statusz.json"
    );
    assert_eq!(failures.len(), 1, "{failures:?}");
}

#[test]
fn a_cut_that_is_no_join_of_the_ring() {
    let expected = |seen: &str| {
        format!(
            "node-3 names the cut {seen} of the ring of node-1, node-2, node-3, expected one of the ring's joins; \
             see rings in /t/node-3/statusz.json"
        )
    };
    check(|observed| status(observed, 2).rings[0].cuts.clear(), &[&expected("none")]);
    let swap = |observed: &mut Observed| {
        let cut = &mut status(observed, 2).rings[0].cuts[0];
        std::mem::swap(&mut cut.from, &mut cut.to);
    };
    check(swap, &[&expected("node-2 -> node-1")]);
}

#[test]
fn too_many_or_too_few_warnings() {
    let expected = |seen: usize, expected: &str| {
        format!(
            "node-2 logged {seen} warnings of the ring of node-1, node-2, node-3, expected {expected}; \
             see fields.event ring_* in /t/node-2/unring.log"
        )
    };
    let twice = |observed: &mut Observed| {
        let warnings = &mut observed.nodes[1].log.ring_warnings;
        warnings.push(warnings[0].clone());
    };
    check(twice, &[&expected(2, "exactly one")]);
    check(|observed| observed.nodes[1].log.ring_warnings.clear(), &[&expected(0, "exactly one")]);
    let early = Duration::from_millis(11_999);
    let none_yet = |observed: &mut Observed| {
        observed.ran = early;
        observed.nodes[1].log.ring_warnings.clear();
    };
    check(none_yet, &[]);
    let twice_early = |observed: &mut Observed| {
        observed.ran = early;
        twice(observed);
    };
    check(twice_early, &[&expected(2, "at most one")]);
}

#[test]
fn a_warning_by_a_node_outside_the_ring() {
    let mut observed = perfect(Shape::Ring.build(2, 0), &[&[0, 1]]);
    observed.topology.nodes.push(Shape::Line.build(1, 0).nodes[0].clone());
    observed.topology.nodes[2].name = "node-3".into();
    let mut outsider = observed.nodes[0].clone();
    outsider.peer_id = "peer-3".into();
    outsider.log_file = "/t/node-3/unring.log".into();
    observed.nodes.push(outsider);
    let judgement = judge(&observed);
    assert_eq!(
        judgement.failures,
        [
            "node-3 logged 1 warnings of the ring of node-1, node-2, expected none, as it is not on it; \
          see fields.event ring_* in /t/node-3/unring.log"
        ]
    );
    assert_eq!(judgement.rings[0].warnings_per_node.0.len(), 3, "the report shows it");
}

#[test]
fn a_warning_of_a_ring_that_no_node_reports() {
    check(
        |observed| {
            let warning = RingWarning {
                ring: "ab".into(),
                event: "ring_changed".into(),
                witness: "x -> x".into(),
            };
            observed.nodes[0].log.ring_warnings.push(warning);
        },
        &[
            r#"node-1 warned of a ring (x -> x, id "ab") that no node reports at the end; see fields.event ring_changed in /t/node-1/unring.log"#,
        ],
    );
}
