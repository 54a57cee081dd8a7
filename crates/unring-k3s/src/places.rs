//! Places for connections, in all and for each address, and who gives way when none is left.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::limits;

/// For how long nothing must have come of a connection before it gives way to another. K3s's client has its request out
/// milliseconds after its handshake, unless one of both ends has no CPU to spare. As on the gRPC listener.
const QUIET: Duration = Duration::from_secs(2);

/// Places that are taken. An address without one is not remembered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    next_id: u64,
    by_address: HashMap<IpAddr, Vec<Holder>>,
}

#[derive(Debug)]
struct Holder {
    id: u64,
    /// Since when nothing has come of it; none once it has asked.
    quiet_since: Option<Instant>,
    /// Dropped, it tells the holder that another has its place.
    _gives_way: oneshot::Sender<Infallible>,
}

/// One place; given back when dropped, unless another has it already.
#[derive(Debug)]
pub(crate) struct Place {
    progress: Progress,
    gave_way: oneshot::Receiver<Infallible>,
}

/// What its connection tells of itself.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    places: Places,
    address: IpAddr,
    id: u64,
}

impl Places {
    /// Whether there is a place for a connection from here, or somebody who gives way to it.
    pub(crate) fn has_room(&self, client: IpAddr, now: Instant) -> bool {
        let (address, taken) = (network(client), self.taken());
        taken.full(address).is_none_or(|full| taken.quietest(full, address, now).is_some())
    }

    /// A place for a connection from here, and whether another gave way for it. That is one of the same address that has
    /// been quiet for longest, where there is one; with all places taken, and none of them by such a neighbour, it is the
    /// one of all.
    pub(crate) fn take(&self, client: IpAddr, now: Instant) -> Option<(Place, bool)> {
        let address = network(client);
        let mut taken = self.taken();
        let full = taken.full(address);
        if let Some(full) = full {
            let (from, id) = taken.quietest(full, address, now)?;
            taken.give_back(from, id);
        }
        let id = taken.next_id;
        taken.next_id += 1;
        let (gives_way, gave_way) = oneshot::channel();
        let holder = Holder { id, quiet_since: Some(now), _gives_way: gives_way };
        taken.by_address.entry(address).or_default().push(holder);
        drop(taken);
        let progress = Progress { places: self.clone(), address, id };
        Some((Place { progress, gave_way }, full.is_some()))
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which bound is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    Address,
    All,
}

impl Taken {
    fn full(&self, address: IpAddr) -> Option<Full> {
        let own = self.by_address.get(&address).map_or(0, Vec::len);
        if own >= limits::MAX_CONNECTIONS_PER_ADDRESS {
            return Some(Full::Address);
        }
        let all: usize = self.by_address.values().map(Vec::len).sum();
        (all >= limits::MAX_CONNECTIONS).then_some(Full::All)
    }

    /// Who has been quiet for longest, and long enough: address and id.
    fn quietest(&self, full: Full, address: IpAddr, now: Instant) -> Option<(IpAddr, u64)> {
        let of = |(from, holders): (&IpAddr, &Vec<Holder>)| {
            let quiet = holders.iter().filter_map(|one| Some((one.quiet_since?, one.id)));
            let (since, id) = quiet.min()?;
            (now.saturating_duration_since(since) >= QUIET).then_some((since, *from, id))
        };
        let neighbour = self.by_address.get_key_value(&address).and_then(of);
        let anybody = || self.by_address.iter().filter_map(of).min();
        let quietest = match full {
            Full::Address => neighbour,
            Full::All => neighbour.or_else(anybody),
        };
        quietest.map(|(_, from, id)| (from, id))
    }

    fn holder(&mut self, address: IpAddr, id: u64) -> Option<&mut Holder> {
        self.by_address.get_mut(&address)?.iter_mut().find(|holder| holder.id == id)
    }

    fn give_back(&mut self, address: IpAddr, id: u64) {
        let Some(holders) = self.by_address.get_mut(&address) else { return };
        holders.retain(|holder| holder.id != id);
        if holders.is_empty() {
            self.by_address.remove(&address);
        }
    }
}

impl Progress {
    /// The handshake is done: from now on it is waited for what is asked.
    pub(crate) fn heard(&self, now: Instant) {
        self.set(Some(now));
    }

    /// It has asked, and gives way to nobody until it is answered.
    pub(crate) fn asked(&self) {
        self.set(None);
    }

