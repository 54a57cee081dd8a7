//! What happens at each bound.

use std::{collections::BTreeSet, time::Duration};

use super::Scene;
use crate::{Config, Detector, Join, Outcome, SetJoinsError};

const NOW: Duration = Duration::ZERO;

fn join(targets: &[u32]) -> Join<u32> {
    Join {
        address: format!("{targets:?}"),
        targets: targets.iter().copied().collect(),
        since_unix_ms: 0,
    }
}

fn small() -> Detector<u32> {
    let bounds = Config {
        max_nodes: 2,
        max_joins_per_node: 2,
        max_targets_per_join: 3,
        max_edges: 5,
        max_text_bytes: 12,
        max_callers: 2,
        ..Config::new(1)
    };
    Detector::new(bounds)
}

#[test]
fn what_is_too_much_is_refused_and_what_was_known_stays() {
    let mut detector = small();
    detector.caller_seen(NOW, &2);
    detector.caller_seen(NOW, &3);
    let mut set = |node, name: &str, joins: Vec<Join<u32>>| {
        detector.set_joins(NOW, node, name.to_owned(), joins)
    };
    assert_eq!(set(2, "b", vec![join(&[1, 3]), join(&[4])]), Ok(Outcome::Changed));
    assert_eq!(set(3, "c", vec![join(&[1, 2])]), Ok(Outcome::Changed));
    assert_eq!(set(4, "d", vec![]), Err(SetJoinsError::TooManyNodes { max: 2 }));
    assert_eq!(
        set(2, "b", vec![join(&[]), join(&[1]), join(&[4])]),
        Err(SetJoinsError::TooManyJoins { got: 3, max: 2 })
    );
    assert_eq!(
        set(2, "b", vec![join(&[1, 2, 3, 4])]),
        Err(SetJoinsError::TooManyTargets { got: 4, max: 3 })
    );
    assert_eq!(
        set(3, "c", vec![join(&[1, 2]), join(&[4])]),
        Err(SetJoinsError::TooManyEdges { max: 5 })
    );
    assert_eq!(
        set(2, "b2345678901234", vec![]),
        Err(SetJoinsError::TextTooLong { got: 14, max: 12 })
    );
    assert_eq!(
        set(1, "a", vec![join(&[2, 3]), join(&[4])]),
        Ok(Outcome::Changed),
        "the local node always fits"
    );
    let topology = detector.topology();
    assert_eq!(
        topology.nodes.iter().map(|node| (node.id, node.joins.len())).collect::<Vec<_>>(),
        [(1, 2), (2, 2), (3, 1)]
    );
}

#[test]
fn room_comes_back_with_forgetting() {
    let mut detector = small();
    for node in [2, 3] {
        detector.set_joins(NOW, node, String::new(), vec![join(&[1, 4])]).unwrap();
    }
    detector.forget(NOW, &2);
    detector.forget(NOW, &7);
    detector.caller_seen(NOW, &4);
    assert_eq!(
        detector.set_joins(NOW, 4, String::new(), vec![join(&[1, 2, 3])]),
        Ok(Outcome::Changed)
    );
}

#[test]
fn the_same_joins_again_are_nothing_new() {
    let mut detector = small();
    detector.set_joins(NOW, 1, "a".into(), vec![join(&[2])]).unwrap();
    assert_eq!(detector.set_joins(NOW, 1, "a2".into(), vec![join(&[2])]), Ok(Outcome::Unchanged));
    assert_eq!(detector.name(&1), Some("a2"));
    detector.mark_unverified(NOW, &1);
    assert_eq!(detector.set_joins(NOW, 1, "a".into(), vec![join(&[2])]), Ok(Outcome::Changed));
}

#[test]
fn of_the_same_join_twice_the_older_is_kept() {
    let mut detector = small();
    let newer = Join { since_unix_ms: 5, ..join(&[2]) };
    detector.set_joins(NOW, 1, String::new(), vec![newer, join(&[2])]).unwrap();
    assert_eq!(detector.topology().nodes[0].joins, [join(&[2])]);
}

#[test]
fn the_caller_not_seen_for_longest_gives_way() {
    let is_announced = |callers: &[u32]| {
        let mut detector = small();
        for node in [1, 2] {
            detector.set_joins(NOW, node, String::new(), vec![join(&[3 - node])]).unwrap();
        }
        for caller in callers {
            detector.caller_seen(NOW, caller);
        }
        detector.poll(NOW, 0);
        !detector.poll(Duration::from_secs(2), 0).is_empty()
    };
    assert!(is_announced(&[2, 5]));
    assert!(is_announced(&[2, 5, 2, 6]));
    assert!(!is_announced(&[2, 5, 6]));
}

