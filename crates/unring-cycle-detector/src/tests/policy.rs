//! What is said, when and how loud, on a fake clock.

use super::Scene;

const RING: &str = "1>2 2>3 3>1";

#[test]
fn a_ring_is_warned_of_once_then_reminded_of_hourly_and_said_to_be_gone() {
    let mut scene = Scene::new().seen(3);
    scene.joins(RING);
    assert_eq!(
        scene.run(8000),
        ["2: WARN found [1 2 3]", "3602: WARN reminder [1 2 3]", "7202: WARN reminder [1 2 3]"]
    );
    scene.joins("3>");
    assert_eq!(scene.run(8000), ["8002: INFO gone [1 2 3]"]);
}

#[test]
fn a_restart_repeats_nothing_and_keeps_the_reminder() {
    let mut scene = Scene::new().seen(3);
    scene.joins(RING);
    assert_eq!(scene.run(60), ["2: WARN found [1 2 3]"]);
    let mut scene = scene.restart(40).seen(3);
    scene.joins(RING);
    assert_eq!(scene.run(4000), ["3502: WARN reminder [1 2 3]"]);
}
