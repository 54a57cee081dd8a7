//! Admission, without a swarm.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionId, DialError, DialFailure, FromSwarm,
    ListenFailure, NetworkBehaviour,
};
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;

use crate::gate::{Gate, KeepAlive};
use crate::handle::Gauges;
use crate::usage::Usage;
use crate::{KeptOut, LimitExceeded, LimitKind, Limits, Lists};

struct Test {
    gate: Gate,
    next: usize,
}

fn exceeded(denied: ConnectionDenied) -> LimitKind {
    denied.downcast::<LimitExceeded>().expect("denied by the gate").kind
}

impl Test {
    fn new(limits: Limits) -> Self {
        Self { gate: Gate::new(limits, Usage::default(), Arc::default()), next: 0 }
    }

    fn knock(&mut self) -> Result<ConnectionId, LimitKind> {
        self.next += 1;
        let (id, any) = (ConnectionId::new_unchecked(self.next), Multiaddr::empty());
        self.gate.handle_pending_inbound_connection(id, &any, &any).map_err(exceeded)?;
        Ok(id)
    }

    fn enter(&mut self, peer: PeerId) -> Result<KeepAlive, LimitKind> {
        let (id, any) = (self.knock()?, Multiaddr::empty());
        let admitted =
            self.gate.handle_established_inbound_connection(id, peer, &any, &any).map_err(exceeded);
        if admitted.is_err() {
            self.fail(id);
        }
        admitted
    }

    fn fail(&mut self, id: ConnectionId) {
        let any = Multiaddr::empty();
        self.gate.on_swarm_event(FromSwarm::ListenFailure(ListenFailure {
            local_addr: &any,
            send_back_addr: &any,
            error: &libp2p::swarm::ListenError::Aborted,
            connection_id: id,
            peer_id: None,
        }));
    }
}

fn enter(test: &mut Test, peer: PeerId) -> Option<LimitKind> {
    test.enter(peer).err()
}

#[test]
fn handshakes_at_once_are_capped_and_failed_ones_make_room() {
    let mut test = Test::new(Limits { max_pending_incoming: 2, ..Limits::new(8) });
    let first = test.knock().unwrap();
    test.knock().unwrap();
    assert_eq!(test.knock(), Err(LimitKind::PendingIncoming));
    test.fail(first);
    assert!(test.knock().is_ok());
}

#[test]
fn dials_at_once_are_capped_and_failed_ones_make_room() {
    let limits = Limits { max_pending_outgoing: 1, ..Limits::new(8) };
    let mut gate = Gate::new(limits, Usage::default(), Arc::default());
    let dial = |gate: &mut Gate, id| {
        let id = ConnectionId::new_unchecked(id);
        gate.handle_pending_outbound_connection(id, None, &[], Endpoint::Dialer)
            .map(|_| id)
            .map_err(exceeded)
    };
    let first = dial(&mut gate, 1).unwrap();
    assert_eq!(dial(&mut gate, 2), Err(LimitKind::PendingOutgoing));
    gate.on_swarm_event(FromSwarm::DialFailure(DialFailure {
        peer_id: None,
        error: &DialError::Aborted,
        connection_id: first,
    }));
    assert!(dial(&mut gate, 3).is_ok());
}

#[test]
fn a_connection_that_another_behaviour_denied_leaves_nothing() {
    let mut test = Test::new(Limits::new(8));
    test.enter(PeerId::random()).unwrap();
    test.fail(ConnectionId::new_unchecked(test.next));
    assert_eq!(test.gate.established(), 0);
}

#[test]
fn one_peer_has_at_most_two_connections() {
    let mut test = Test::new(Limits::new(8));
    let peer = PeerId::random();
    assert_eq!([(); 3].map(|()| enter(&mut test, peer)), [None, None, Some(LimitKind::PerPeer)]);
    assert_eq!(enter(&mut test, PeerId::random()), None);
}

#[test]
fn strangers_get_half_and_chosen_peers_everything() {
    let mut test = Test::new(Limits::new(5));
    let chosen: Vec<_> = (0..4).map(|_| PeerId::random()).collect();
    let set: BTreeSet<_> = chosen.iter().copied().collect();
    test.gate.set_wanted(set.clone(), set);
    let strangers = [(); 3].map(|()| enter(&mut test, PeerId::random()));
    assert_eq!(strangers, [None, None, Some(LimitKind::NotChosen)]);
    let admitted: Vec<_> = chosen.iter().map(|peer| enter(&mut test, *peer)).collect();
    assert_eq!(admitted, [None, None, None, Some(LimitKind::Established)]);
    assert_eq!(test.gate.established(), 5);
}

#[test]
fn connections_are_kept_alive_as_long_as_their_peer_is_known() {
    let mut test = Test::new(Limits::new(8));
    let peer = PeerId::random();
    let connection = test.enter(peer).unwrap();
    assert!(!connection.connection_keep_alive());
    test.gate.set_wanted(BTreeSet::from([peer]), BTreeSet::new());
    assert!(connection.connection_keep_alive());
    assert!(test.enter(peer).unwrap().connection_keep_alive());
    test.gate.set_wanted(BTreeSet::new(), BTreeSet::new());
    assert!(!connection.connection_keep_alive());
}

#[test]
fn who_is_kept_out_is_denied_in_both_directions_as_soon_as_it_is_known() {
    let gauges = Arc::new(Gauges::default());
    let mut gate = Gate::new(Limits::new(8), Usage::default(), Arc::clone(&gauges));
    let (friend, foe, other) = (PeerId::random(), PeerId::random(), PeerId::random());
    let lists = Lists { allow: [friend, foe].into(), deny: [foe].into() };
    assert_eq!(gate.set_lists(&Arc::new(lists)), Some(BTreeSet::new()));
    let any = Multiaddr::empty();
    let why = |denied: ConnectionDenied| denied.downcast::<KeptOut>().expect("kept out");
    let (denied, not_allowed) =
        (KeptOut::Denied { peer: foe }, KeptOut::NotAllowed { peer: other });
    for (at, peer, expected) in
        [(1, friend, None), (2, foe, Some(denied)), (3, other, Some(not_allowed))]
    {
        let id = ConnectionId::new_unchecked(at);
        let dial = gate.handle_pending_outbound_connection(id, Some(peer), &[], Endpoint::Dialer);
        assert_eq!(dial.map_err(why).err(), expected, "before it is dialled");
        let port = PortUse::New;
        let dialled =
            gate.handle_established_outbound_connection(id, peer, &any, Endpoint::Dialer, port);
        assert_eq!(dialled.map_err(why).err(), expected, "when its address was dialled");
        let came = gate.handle_established_inbound_connection(id, peer, &any, &any);
        assert_eq!(came.map_err(why).err(), expected, "when it came");
    }
    assert_eq!(gauges.kept_out_dials.load(Ordering::Relaxed), 4);
    assert_eq!(gate.established(), 1);

    // Who is connected already is told apart; the same lists once more are no news.
    let lists = Arc::new(Lists { deny: [friend].into(), ..Lists::default() });
    assert_eq!(gate.set_lists(&lists), Some([friend].into()));
    assert_eq!(gate.set_lists(&lists), None);
}
