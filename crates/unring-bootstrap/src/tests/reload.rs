//! Sources that come, go and change while the node runs, and that have nobody to tell of any more.

use std::collections::BTreeSet;

use super::world::{World, at, ms, named, someone};
use crate::limits::REFRESH;
use crate::{Action, Activity, Answer, Attempt, Candidate, Kind, Outcome};

fn down(_: usize) -> Option<Result<Vec<Candidate>, String>> {
    Some(Err("down".to_owned()))
}

fn asked(actions: &[Action]) -> Vec<Attempt> {
    let asks = actions.iter().filter_map(|action| match action {
        Action::Ask(attempt) => Some(*attempt),
        _ => None,
    });
    asks.collect()
}

#[test]
fn a_source_that_comes_is_asked_at_once_and_the_others_keep_their_back_off() {
    let mut world = World::new(&[Kind::Http, Kind::Dns]);
    world.run(ms(60_000), down, |_| None);
    assert!(world.table.all_tried());
    let due = |world: &World, source| match world.table.view(source).unwrap().activity {
        Activity::Waiting { due } => due,
        other => panic!("{other:?}"),
    };
    let before = [due(&world, 0), due(&world, 1)];
    let late = world.table.add(world.now, Kind::Dnsaddr, "late".to_owned()).unwrap();
    assert!(world.table.all_tried(), "a node that is ready stays so");
    let asks = asked(&world.actions());
    assert_eq!(asks.iter().map(|attempt| attempt.source).collect::<Vec<_>>(), [late]);
    assert_eq!([due(&world, 0), due(&world, 1)], before);

    // One that is asked in another way is due at once and begins its back-off anew; what the old way brings is ignored.
    world.table.again(world.now, 0);
    let [old] = asked(&world.actions())[..] else { panic!("asked once") };
    world.table.again(world.now, 0);
    let [new] = asked(&world.actions())[..] else { panic!("asked again") };
    assert!(old.source == 0 && new.source == 0 && old != new);
    world.table.answered(world.now, old, Ok(vec![at("/ip4/10.0.0.1/tcp/1")]));
    assert_eq!(world.actions(), [], "the first was given up");
    world.table.answered(world.now, new, Err("down".to_owned()));
    assert!(due(&world, 0) <= world.now + ms(50), "the shortest wait");
    assert_eq!(due(&world, 1), before[1]);
}

#[test]
fn a_source_that_goes_takes_along_whom_it_found() {
    let mut world = World::new(&[Kind::Dns, Kind::Http]);
    let (one, both) = (someone(), someone());
    let (here, there) = (named("/ip4/10.0.0.1/tcp/1", one), named("/ip4/10.0.0.2/tcp/1", both));
    world.run(
        ms(1),
        |source| {
            Some(Ok(if source == 0 {
                vec![here.clone(), there.clone()]
            } else {
                vec![there.clone()]
            }))
        },
        |candidate| candidate.peer.map(Answer::Peer),
    );
    let peers = |world: &World| world.table.peers().into_keys().collect::<BTreeSet<_>>();
    assert_eq!(peers(&world), [one, both].into());
    world.table.remove(0);
    assert_eq!(world.table.take_actions(), [Action::PeersChanged]);
    assert_eq!(peers(&world), [both].into(), "the other source told of it too");
    assert_eq!(world.table.view(0), None);
    // Its number is not given again: what still comes for it is for nobody.
    let next = world.table.add(world.now, Kind::Dns, "next".to_owned()).unwrap();
    assert_eq!(next, 2);
    world.table.remove(0);
    world.table.again(world.now, 0);
    assert_eq!(world.table.take_actions(), []);
}

#[test]
fn who_is_not_told_of_twice_in_a_row_is_forgotten() {
    let mut world = World::new(&[Kind::Dns]);
    let peer = someone();
    let here = named("/ip4/10.0.0.1/tcp/1", peer);
    let mut last = Vec::new();
    let own = || Ok(vec![at(super::world::OWN)]);
    let nobody = || Ok(Vec::new());
    // With somebody told of between them, two such answers are not in a row. A failure is no answer.
    let told = || Ok(vec![here.clone()]);
    let fails = || Err("down".to_owned());
    for answer in [told(), nobody(), told(), own(), fails(), nobody()] {
        world.now += REFRESH;
        let attempt = world.ask();
        world.table.answered(world.now, attempt, answer);
        let mut changed = false;
        for action in world.table.take_actions() {
            if let Action::Dial(attempt, candidate) = &action {
                let nobody = Answer::Nobody("refused".to_owned());
                world.table.dialled(world.now, *attempt, candidate, nobody);
            }
            changed |= action == Action::PeersChanged;
        }
        changed |= world.table.take_actions().contains(&Action::PeersChanged);
        last.push((world.table.peers().len(), changed));
    }
    let expected = [(1, true), (1, false), (1, false), (1, false), (1, false), (0, true)];
    assert_eq!(last, expected);
    assert_eq!(world.table.view(0).unwrap().last.unwrap().outcome, Outcome::Empty);
}
