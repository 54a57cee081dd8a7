//! Who has which place among the connections, and who gives way, without a socket.
//!
//! Half of the places are for peers that this node chose. Of the others a quarter is kept for connections that it opens itself to look
//! something up: strangers may take what is left, and never the way to whoever knows something. Connections of look-ups stay open,
//! since the next one often needs them; when all places are taken the one that was of no use for longest is closed for a new one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use libp2p::swarm::ConnectionId;
use libp2p_identity::PeerId;

use crate::config::{Limits, MAX_CLOSING, UNUSED_BEFORE_CLOSED};
use crate::gate::{LimitExceeded, LimitKind};
use crate::usage::Usage;

/// The connections.
pub(crate) struct Places {
    limits: Limits,
    /// Peers whose connections are kept alive.
    known: BTreeSet<PeerId>,
    /// Peers that may take every place; a subset of `known`.
    chosen: BTreeSet<PeerId>,
    taken: HashMap<ConnectionId, Taken>,
    usage: Usage,
}

struct Taken {
    peer: PeerId,
    keep: Arc<AtomicBool>,
    /// This node opened it.
    outbound: bool,
    /// It gives way and is about to be gone.
    closing: bool,
}

/// A place, and who gives way for it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) keep: Arc<AtomicBool>,
    pub(crate) instead_of: Option<(PeerId, ConnectionId)>,
}

/// Whether there is room for one more.
pub(crate) fn check(current: usize, limit: u32, kind: LimitKind) -> Result<(), LimitExceeded> {
    let free = u32::try_from(current).is_ok_and(|current| current < limit);
    if free { Ok(()) } else { Err(LimitExceeded { limit, kind }) }
}

impl Places {
    pub(crate) fn new(limits: Limits, usage: Usage) -> Self {
        let (known, chosen, taken) = Default::default();
        let places = Self { limits, known, chosen, taken, usage };
        places.count();
        places
    }

    /// Replaces the peers whose connections are kept alive, and those that may take every place.
    pub(crate) fn set_wanted(&mut self, known: BTreeSet<PeerId>, chosen: BTreeSet<PeerId>) {
        for taken in self.taken.values() {
            taken.keep.store(known.contains(&taken.peer), Ordering::Relaxed);
        }
        (self.known, self.chosen) = (known, chosen);
        self.count();
    }

    /// Replaces the peers that may take every place.
    pub(crate) fn set_chosen(&mut self, chosen: BTreeSet<PeerId>) {
        self.chosen = chosen;
        self.count();
    }

    /// Connections, those that are closing among them.
    pub(crate) fn len(&self) -> usize {
        self.taken.len()
    }

    /// Of each connection.
    pub(crate) fn peers(&self) -> impl Iterator<Item = PeerId> {
        self.taken.values().map(|taken| taken.peer)
    }

    /// Gives a place to a connection, or says why there is none.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        id: ConnectionId,
        peer: PeerId,
        outbound: bool,
    ) -> Result<Place, LimitExceeded> {
        let same = self.taken.values().filter(|other| other.peer == peer).count();
        check(same, self.limits.max_per_peer, LimitKind::PerPeer)?;
        let mut instead_of = None;
        if let Err(full) = self.room(&peer, outbound) {
            let closing = self.closing() < MAX_CLOSING;
            let Some(other) = self.gives_way(now, &peer, outbound).filter(|_| closing) else {
                return Err(full);
            };
            let Some(taken) = self.taken.get_mut(&other) else { return Err(full) };
            taken.closing = true;
            self.usage.closes(other);
            instead_of = Some((taken.peer, other));
        }
        let keep = Arc::new(AtomicBool::new(self.known.contains(&peer)));
        let taken = Taken { peer, keep: Arc::clone(&keep), outbound, closing: false };
        self.taken.insert(id, taken);
        self.usage.opened(now, id, outbound && !self.chosen.contains(&peer));
        self.count();
        Ok(Place { keep, instead_of })
    }

    /// A connection is gone, or was never admitted by others.
    pub(crate) fn leave(&mut self, id: ConnectionId) {
        self.taken.remove(&id);
        self.usage.closed(id);
        self.count();
    }

    /// Says how many places connections of look-ups may have.
    fn count(&self) {
        let others = usize::try_from(self.limits.max_others()).unwrap_or(usize::MAX);
        self.usage.set_places(others.saturating_sub(self.others(false).count()));
    }

    /// Connections to peers that were not chosen: opened by this node or not.
    fn others(&self, outbound: bool) -> impl Iterator<Item = (ConnectionId, &Taken)> {
        let others = self.taken.iter().filter(move |(_, taken)| {
            taken.outbound == outbound && !taken.closing && !self.chosen.contains(&taken.peer)
        });
        others.map(|(id, taken)| (*id, taken))
    }

    fn closing(&self) -> usize {
        self.taken.values().filter(|taken| taken.closing).count()
    }

    fn room(&self, peer: &PeerId, outbound: bool) -> Result<(), LimitExceeded> {
        let staying = self.taken.len() - self.closing();
        check(staying, self.limits.max_connections, LimitKind::Established)?;
        if self.chosen.contains(peer) {
            return Ok(());
        }
        let strangers = self.others(false).count();
        if !outbound {
            check(strangers, self.limits.max_strangers(), LimitKind::NotChosen)?;
        }
        check(strangers + self.others(true).count(), self.limits.max_others(), LimitKind::NotChosen)
    }

    /// Who gives way to a new connection: the one that was of no use for longest, of the kind that has more than it should.
    fn gives_way(&self, now: Instant, peer: &PeerId, outbound: bool) -> Option<ConnectionId> {
        let strangers = u32::try_from(self.others(false).count()).unwrap_or(u32::MAX);
        let is_other = !outbound && !self.chosen.contains(peer);
        let theirs = is_other && strangers >= self.limits.max_strangers();
        let idle = |id| self.usage.idle_since(id);
        let candidates = self.others(!theirs).filter_map(|(id, taken)| {
            let known = self.known.contains(&taken.peer);
            Some((known, idle(id)?, id))
        });
        let (.., id) = if theirs {
            // Peers that want this node and are known come back at once: to close one for another would have no end.
            let unused = |since: Instant| now.saturating_duration_since(since);
            let long = |since| unused(since) >= UNUSED_BEFORE_CLOSED;
            candidates.filter(|(known, since, _)| !known && long(*since)).min_by_key(order)
        } else {
            candidates.min_by_key(order)
        }?;
        Some(id)
    }
}

