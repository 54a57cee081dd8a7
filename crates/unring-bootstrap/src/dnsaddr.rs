//! `/dnsaddr`: names whose TXT records are multiaddrs, some of which are further names.
//!
//! The format is that of the multiformats: `_dnsaddr.NAME` has TXT records `dnsaddr=MULTIADDR`.

use std::collections::{BTreeSet, VecDeque};

use unring_peer::PeerId;

use crate::candidate::Candidate;
use crate::limits::{MAX_DNSADDR_DEPTH, MAX_DNSADDR_LOOKUPS, MAX_FOUND};

/// Follows the names without looking them up itself.
///
/// Bounded in look-ups, in depth and in what it finds; a name is looked up once, so names that point at each other end it.
#[derive(Debug)]
pub struct DnsaddrWalk {
    /// Names to look up, whom they are limited to, and how deep they are.
    open: VecDeque<Name>,
    seen: BTreeSet<(String, Option<PeerId>)>,
    lookups: usize,
    found: Vec<Candidate>,
    skipped: usize,
}

#[derive(Clone, Debug)]
struct Name {
    name: String,
    peer: Option<PeerId>,
    depth: usize,
}

/// A look-up to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The name whose TXT records are wanted, `_dnsaddr.` in front.
    pub name: String,
    peer: Option<PeerId>,
    depth: usize,
}

impl DnsaddrWalk {
    /// Begins at `name`, without `_dnsaddr.` in front.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut walk = Self {
            open: VecDeque::new(),
            seen: BTreeSet::new(),
            lookups: 0,
            found: Vec::new(),
            skipped: 0,
        };
        walk.visit(name, None, 0);
        walk
    }

    /// The next look-up; none when it is done.
    pub fn next_lookup(&mut self) -> Option<Lookup> {
        let Name { name, peer, depth } = self.open.pop_front()?;
        if self.lookups >= MAX_DNSADDR_LOOKUPS || self.found.len() >= MAX_FOUND {
            self.skipped += 1 + self.open.len();
            self.open.clear();
            return None;
        }
        self.lookups += 1;
        Some(Lookup { name: format!("_dnsaddr.{name}"), peer, depth })
    }

    /// The TXT records of a look-up. What is no `dnsaddr=` is somebody else's.
    pub fn answer<'a>(&mut self, lookup: &Lookup, records: impl IntoIterator<Item = &'a str>) {
        let addresses = records.into_iter().filter_map(|record| record.strip_prefix("dnsaddr="));
        for address in addresses {
            match address.strip_prefix("/dnsaddr/") {
                Some(further) => self.follow(further, lookup),
                None => self.take(address, lookup),
            }
        }
    }

    /// What was found, and how much was left out.
    #[must_use]
    pub fn finish(self) -> (Vec<Candidate>, usize) {
        (self.found, self.skipped)
    }

    /// `NAME` or `NAME/p2p/ID`, which limits what is found there to that peer.
    fn follow(&mut self, further: &str, lookup: &Lookup) {
        let (name, limit) = match further.split_once("/p2p/") {
            None => (further, None),
            Some((name, id)) => match id.parse() {
                Ok(peer) => (name, Some(peer)),
                Err(_) => return self.skipped += 1,
            },
        };
        let contradicts = lookup.peer.is_some() && limit.is_some() && lookup.peer != limit;
        if contradicts || lookup.depth + 1 > MAX_DNSADDR_DEPTH || name.contains('/') {
            return self.skipped += 1;
        }
        self.visit(name, limit.or(lookup.peer), lookup.depth + 1);
    }

    fn visit(&mut self, name: &str, peer: Option<PeerId>, depth: usize) {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        // A name of DNS has 253 bytes; `_dnsaddr.` goes in front.
        if name.is_empty() || name.len() > 253 - "_dnsaddr.".len() {
            return self.skipped += 1;
        }
        if self.open.len() >= MAX_DNSADDR_LOOKUPS {
            return self.skipped += 1;
        }
        if self.seen.insert((name.clone(), peer)) {
            self.open.push_back(Name { name, peer, depth });
        }
    }

    fn take(&mut self, address: &str, lookup: &Lookup) {
        match Candidate::parse(address, None, None) {
            Ok(candidate)
                if self.found.len() < MAX_FOUND
                    && (lookup.peer.is_none() || candidate.peer == lookup.peer) =>
            {
                if !self.found.contains(&candidate) {
                    self.found.push(candidate);
                }
            }
            _ => self.skipped += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_still_to_be_looked_up_is_bounded() {
        let mut walk = DnsaddrWalk::new("a");
        let lookup = walk.next_lookup().unwrap();
        let names: Vec<_> = (0..1000).map(|n| format!("dnsaddr=/dnsaddr/n{n}")).collect();
        walk.answer(&lookup, names.iter().map(String::as_str));
        assert_eq!(
            (walk.open.len(), walk.skipped),
            (MAX_DNSADDR_LOOKUPS, 1000 - MAX_DNSADDR_LOOKUPS)
        );
    }
}
