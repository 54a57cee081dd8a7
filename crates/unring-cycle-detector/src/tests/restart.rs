//! What is said after a restart, with what the process wrote down before.

use super::Scene;
use crate::{RememberedRing, RingKind, RingMemory};

const RING: &str = "1>2 2>3 3>1";

fn warned() -> Scene {
    let mut scene = Scene::new().seen(3);
    scene.joins(RING);
    assert_eq!(scene.run(10), ["2: WARN found [1 2 3]"]);
    scene
}

#[test]
fn a_cut_made_during_the_restart_is_told_once() {
    let mut scene = warned().restart(5);
    scene.joins("1>");
    assert_eq!(scene.run(4000), ["2: INFO gone [1 2 3]"]);
    let mut scene = scene.restart(5);
    scene.joins("1>");
    assert_eq!(scene.run(4000), [""; 0]);
}

#[test]
fn a_cut_made_elsewhere_is_told_when_the_record_arrives() {
    let mut scene = warned().restart(5);
    scene.joins("1>2");
    assert_eq!(scene.run(500), [""; 0], "nothing is known of 2 and 3");
    scene.joins("3>1");
    assert_eq!(scene.run(500), [""; 0]);
    scene.joins("2>");
    assert_eq!(scene.run(4000), ["1002: INFO gone [1 2 3]"]);
}

#[test]
fn nothing_is_gone_before_the_nodes_own_joins_are_set() {
    let mut scene = warned().restart(5);
    scene.joins("2>");
    assert_eq!(scene.run(500), [""; 0]);
    scene.joins("1>2");
    assert_eq!(scene.run(500), ["502: INFO gone [1 2 3]"]);
}

#[test]
fn nothing_is_gone_for_lack_of_remembered_joins() {
    let ring = RememberedRing {
        kind: RingKind::Plain,
        members: vec![1, 2, 3],
        witness: vec![1, 2, 3],
        spoken_unix_ms: 1_000_000_000,
        open: true,
    };
    let mut scene = Scene::new();
    let memory = RingMemory { rings: vec![ring], nodes: Vec::new() };
    scene.detector.restore(scene.now, scene.unix_ms, memory);
    scene.joins("1>2");
    scene.joins("3>1");
    assert_eq!(scene.run(5000), [""; 0], "2 may still be joined to 3");
    scene.joins("2>");
    assert_eq!(scene.run(10), ["5002: INFO gone [1 2 3]"]);
}

#[test]
fn a_ring_that_shrank_meanwhile_changed() {
    let mut scene = warned().restart(1000).seen(2);
    scene.joins("1>2 2>1 3>");
    assert_eq!(scene.run(10), ["2: WARN changed from [1, 2, 3] [1 2]"]);
}

#[test]
fn the_interval_holds_across_a_restart() {
    let mut scene = warned().restart(90).seen(2);
    scene.joins("1>2 2>1 3>");
    // 98 s after the warning.
    let said = ["2: quiet changed from [1, 2, 3] [1 2]", "502: WARN changed from [1, 2, 3] [1 2]"];
    assert_eq!(scene.run(1000), said);
}

#[test]
fn a_ring_that_flaps_over_restarts_is_warned_of_once_in_ten_minutes() {
    let mut scene = warned();
    scene.joins("1>");
    scene.run(10);
    let mut scene = scene.restart(5).seen(3);
    scene.joins(RING);
    assert_eq!(scene.run(1000), ["2: quiet found [1 2 3]", "577: WARN found [1 2 3]"]);
}

#[test]
fn a_clock_that_was_set_back_silences_no_longer_than_an_interval() {
    let mut scene = warned();
    scene.unix_ms -= 900_000_000;
    let mut scene = Scene::restart(scene, 0).seen(3);
    scene.joins(RING);
    assert_eq!(scene.run(4000), ["3600: WARN reminder [1 2 3]"]);
}

#[test]
fn a_day_without_a_record_counts_from_before_the_restart() {
    let mut scene = warned();
    scene.detector.mark_unverified(scene.now, &2);
    scene.run(3600);
    // Twice, once without a poll in between.
    let mut scene = scene.restart(20 * 3600).restart(2 * 3600);
    scene.joins("1>2 3>1");
    scene.run(3590);
    assert_eq!(scene.detector.name(&2), Some("n2"));
    scene.run(20);
    assert_eq!(scene.detector.name(&2), None);
}

#[test]
fn memory_of_a_ring_that_was_not_spoken_of_is_empty() {
    let mut scene = Scene::new();
    scene.joins(RING);
    scene.run(10);
    assert_eq!(scene.detector.memory(), RingMemory::default());
}
