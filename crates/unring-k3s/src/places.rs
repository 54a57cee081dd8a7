//! Places for connections, in all and for each address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits;

/// Places that are taken. An address without one is not remembered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    address: IpAddr,
}

impl Places {
    /// A place for a connection from here, if one is left.
    pub(crate) fn take(&self, client: IpAddr) -> Option<Place> {
        let address = network(client);
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let own = taken.get(&address).copied().unwrap_or(0);
        if all >= limits::MAX_CONNECTIONS || own >= limits::MAX_CONNECTIONS_PER_ADDRESS {
            return None;
        }
        taken.insert(address, own + 1);
        drop(taken);
        Some(Place { places: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.address) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.remove(&self.address)),
        }
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

    use super::Places;
    use crate::limits::{MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let places = Places::default();
        let take = |text: &str| places.take(address(text));
        let mut own: Vec<_> =
            (0..MAX_CONNECTIONS_PER_ADDRESS).map(|_| take("10.0.0.1").unwrap()).collect();
        assert!(take("10.0.0.1").is_none() && take("::ffff:10.0.0.1").is_none());
        let other = take("10.0.0.2").unwrap();
        own.pop();
        own.push(take("10.0.0.1").unwrap());
        drop((own, other));
        assert!(places.0.lock().unwrap().is_empty(), "nobody is remembered");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let places = Places::default();
        let host = |n: usize| address(&format!("2001:db8:0:1::{n:x}"));
        let own: Vec<_> =
            (0..MAX_CONNECTIONS_PER_ADDRESS).map(|n| places.take(host(n)).unwrap()).collect();
        assert!(places.take(host(999)).is_none());
        assert!(places.take(address("2001:db8:0:2::1")).is_some());
        drop(own);
    }

    #[test]
    fn all_together_have_so_many() {
        let places = Places::default();
        let host = |n: usize| IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
        let all: Vec<_> = (0..MAX_CONNECTIONS).map(|n| places.take(host(n)).unwrap()).collect();
        assert!(places.take(host(MAX_CONNECTIONS)).is_none());
        drop(all);
        assert!(places.take(host(MAX_CONNECTIONS)).is_some());
    }
}