    fn set(&self, quiet_since: Option<Instant>) {
        if let Some(holder) = self.places.taken().holder(self.address, self.id) {
            holder.quiet_since = quiet_since;
        }
    }
}

impl Place {
    pub(crate) fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Resolves when another has the place.
    pub(crate) async fn gave_way(&mut self) {
        // Nothing is ever sent.
        let _ = (&mut self.gave_way).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Progress { places, address, id } = &self.progress;
        places.taken().give_back(*address, *id);
    }
}

/// Whom an address counts for: of IPv6 its /64, the least that one customer gets (RFC 6177).
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use tokio::sync::oneshot::error::TryRecvError;
    use tokio::time::Instant;

    use super::{Place, Places, QUIET};
    use crate::limits::{MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn host(n: usize) -> IpAddr {
        IpAddr::from(u32::try_from(n).unwrap().to_be_bytes())
    }

    fn gave_way(place: &mut Place) -> bool {
        place.gave_way.try_recv() == Err(TryRecvError::Closed)
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let (places, now) = (Places::default(), Instant::now());
        let take = |text: &str| places.take(address(text), now).map(|(place, _)| place);
        let mut own: Vec<_> =
            (0..MAX_CONNECTIONS_PER_ADDRESS).map(|_| take("10.0.0.1").unwrap()).collect();
        assert!(take("10.0.0.1").is_none() && take("::ffff:10.0.0.1").is_none());
        let other = take("10.0.0.2").unwrap();
        own.pop();
        own.push(take("10.0.0.1").unwrap());
        drop((own, other));
        assert!(places.taken().by_address.is_empty(), "nobody is remembered");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let (places, now) = (Places::default(), Instant::now());
        let host = |n: usize| address(&format!("2001:db8:0:1::{n:x}"));
        let own: Vec<_> =
            (0..MAX_CONNECTIONS_PER_ADDRESS).map(|n| places.take(host(n), now).unwrap()).collect();
        assert!(places.take(host(999), now).is_none());
        assert!(places.take(address("2001:db8:0:2::1"), now).is_some());
        drop(own);
    }

    #[test]
    fn all_together_have_so_many() {
        let (places, now) = (Places::default(), Instant::now());
        let all: Vec<_> =
            (0..MAX_CONNECTIONS).map(|n| places.take(host(n), now).unwrap()).collect();
        assert!(places.take(host(MAX_CONNECTIONS), now).is_none());
        drop(all);
        assert!(places.take(host(MAX_CONNECTIONS), now).is_some());
    }

    #[test]
    fn the_quietest_of_the_same_address_gives_way_and_nobody_who_has_asked() {
        let (places, start) = (Places::default(), Instant::now());
        let (own, neighbour) = (address("10.0.0.1"), address("10.0.0.2"));
        let (mut other, _) = places.take(neighbour, start).unwrap();
        let mut held: Vec<_> =
            (0..MAX_CONNECTIONS_PER_ADDRESS).map(|_| places.take(own, start).unwrap().0).collect();
        held[0].progress.asked();
        held[1].progress.heard(start + QUIET / 2);
        let almost = start + QUIET - std::time::Duration::from_millis(1);
        assert!(!places.has_room(own, almost) && places.take(own, almost).is_none());
        let now = start + QUIET;
        assert!(places.has_room(own, now));
        let (newcomer, instead) = places.take(own, now).unwrap();
        assert!(instead);
        let gone: Vec<_> = held.iter_mut().map(gave_way).collect();
        assert_eq!(gone.iter().filter(|gone| **gone).count(), 1);
        assert!(!gone[0] && !gone[1] && !gave_way(&mut other));
        // What was given away is not given back a second time.
        drop(held.remove(gone.iter().position(|gone| *gone).unwrap()));
        held.iter().for_each(|place| place.progress.asked());
        newcomer.progress.asked();
        assert!(places.take(own, now + QUIET).is_none(), "all have asked");
    }

    #[test]
    fn at_the_total_a_neighbour_gives_way_before_others() {
        let (places, start) = (Places::default(), Instant::now());
        let mut all: Vec<_> =
            (0..MAX_CONNECTIONS).map(|n| places.take(host(n), start).unwrap().0).collect();
        all[7].progress.heard(start + QUIET);
        let now = start + QUIET * 2;
        // The others have been quiet for longer, and are nobody's neighbours.
        let (newcomer, instead) = places.take(host(7), now).unwrap();
        assert!(instead && gave_way(&mut all[7]));
        newcomer.progress.asked();
        let (_second, _) = places.take(host(7), now).unwrap();
        assert_eq!(all.iter_mut().filter_map(|place| gave_way(place).then_some(())).count(), 2);
        let first = all.iter_mut().position(gave_way).unwrap();
        assert_eq!(first, 0, "then the one that came first");
        assert!(!places.has_room(host(999), start), "nobody has been quiet for long enough");
    }
}
