//! Walks among peers of any slowness, on a stopped clock.

use std::cell::Cell;

use super::*;
use crate::kad::config::{
    LOOKUP_STALLED_AFTER, PARALLEL_LOOKUP_REQUESTS, PATIENCE, PATIENCE_CONNECTED, REPLICATION,
    REQUEST_TIMEOUT, STALLED_FOR,
};
use crate::kad::position::Position;
use crate::kad::walk::WalkConfig;

const MS: Duration = Duration::from_millis(1);

struct Peer {
    contact: Contact,
    /// When it answers, if it does.
    answers: Cell<Option<Duration>>,
    provides: bool,
}

struct World {
    peers: Vec<Peer>,
    patience: Patience,
    gauges: KadGauges,
}

impl World {
    /// Of twenty who know nothing and answer at once, and one more.
    fn new(answers: Option<Duration>, provides: bool) -> Self {
        let peer = |answers, provides| {
            let contact = Contact { peer: PeerId::random(), addresses: vec![] };
            Peer { contact, answers: Cell::new(answers), provides }
        };
        let mut peers: Vec<Peer> = (1..REPLICATION).map(|_| peer(Some(MS), false)).collect();
        peers.push(peer(answers, provides));
        let (patience, gauges) = (Patience::default(), KadGauges::default());
        let world = Self { peers, patience, gauges };
        for peer in &world.peers[..REPLICATION - 1] {
            world.patience.connected(peer.contact.peer);
        }
        world
    }

    fn last(&self) -> &Peer {
        self.peers.last().unwrap()
    }

    async fn ask(&self, contact: Contact) -> Result<Answer, AskError> {
        let peer = self.peers.iter().find(|peer| peer.contact.peer == contact.peer).unwrap();
        let Some(time) = peer.answers.get() else {
            tokio::time::sleep(REQUEST_TIMEOUT).await;
            return Err(AskError::Timeout);
        };
        tokio::time::sleep(time).await;
        let providers = if peer.provides { vec![peer.contact.clone()] } else { vec![] };
        Ok(Answer { closer: vec![], providers })
    }

    /// Whether anybody was found, and how long it took.
    async fn look_up(&self) -> (bool, Duration) {
        let config = WalkConfig {
            closest: REPLICATION,
            parallel: PARALLEL_LOOKUP_REQUESTS,
            stalled_after: LOOKUP_STALLED_AFTER,
        };
        let seeds = self.peers.iter().map(|peer| peer.contact.clone());
        let walk = Walk::new(PeerId::random(), Position::of_key(b"x"), config, seeds);
        let mut found = false;
        let enough = |answer: Option<&Answer>| {
            found |= answer.is_some_and(|answer| !answer.providers.is_empty());
            found
        };
        let asking = Asking { patience: &self.patience, gauges: &self.gauges, to_the_end: false };
        let began = clock();
        asking.walk(walk, |contact| self.ask(contact), enough, &mut (0, 0)).await;
        (found, clock() - began)
    }
}

/// Timers are no finer than a millisecond, and the others answer in one.
fn about(took: Duration, wanted: Duration) -> bool {
    (wanted..wanted + 30 * MS).contains(&took)
}

#[tokio::test(start_paused = true)]
async fn a_node_that_hangs_costs_an_asker_once_and_not_every_look_up() {
    for (connected, first) in [(true, PATIENCE_CONNECTED), (false, PATIENCE)] {
        let world = World::new(None, false);
        if connected {
            world.patience.connected(world.last().contact.peer);
        } else {
            world.patience.dialled(world.last().contact.peer);
        }
        let (found, took) = world.look_up().await;
        assert!(!found && about(took, first), "{took:?}");
        assert!(took < Duration::from_millis(900), "well below a second");
        for _ in 0..20 {
            let (found, took) = world.look_up().await;
            assert!(!found && about(took, LOOKUP_STALLED_AFTER), "{took:?}");
        }
        tokio::time::sleep(STALLED_FOR).await;
        let (_, took) = world.look_up().await;
        assert!(about(took, first), "it may have become better: {took:?}");
        let (_, took) = world.look_up().await;
        assert!(about(took, LOOKUP_STALLED_AFTER), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_only_a_cold_or_slow_peer_knows_is_found_each_time() {
    for (connected, answers) in [(true, PATIENCE_CONNECTED), (false, PATIENCE)] {
        let world = World::new(Some(answers - 20 * MS), true);
        if connected {
            world.patience.connected(world.last().contact.peer);
        }
        for _ in 0..3 {
            assert!(world.look_up().await.0, "it needs {answers:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_hung_is_heard_meanwhile_and_waited_for_again_when_it_answers() {
    let world = World::new(None, true);
    let last = world.last();
    world.patience.connected(last.contact.peer);
    assert!(!world.look_up().await.0);
    last.answers.set(Some(LOOKUP_STALLED_AFTER / 2));
    assert!(world.look_up().await.0, "it answers as fast as others");
    last.answers.set(Some(PATIENCE_CONNECTED / 2));
    assert!(world.look_up().await.0, "and is trusted again");
}

#[tokio::test(start_paused = true)]
async fn a_walk_to_the_end_waits_for_everybody() {
    let world = World::new(None, false);
    world.patience.dialled(world.last().contact.peer);
    let config = WalkConfig { closest: REPLICATION, parallel: 10, stalled_after: 250 * MS };
    let seeds = world.peers.iter().map(|peer| peer.contact.clone());
    let walk = Walk::new(PeerId::random(), Position::of_key(b"x"), config, seeds);
    let asking = Asking { patience: &world.patience, gauges: &world.gauges, to_the_end: true };
    let began = clock();
    let mut counts = (0, 0);
    let walk = asking.walk(walk, |contact| world.ask(contact), |_| false, &mut counts).await;
    assert!(about(clock() - began, REQUEST_TIMEOUT));
    assert_eq!(
        (counts, walk.into_answered().len()),
        ((REPLICATION, REPLICATION - 1), REPLICATION - 1)
    );
    let hung = world.last().contact.peer;
    assert_eq!(world.patience.of(clock(), &hung), LOOKUP_STALLED_AFTER, "look-ups know of it");
}
