//! What a look-up makes of answers, and how many walks keys share.

use super::*;

#[test]
fn a_walk_serves_the_keys_whose_closest_it_has_found() {
    let target = Position::of_key(b"target");
    let network = |count: usize| {
        let contact = |_| Contact { peer: PeerId::random(), addresses: vec![] };
        let mut all: Vec<Contact> = (0..count).map(contact).collect();
        all.sort_by_key(|contact| target.distance(&Position::of_peer(&contact.peer)));
        all
    };
    assert_eq!(shared_depth(&target, &network(39), true), 0);
    assert_eq!(shared_depth(&target, &[], false), 0);
    // Of thousands only some answered: what lies elsewhere is not served.
    let some = &network(500)[..30];
    assert!(shared_depth(&target, some, false) > 0);
    for _ in 0..20 {
        let all = network(500);
        let depth = shared_depth(&target, &all[..40], false);
        if depth == OWN_KEY_ONLY {
            continue;
        }
        let bits = |contact: &Contact| target.common_bits(&Position::of_peer(&contact.peer));
        let inside: Vec<_> = all.iter().filter(|contact| bits(contact) >= depth).collect();
        assert!((SHARED_PEERS..40).contains(&inside.len()));
        // Any key in there has these among its closest, or only these.
        let mut key = target;
        key.0[31] ^= 0xff;
        let mut closest = all.clone();
        closest.sort_by_key(|contact| key.distance(&Position::of_peer(&contact.peer)));
        let most = inside.len().min(REPLICATION);
        assert!(closest[..most].iter().all(|contact| inside.contains(&contact)));
    }
}

/// How many walks 5000 keys take in a network in which each walk finds the closest, over some networks.
#[test]
fn thousands_of_keys_take_a_few_walks_in_a_network_of_any_size() {
    let keys: Vec<Position> = (0_u16..5000).map(|n| Position::of_key(&n.to_be_bytes())).collect();
    for size in [22, 30, 45, 100, 500] {
        for _ in 0..4 {
            let peers: Vec<Contact> =
                (0..size).map(|_| Contact { peer: PeerId::random(), addresses: vec![] }).collect();
            let mut left = keys.clone();
            left.sort();
            let mut walks = 0;
            for batch in left.chunks(MAX_BATCH) {
                let mut batch = batch.to_vec();
                while let Some(target) = batch.first().copied() {
                    let mut closest = peers.clone();
                    closest.sort_by_cached_key(|contact| {
                        target.distance(&Position::of_peer(&contact.peer))
                    });
                    closest.truncate(WALK.closest);
                    let depth = shared_depth(&target, &closest, closest.len() < WALK.closest);
                    batch.retain(|key| target.common_bits(key) < depth);
                    walks += 1;
                }
            }
            assert!(walks <= 60, "{walks} in a network of {size}");
        }
    }
}

#[test]
fn a_look_up_has_enough_when_nobody_new_is_named() {
    let local = PeerId::random();
    let named = |peers: &[PeerId]| Answer {
        providers: peers.iter().map(|peer| Contact { peer: *peer, addresses: vec![] }).collect(),
        ..Answer::default()
    };
    let peers: Vec<PeerId> = (0..ENOUGH_PROVIDERS).map(|_| PeerId::random()).collect();
    let mut found = Found::default();
    // Nobody found, or only this node itself: that never is enough.
    assert!((0..20).all(|_| !found.on_answer(local, &named(&[local]))));
    let (first, second) = (named(&peers[..1]), named(&peers[..2]));
    let answers = [&first, &first, &first, &second, &first, &second, &first];
    let enough: Vec<bool> = answers.iter().map(|answer| found.on_answer(local, answer)).collect();
    assert_eq!(enough, [false, false, false, false, false, false, true]);
    let mut many = Found::default();
    let enough = [(); 3].map(|()| many.on_answer(local, &named(&peers)));
    assert_eq!(enough, [false, false, true], "nobody decides alone");
}

#[test]
fn a_liar_has_its_share_of_what_is_found_and_no_more() {
    let contact = |peer, hosts: &[u8]| Contact {
        peer,
        addresses: hosts
            .iter()
            .map(|n| format!("/ip4/10.0.0.{n}/tcp/1").parse().unwrap())
            .collect(),
    };
    let honest = PeerId::random();
    let mut lie: Vec<Contact> = vec![contact(honest, &[1, 2, 3, 4, 5, 6, 7, 8])];
    lie.extend((0..100).map(|_| contact(PeerId::random(), &[9])));
    let lie = Answer { providers: lie, ..Answer::default() };
    let truth = Answer { providers: vec![contact(honest, &[200])], ..Answer::default() };
    let (local, mut found) = (PeerId::random(), Found::default());
    assert!(!found.on_answer(local, &lie));
    assert!(!found.on_answer(local, &truth));
    let found = found.into_providers();
    assert_eq!(found.len(), MAX_PROVIDERS_IN_ANSWER);
    assert_eq!(found[0].peer, honest);
    assert_eq!(found[0].addresses[1].to_string(), "10.0.0.200");
}
