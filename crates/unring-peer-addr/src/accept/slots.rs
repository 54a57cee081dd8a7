//! Places for connections and handshakes, in total and per address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

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
    by_address: HashMap<IpAddr, usize>,
}

/// One place; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    taken: Arc<Mutex<Taken>>,
    address: IpAddr,
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

    pub(super) fn take(&self, ip: IpAddr) -> Result<Slot, Full> {
        let address = network(ip);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.total >= self.max_total {
            return Err(Full::Total);
        }
        if taken.by_address.get(&address).is_some_and(|open| *open >= self.max_per_address) {
            return Err(Full::Address);
        }
        *taken.by_address.entry(address).or_default() += 1;
        taken.total += 1;
        drop(taken);
        Ok(Slot { taken: Arc::clone(&self.taken), address })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total = taken.total.saturating_sub(1);
        if let Some(open) = taken.by_address.get_mut(&self.address) {
            *open -= 1;
            if *open == 0 {
                taken.by_address.remove(&self.address);
            }
        }
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
        let first = slots.take(ip("10.0.0.1")).unwrap();
        let _second = slots.take(ip("::ffff:10.0.0.1")).unwrap();
        assert_eq!(slots.take(ip("10.0.0.1")).unwrap_err(), Full::Address);
        let _third = slots.take(ip("10.0.0.2")).unwrap();
        assert_eq!(slots.take(ip("10.0.0.3")).unwrap_err(), Full::Total);
        drop(first);
        assert!(slots.take(ip("10.0.0.1")).is_ok());
    }

    #[test]
    fn a_host_is_one_whatever_address_of_its_network_it_picks() {
        let slots = Slots::new(9, 1);
        let first = slots.take(ip("fd00::1")).unwrap();
        assert_eq!(slots.take(ip("fd00::ffff:2")).unwrap_err(), Full::Address);
        assert!(slots.take(ip("fd00:0:0:1::1")).is_ok());
        drop(first);
        assert!(slots.taken.lock().unwrap().by_address.is_empty());
    }
}