#[test]
fn records_that_arrive_together_are_analysed_together() {
    let mut detector = Detector::new(Config::new(1));
    detector.set_joins(NOW, 1, String::new(), vec![join(&[1])]).unwrap();
    detector.poll(NOW, 0);
    detector.set_joins(NOW, 1, String::new(), vec![]).unwrap();
    assert_eq!(detector.next_wake(), Some(Duration::from_millis(100)));
    detector.poll(Duration::from_millis(99), 0);
    assert_eq!(detector.rings().len(), 1);
    detector.poll(Duration::from_millis(100), 0);
    assert_eq!(detector.rings(), []);
    assert_eq!(detector.next_wake(), None);
}

#[test]
fn an_analysis_can_be_forced_and_says_nothing_by_itself() {
    let mut scene = Scene::new().seen(3);
    scene.detector.poll(scene.now, scene.unix_ms);
    scene.joins("1>2 2>3 3>1");
    scene.detector.poll(scene.now, scene.unix_ms);
    scene.joins("3>2");
    scene.detector.poll(scene.now, scene.unix_ms);
    assert_eq!(scene.detector.rings()[0].members, [1, 2, 3], "of the last analysis");
    scene.detector.analyse_now(scene.now);
    assert_eq!(scene.detector.rings()[0].members, [2, 3]);
    scene.joins("3>1");
    scene.detector.analyse_now(scene.now);
    assert_eq!(scene.run(10), ["2: WARN found [1 2 3]"]);
}

#[test]
fn a_restored_memory_keeps_the_bounds() {
    let mut detector = Detector::new(Config { max_joins_per_node: 100, ..Config::new(1) });
    for node in 1..=5 {
        detector.set_joins(NOW, node, String::new(), vec![join(&[node % 5 + 1])]).unwrap();
    }
    detector.caller_seen(NOW, &5);
    detector.poll(NOW, 0);
    assert_eq!(detector.poll(Duration::from_secs(2), 0).len(), 1);
    let mut other = small();
    other.restore(NOW, 0, detector.memory());
    let known: BTreeSet<u32> = other.topology().nodes.iter().map(|node| node.id).collect();
    assert_eq!(known, BTreeSet::from([1, 2]));
}

/// Sets a circle of `nodes` in which each has `extra` further joins.
fn tangle(detector: &mut Detector<u32>, nodes: u32, extra: u32) {
    for node in 0..nodes {
        let far = (0..extra).map(|at| join(&[(node * 7 + at * 331 + 5) % nodes]));
        let joins = far.chain([join(&[(node + 1) % nodes])]).collect();
        detector.set_joins(NOW, node, String::new(), joins).unwrap();
    }
}

#[test]
fn after_much_work_the_next_analysis_waits_longer_and_cannot_be_forced() {
    let mut detector = Detector::new(Config::new(1));
    tangle(&mut detector, 1000, 2);
    detector.analyse_now(NOW);
    assert_eq!(detector.rings().iter().filter(|ring| ring.members.len() == 1000).count(), 1);
    detector.set_joins(NOW, 3, String::new(), vec![]).unwrap();
    let next = detector.next_wake().unwrap();
    // 4000 nodes and edges count as 200 steps each, and the search has not more than twice its bound.
    assert!(next > Duration::from_nanos(80 * 200 * 3990), "{next:?}");
    assert!(next < Duration::from_nanos(80 * (200 * 4000 + 2 * 410_000)), "{next:?}");
    let before = next - Duration::from_millis(1);
    detector.analyse_now(before);
    detector.poll(before, 0);
    assert!(detector.rings().iter().any(|ring| ring.members.len() == 1000), "as before");
    detector.analyse_now(next);
    assert!(detector.rings().iter().all(|ring| ring.members.len() < 1000));
}

#[test]
fn rings_of_others_share_one_bound() {
    let mut detector = Detector::new(Config { max_edges: 100_000, ..Config::new(5000) });
    for node in 0..3000 {
        let mesh = node / 12 * 12;
        let joins = (mesh..mesh + 12).filter(|to| *to != node).map(|to| join(&[to])).collect();
        detector.set_joins(NOW, node, String::new(), joins).unwrap();
    }
    detector.poll(NOW, 0);
    assert_eq!(detector.rings().len(), 250);
    for ring in detector.rings() {
        assert_eq!((ring.witness.len(), ring.cuts.len()), (2, 66), "half of the joins of a mesh");
    }
    detector.forget(NOW, &0);
    let next = detector.next_wake().unwrap();
    let read = Duration::from_nanos(80 * 200 * 36_000);
    assert!(next > read && next < read + Duration::from_millis(100), "{next:?}");
}

