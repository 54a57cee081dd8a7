//! Places for connections and handshakes, in total and per address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::activity::Activity;

/// Time for which a connection must have made no call before it gives way to another: a node calls within milliseconds of
/// its handshake, unless one of both has no CPU to spare.
const QUIET: Duration = Duration::from_secs(2);

/// Places, of which no more than the total are remembered.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    taken: Arc<Mutex<Taken>>,
    max_total: usize,
    max_per_address: usize,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    next_id: u64,
    by_address: HashMap<IpAddr, Vec<Holder>>,
}

#[derive(Debug)]
struct Holder {
    id: u64,
    /// What the place is used for, where that is known.
    activity: Option<Activity>,
}

/// One place; given back when dropped, unless another has it already.
#[derive(Debug)]
pub(super) struct Slot {
    taken: Arc<Mutex<Taken>>,
    address: IpAddr,
    id: u64,
}

/// Which bound is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Total,
    Address,
}

impl Slots {
    pub(super) fn new(max_total: usize, max_per_address: usize) -> Self {
        Self { taken: Arc::default(), max_total, max_per_address }
    }

    /// A place for somebody from `ip`. Where none is left and `activity` says what it will be used for, the one that has
    /// been quiet for longest is closed for it: of the same address, or of all.
    pub(super) fn take(&self, ip: IpAddr, activity: Option<Activity>) -> Result<Slot, Full> {
        let address = network(ip);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full) = self.full(&taken, address) {
            let among = (full == Full::Address).then_some(address);
            let quietest = activity.as_ref().and_then(|_| taken.quietest(among)).ok_or(full)?;
            taken.close(quietest);
        }
        let id = taken.next_id;
        taken.next_id += 1;
        taken.by_address.entry(address).or_default().push(Holder { id, activity });
        taken.total += 1;
        drop(taken);
        Ok(Slot { taken: Arc::clone(&self.taken), address, id })
    }

    fn full(&self, taken: &Taken, address: IpAddr) -> Option<Full> {
        let of_address = taken.by_address.get(&address).map_or(0, Vec::len);
        if of_address >= self.max_per_address {
            return Some(Full::Address);
        }
        (taken.total >= self.max_total).then_some(Full::Total)
    }
}

impl Taken {
    /// Who has made no call for longest, and long enough: address and id.
    fn quietest(&self, among: Option<IpAddr>) -> Option<(IpAddr, u64)> {
        let latest = Instant::now().checked_sub(QUIET)?;
        let among = |address: &IpAddr| among.is_none_or(|among| among == *address);
        let holders = self.by_address.iter().filter(|(address, _)| among(address));
        let quiet = holders.flat_map(|(address, holders)| {
            holders.iter().filter_map(|holder| {
                let since = holder.activity.as_ref()?.quiet_since()?;
                (since <= latest).then_some((since, (*address, holder.id)))
            })
        });
        quiet.min_by_key(|(since, _)| *since).map(|(_, holder)| holder)
    }

    fn close(&mut self, (address, id): (IpAddr, u64)) {
        if let Some(Holder { activity: Some(activity), .. }) = self.give_back(address, id) {
            activity.give_way();
        }
    }

    fn give_back(&mut self, address: IpAddr, id: u64) -> Option<Holder> {
        let holders = self.by_address.get_mut(&address)?;
        let index = holders.iter().position(|holder| holder.id == id)?;
        let holder = holders.swap_remove(index);
        if holders.is_empty() {
            self.by_address.remove(&address);
        }
        self.total = self.total.saturating_sub(1);
        Some(holder)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        drop(taken.give_back(self.address, self.id));
    }
}

/// Whom one host can be: its IPv4 address, or the /64 network that an IPv6 host picks its addresses from.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_bounded_in_total_and_per_address() {
        let slots = Slots::new(3, 2);
        let first = slots.take(ip("10.0.0.1"), None).unwrap();
        let _second = slots.take(ip("::ffff:10.0.0.1"), None).unwrap();
        assert_eq!(slots.take(ip("10.0.0.1"), None).unwrap_err(), Full::Address);
        let _third = slots.take(ip("10.0.0.2"), None).unwrap();
        assert_eq!(slots.take(ip("10.0.0.3"), None).unwrap_err(), Full::Total);
        drop(first);
        assert!(slots.take(ip("10.0.0.1"), None).is_ok());
    }

    #[test]
    fn a_host_is_one_whatever_address_of_its_network_it_picks() {
        let slots = Slots::new(9, 1);
        let first = slots.take(ip("fd00::1"), None).unwrap();
        assert_eq!(slots.take(ip("fd00::ffff:2"), None).unwrap_err(), Full::Address);
        assert!(slots.take(ip("fd00:0:0:1::1"), None).is_ok());
        drop(first);
        assert!(slots.taken.lock().unwrap().by_address.is_empty());
    }

    /// A connection on which nothing is called from now on.
    fn quiet() -> Activity {
        let activity = Activity::default();
        activity.start();
        activity
    }

    #[tokio::test(start_paused = true)]
    async fn the_quietest_of_the_same_address_gives_way_and_nobody_who_calls() {
        let slots = Slots::new(9, 3);
        let (older, newer, calling, other) = (quiet(), quiet(), quiet(), quiet());
        let _call = calling.call();
        let take = |from: &str, activity: &Activity| slots.take(ip(from), Some(activity.clone()));
        let _other = take("10.0.0.2", &other).unwrap();
        let older_slot = take("10.0.0.1", &older).unwrap();
        let _calling = take("10.0.0.1", &calling).unwrap();
        let _newer = take("10.0.0.1", &newer).unwrap();
        assert_eq!(take("10.0.0.1", &quiet()).unwrap_err(), Full::Address, "all have just come");
        tokio::time::sleep(QUIET / 2).await;
        drop(newer.call());
        tokio::time::sleep(QUIET / 2).await;
        let third = take("10.0.0.1", &quiet()).unwrap();
        let gave_way = |activity: &Activity| activity.gave_way();
        let all = [&older, &newer, &calling, &other].map(gave_way);
        assert_eq!(all, [true, false, false, false]);
        // What was given away is not given back a second time.
        drop(older_slot);
        assert_eq!(take("10.0.0.1", &quiet()).unwrap_err(), Full::Address);
        drop(third);
        assert!(take("10.0.0.1", &quiet()).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_total_the_quietest_of_all_gives_way() {
        let slots = Slots::new(2, 2);
        let (older, newer) = (quiet(), quiet());
        let _older = slots.take(ip("10.0.0.1"), Some(older.clone())).unwrap();
        tokio::time::sleep(QUIET).await;
        newer.start();
        let _newer = slots.take(ip("10.0.0.2"), Some(newer.clone())).unwrap();
        let _third = slots.take(ip("10.0.0.3"), Some(quiet())).unwrap();
        assert_eq!([older.gave_way(), newer.gave_way()], [true, false]);
        assert_eq!(slots.take(ip("10.0.0.4"), Some(quiet())).unwrap_err(), Full::Total);
        // Who does not say what the place is for takes nobody's.
        tokio::time::sleep(QUIET).await;
        assert_eq!(slots.take(ip("10.0.0.4"), None).unwrap_err(), Full::Total);
    }
}
