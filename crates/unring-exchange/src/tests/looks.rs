//! Plain, shared or replaced: what a row of looks at an address says.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use unring_peer::{Identity, PeerId, limits};

use crate::config::{TARGET_MEMORY, TARGET_WINDOW};
use crate::looks::Looks;

fn peers(count: usize) -> Vec<PeerId> {
    (0..count).map(|_| Identity::generate().peer_id()).collect()
}

#[test]
fn a_load_balancer_looks_shared_for_years() {
    let mut rng = StdRng::seed_from_u64(1);
    for count in [2, 3, 7] {
        let (peers, mut looks) = (peers(count), Looks::default());
        for look in 0..12 * 24 * 365 {
            looks.add(peers[rng.random_range(0..count)]);
            let shared = looks.targets().len() > 1;
            assert!(shared || look < TARGET_WINDOW, "{count} nodes, look {look}");
        }
    }
}

#[test]
fn a_node_that_was_replaced_is_forgotten_and_one_that_is_not_alone_is_not() {
    let [old, new] = peers(2)[..] else { panic!() };
    for alone in [true, false] {
        let mut looks = Looks::default();
        for _ in 0..TARGET_MEMORY + 3 {
            assert!(!looks.add(old));
        }
        assert!(looks.add(new), "it led elsewhere than ever before");
        for look in 2..=TARGET_WINDOW {
            assert_eq!(looks.targets().len(), 2);
            assert!(!looks.add(if !alone && look == 7 { old } else { new }));
        }
        assert_eq!(looks.targets().len(), if alone { 1 } else { 2 });
        // In the end those who no longer answer are forgotten anyway.
        (0..TARGET_MEMORY).for_each(|_| assert!(!looks.add(new)));
        assert_eq!(looks.targets(), [new].into());
    }
}

#[test]
fn a_record_can_name_all_targets() {
    let (peers, mut looks) = (peers(TARGET_MEMORY), Looks::default());
    for peer in &peers {
        looks.add(*peer);
    }
    let newest = peers.iter().rev().take(limits::MAX_TARGETS).copied().collect();
    assert_eq!(looks.targets(), newest);
}
