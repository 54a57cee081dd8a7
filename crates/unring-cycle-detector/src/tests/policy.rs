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

/// Feeds a ring's joins in steps of one second; `-` changes nothing.
fn each_second(scene: &mut Scene, steps: &[&str]) -> Vec<String> {
    let mut said = Vec::new();
    for step in steps {
        if *step != "-" {
            scene.joins(step);
        }
        said.extend(scene.run(1));
    }
    said
}

#[test]
fn a_ring_that_grows_is_announced_when_it_has_been_the_same_for_two_seconds() {
    let mut scene = Scene::new().seen(2);
    let said =
        each_second(&mut scene, &["1>2 2>1", "3>1 1>3 1>2", "4>1 1>4 1>3 1>2", "-", "-", "-"]);
    assert_eq!(said, ["4: WARN found [1 2 3 4]"]);
}

#[test]
fn a_ring_that_keeps_changing_is_announced_after_ten_seconds() {
    let (two, three) = ("1>2 2>1 3>", "1>2 1>3 2>1 3>1");
    let mut scene = Scene::new().seen(2);
    let steps: Vec<&str> = [two, three].into_iter().cycle().take(14).collect();
    let said = each_second(&mut scene, &steps);
    assert_eq!(said, ["10: WARN found [1 2 3]"]);
}

#[test]
fn a_ring_that_comes_and_goes_within_seconds_is_announced_too() {
    let mut scene = Scene::new().seen(2);
    let steps: Vec<&str> = ["1>2 2>1", "2>"].into_iter().cycle().take(14).collect();
    let said = each_second(&mut scene, &steps);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].ends_with("WARN found [1 2]"), "{said:?}");
}

#[test]
fn a_ring_that_is_there_for_a_second_is_not_mentioned() {
    let mut scene = Scene::new().seen(2);
    assert_eq!(each_second(&mut scene, &["1>2 2>1", "2>", "-", "-", "-", "-"]), [""; 0]);
    assert_eq!(scene.run(10_000), [""; 0]);
}

#[test]
fn changed_members_are_warned_of_again_at_most_once_in_ten_minutes() {
    let mut scene = Scene::new().seen(2);
    scene.joins("1>2 2>1");
    assert_eq!(scene.run(100), ["2: WARN found [1 2]"]);
    scene.joins("1>2 1>3 3>1");
    assert_eq!(scene.run(100), ["102: quiet changed from [1, 2] [1 2 3]"]);
    scene.joins("4>1 1>2 1>3 1>4");
    let quiet_then_loud =
        ["202: quiet changed from [1, 2, 3] [1 2 3 4]", "602: WARN changed from [1, 2] [1 2 3 4]"];
    assert_eq!(scene.run(1000), quiet_then_loud);
    scene.joins("4>");
    assert_eq!(scene.run(3000), ["1202: WARN changed from [1, 2, 3, 4] [1 2 3]"]);
}

#[test]
fn a_change_that_is_undone_within_ten_minutes_is_not_warned_of() {
    let mut scene = Scene::new().seen(2);
    scene.joins("1>2 2>1");
    scene.run(100);
    scene.joins("1>2 1>3 3>1");
    scene.run(100);
    scene.joins("3>");
    let said = scene.run(3500);
    assert_eq!(said, ["202: quiet changed from [1, 2, 3] [1 2]", "3602: WARN reminder [1 2]"]);
}

#[test]
fn a_ring_that_flaps_gets_one_line_for_coming_and_one_for_going() {
    let mut scene = Scene::new().seen(2);
    let mut said = Vec::new();
    for _ in 0..5 {
        scene.joins("1>2 2>1");
        said.extend(scene.run(50));
        scene.joins("2>");
        said.extend(scene.run(50));
    }
    let loud: Vec<&String> = said.iter().filter(|line| !line.contains("quiet")).collect();
    assert_eq!(loud, ["2: WARN found [1 2]", "52: INFO gone [1 2]"]);
    assert_eq!(said.len(), 10, "each coming and going is an event: {said:?}");
    scene.joins("2>1");
    assert_eq!(
        scene.run(1000),
        ["502: quiet found [1 2]", "602: WARN found [1 2]"],
        "it stays after all"
    );
}

#[test]
fn nobody_can_sign_others_into_a_ring() {
    // 3 claims a join to 1, but never called.
    let mut scene = Scene::new().seen(2).seen(9);
    scene.joins(RING);
    assert_eq!(scene.run(10_000), [""; 0]);
    assert_eq!(scene.detector.rings().len(), 1, "known, and shown to those who ask");
    let mut scene = scene.seen(3);
    assert_eq!(scene.run(10), ["10000: WARN found [1 2 3]"]);
}