/// First those that nobody wants to keep, then by how long they were of no use.
fn order((known, since, _): &(bool, Instant, ConnectionId)) -> (bool, Instant) {
    (*known, *since)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct World {
        places: Places,
        usage: Usage,
        now: Instant,
        next: usize,
    }

    type Taken = Result<Option<ConnectionId>, LimitKind>;

    impl World {
        /// Eight places for others, six of them for strangers.
        fn new() -> Self {
            let usage = Usage::default();
            let places = Places::new(Limits::new(16), usage.clone());
            Self { places, usage, now: Instant::now(), next: 0 }
        }

        /// Who gives way; the connection has the number `next`.
        fn take(&mut self, peer: PeerId, outbound: bool) -> Taken {
            self.next += 1;
            self.now += Duration::from_millis(1);
            let place = self.places.take(self.now, id(self.next), peer, outbound);
            place.map(|place| place.instead_of.map(|(_, id)| id)).map_err(|full| full.kind)
        }

        fn stranger(&mut self) -> Taken {
            self.take(PeerId::random(), false)
        }

        fn look_up(&mut self) -> Taken {
            self.take(PeerId::random(), true)
        }
    }

    fn id(n: usize) -> ConnectionId {
        ConnectionId::new_unchecked(n)
    }

    const FULL: Taken = Err(LimitKind::NotChosen);

    #[test]
    fn strangers_never_have_the_places_of_look_ups() {
        let mut world = World::new();
        assert_eq!(
            [(); 8].map(|()| world.stranger()),
            [Ok(None), Ok(None), Ok(None), Ok(None), Ok(None), Ok(None), FULL, FULL]
        );
        assert_eq!([(); 2].map(|()| world.look_up()), [Ok(None), Ok(None)], "9 and 10");
        let first = world.usage.begin(id(9));
        assert_eq!(world.look_up(), Ok(Some(id(10))), "not the one in use");
        assert!(world.usage.is_closing(id(10)) && !world.usage.is_closing(id(9)));
        let _second = world.usage.begin(id(11));
        assert_eq!(world.look_up(), FULL, "both are in use");
        drop(first);
        assert_eq!(world.look_up(), Ok(Some(id(9))));
        assert_eq!(world.stranger(), FULL);
        assert_eq!(world.places.len(), 10, "two are closing");
        world.places.leave(id(9));
        world.places.leave(id(10));
        assert_eq!(world.places.len(), 8);
    }

    #[test]
    fn look_ups_use_what_strangers_leave_and_give_it_back() {
        let mut world = World::new();
        assert!((0..8).all(|_| world.look_up() == Ok(None)));
        world.usage.asked(world.now + Duration::from_millis(1), id(1));
        assert_eq!(world.look_up(), Ok(Some(id(2))));
        assert_eq!(world.stranger(), Ok(Some(id(3))));
        let known: BTreeSet<PeerId> =
            world.places.taken.get(&id(4)).map(|taken| taken.peer).into_iter().collect();
        world.places.set_wanted(known, BTreeSet::new());
        assert_eq!(world.stranger(), Ok(Some(id(5))), "first who is not to be kept");
    }

    #[test]
    fn a_stranger_of_no_use_gives_way_to_another_after_a_while() {
        let mut world = World::new();
        assert!((0..6).all(|_| world.stranger() == Ok(None)));
        assert_eq!(world.stranger(), FULL);
        let known: BTreeSet<PeerId> =
            world.places.taken.get(&id(1)).map(|taken| taken.peer).into_iter().collect();
        world.places.set_wanted(known, BTreeSet::new());
        world.now += UNUSED_BEFORE_CLOSED;
        world.usage.asked(world.now, id(2));
        assert_eq!(world.stranger(), Ok(Some(id(3))), "1 is known, 2 has just asked");
        let all: BTreeSet<PeerId> = world.places.taken.values().map(|taken| taken.peer).collect();
        world.places.set_wanted(all, BTreeSet::new());
        world.now += UNUSED_BEFORE_CLOSED;
        assert_eq!(world.stranger(), FULL, "peers that are known would come back at once");
    }

    #[test]
    fn a_few_at_a_time_are_closed_for_others() {
        let mut world = World::new();
        world.places.limits = Limits::new(192);
        assert!((0..96).all(|_| world.look_up() == Ok(None)));
        assert!((0..MAX_CLOSING).all(|_| matches!(world.look_up(), Ok(Some(_)))));
        assert_eq!(world.look_up(), FULL);
        world.places.leave(id(1));
        assert!(world.look_up().is_ok());
    }
}