#[test]
fn the_targets_of_one_node_are_bounded_but_the_local_ones() {
    let mut detector = Detector::new(Config::new(1));
    let joins = |last| {
        let shared = |first: u32| join(&(first..first + 30).collect::<Vec<_>>());
        vec![shared(0), shared(100), join(&(200..last).collect::<Vec<_>>())]
    };
    let mut set = |node, last| detector.set_joins(NOW, node, String::new(), joins(last));
    assert_eq!(set(2, 204), Ok(Outcome::Changed));
    assert_eq!(set(3, 205), Err(SetJoinsError::TooManyTargetsOfNode { got: 65, max: 64 }));
    assert_eq!(set(1, 205), Ok(Outcome::Changed));
}

#[test]
fn what_is_known_of_a_node_whose_newer_record_is_refused_is_unverified() {
    let mut detector = small();
    for node in [1, 2] {
        detector.set_joins(NOW, node, String::new(), vec![join(&[3 - node])]).unwrap();
    }
    detector.poll(NOW, 0);
    assert!(!detector.rings()[0].unverified);
    let many = vec![join(&[1, 3]), join(&[4, 5])];
    let taken = detector.set_joins(NOW, 2, String::new(), many.clone());
    assert_eq!(taken, Ok(Outcome::Changed), "2 is a target of 1");
    detector.set_joins(NOW, 1, String::new(), vec![]).unwrap();
    let refused = detector.set_joins(NOW, 2, String::new(), vec![join(&[1, 3, 4]), join(&[5, 6])]);
    assert_eq!(refused, Err(SetJoinsError::TooManyEdges { max: 4 }));
    let node = &detector.topology().nodes[1];
    assert_eq!((&node.joins, node.unverified), (&many, true));
    let later = Duration::from_secs(24 * 3600);
    assert_eq!(detector.next_wake(), Some(Duration::from_millis(100)));
    detector.poll(later, 0);
    assert_eq!(detector.name(&2), None, "forgotten as any that is unverified");
}

#[test]
fn hearsay_cannot_crowd_out_those_that_called_or_are_joined() {
    let mut detector = Detector::new(Config { max_edges: 1024, ..Config::new(1) });
    let set = |detector: &mut Detector<u32>, node, targets: u32| {
        let joins = (0..targets.div_ceil(8))
            .map(|at| {
                join(&(at * 8..targets.min(at * 8 + 8)).map(|to| to + 10).collect::<Vec<_>>())
            })
            .collect();
        detector.set_joins(NOW, node, String::new(), joins)
    };
    let full = |max| Err(SetJoinsError::TooManyEdges { max });
    // Records of one introducer, as big as allowed.
    for node in 1000..1008 {
        assert_eq!(set(&mut detector, node, 64), Ok(Outcome::Changed));
    }
    assert_eq!(set(&mut detector, 1008, 64), full(512));
    assert_eq!(set(&mut detector, 1008, 9), full(512));
    for node in 2000..2032 {
        assert_eq!(set(&mut detector, node, 8), Ok(Outcome::Changed), "few targets still fit");
    }
    assert_eq!(set(&mut detector, 2032, 1), full(768));
    assert_eq!(set(&mut detector, 1000, 10), Ok(Outcome::Changed), "less than before");
    assert_eq!(set(&mut detector, 1000, 64), full(512));
    assert_eq!(set(&mut detector, 3, 64), full(512));
    detector.caller_seen(NOW, &3);
    assert_eq!(set(&mut detector, 3, 64), Ok(Outcome::Changed));
    detector.set_joins(NOW, 1, String::new(), vec![join(&[4])]).unwrap();
    assert_eq!(set(&mut detector, 4, 64), Ok(Outcome::Changed));
    assert_eq!(set(&mut detector, 5, 64), full(512));
}

#[test]
fn hearsay_leaves_a_quarter_of_the_nodes() {
    let mut detector = Detector::new(Config { max_nodes: 8, ..Config::new(1) });
    let set =
        |detector: &mut Detector<u32>, node| detector.set_joins(NOW, node, String::new(), vec![]);
    for node in 10..16 {
        assert_eq!(set(&mut detector, node), Ok(Outcome::Changed));
    }
    assert_eq!(set(&mut detector, 16), Err(SetJoinsError::TooManyNodes { max: 6 }));
    detector.caller_seen(NOW, &16);
    detector.caller_seen(NOW, &17);
    detector.caller_seen(NOW, &18);
    assert_eq!(set(&mut detector, 16), Ok(Outcome::Changed));
    assert_eq!(set(&mut detector, 17), Ok(Outcome::Changed));
    assert_eq!(set(&mut detector, 18), Err(SetJoinsError::TooManyNodes { max: 8 }));
}