#[test]
fn a_caller_in_another_layer_proves_nothing() {
    // 3 reaches 1 only through a shared address; the plain ring is closed by 2.
    let mut scene = Scene::new().seen(3);
    scene.joins("1>2 1>3 2>1 3>1,2");
    assert_eq!(scene.run(10), ["2: INFO found shared [1 2 3]"]);
    let mut scene = scene.seen(2);
    assert_eq!(scene.run(10), ["10: WARN found [1 2]"]);
}

#[test]
fn rings_of_others_are_known_but_not_spoken_of() {
    let mut scene = Scene::new().seen(2).seen(3);
    scene.joins("1>2 2>3 3>2");
    assert_eq!(scene.run(100), [""; 0]);
    assert_eq!(scene.detector.rings()[0].members, [2, 3]);
}

#[test]
fn a_node_that_leaves_a_ring_says_so_although_the_ring_stays() {
    let mut scene = Scene::new().seen(3);
    scene.joins("1>2 2>3 3>1 3>2");
    assert_eq!(scene.run(10), ["2: WARN found [1 2 3]"]);
    scene.joins("1>");
    assert_eq!(scene.run(10), ["12: INFO gone [1 2 3]"]);
    assert_eq!(scene.detector.rings()[0].members, [2, 3]);
}

#[test]
fn a_join_to_oneself_needs_no_caller() {
    let mut scene = Scene::new();
    scene.joins("1>1");
    assert_eq!(scene.run(10), ["2: WARN found self [1]"]);
    scene.joins("1>2");
    assert_eq!(scene.run(10), ["12: INFO gone self [1]"]);
}

#[test]
fn oneself_behind_a_shared_address_is_no_ring() {
    let mut scene = Scene::new().seen(1);
    scene.joins("1>1,2 2>");
    assert_eq!(scene.run(10), [""; 0]);
}

#[test]
fn shared_rings_are_told_once_without_reminder_or_cut() {
    let mut scene = Scene::new().seen(2);
    scene.joins("1>1,2,3 2>1,2,3 3>1,2,3");
    assert_eq!(scene.run(100_000), ["2: INFO found shared [1 2 3]"]);
    assert!(scene.detector.rings()[0].cuts.is_empty());
    scene.joins("1>");
    assert_eq!(scene.run(10), ["100002: INFO gone shared [1 2 3]"]);
}

#[test]
fn a_shared_ring_that_turns_plain_is_warned_of_and_not_called_gone() {
    let mut scene = Scene::new().seen(2);
    scene.joins("1>1,2 2>1,2");
    assert_eq!(scene.run(10), ["2: INFO found shared [1 2]"]);
    scene.joins("1>2 2>1");
    assert_eq!(scene.run(10), ["12: WARN found [1 2]", "12: quiet gone shared [1 2]"]);
    scene.joins("1>1,2");
    assert_eq!(scene.run(10), ["22: INFO gone [1 2]", "22: quiet found shared [1 2]"]);
}

#[test]
fn an_expired_record_makes_a_ring_unverified_but_not_gone() {
    let mut scene = Scene::new().seen(3);
    scene.joins(RING);
    scene.run(10);
    scene.detector.mark_unverified(scene.now, &2);
    assert_eq!(scene.run(4000), ["3602: WARN reminder [1 2 3] unverified"]);
    scene.joins("2>3");
    assert_eq!(scene.run(3500), ["7202: WARN reminder [1 2 3]"]);
    assert!(!scene.detector.rings()[0].unverified);
}

#[test]
fn a_ring_unverified_for_a_day_is_forgotten_without_a_word() {
    let mut scene = Scene::new().seen(3);
    scene.joins(RING);
    scene.run(10);
    scene.detector.mark_unverified(scene.now, &2);
    let said = scene.run(30 * 3600);
    assert!(said.iter().all(|line| line.ends_with("reminder [1 2 3] unverified")), "{said:?}");
    assert_eq!(said.len(), 24);
    assert_eq!(scene.detector.rings(), []);
    assert_eq!(scene.detector.name(&2), None);
    scene.joins("2>3");
    assert_eq!(scene.run(10), ["108012: WARN found [1 2 3]"], "as new when it is back");
}

#[test]
fn a_forgotten_node_hides_no_ring_that_newer_joins_broke() {
    let mut scene = Scene::new().seen(3);
    scene.joins(RING);
    scene.run(10);
    scene.joins("1>");
    scene.detector.forget(scene.now, &2);
    assert_eq!(scene.run(10), ["12: INFO gone [1 2 3]"]);
}
