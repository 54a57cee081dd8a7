//! Who has something, and where it is.

use std::net::IpAddr;

use libp2p_identity::PeerId;
use multiaddr::{Multiaddr, Protocol};

/// Addresses kept of one provider, in the order told; further ones are skipped. A node has few interfaces.
pub const MAX_ADDRESSES_PER_PROVIDER: usize = 8;

/// Providers kept of one key: a pull needs a few that work, and Spegel asks for three. Of more, some at random are kept.
pub const MAX_PROVIDERS: usize = 64;

/// A peer that said it has the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Who.
    pub peer: PeerId,
    /// Where: at least one, at most [`MAX_ADDRESSES_PER_PROVIDER`], each once. Without a port, since the one that is
    /// told is that of the routing protocol; where a node serves its content is not the routing's business.
    pub addresses: Vec<IpAddr>,
}

impl Provider {
    /// The provider with those of `addresses` that begin with an IP address somebody could have. The others (names, relays,
    /// wildcards, multicast, link-local) are skipped one by one. `None` if none is left.
    ///
    /// Link-local ones mean nothing without an interface, and 169.254.169.254 is where clouds serve a machine's secrets: nobody
    /// shall be sent there by what a stranger told. Loopback is kept: all nodes of a test cluster are there, and elsewhere it
    /// leads the asker to nobody but itself.
    #[must_use]
    pub fn new<'a>(
        peer: PeerId,
        addresses: impl IntoIterator<Item = &'a Multiaddr>,
    ) -> Option<Self> {
        let mut kept = Vec::new();
        for ip in addresses.into_iter().filter_map(ip) {
            if kept.len() < MAX_ADDRESSES_PER_PROVIDER && !kept.contains(&ip) {
                kept.push(ip);
            }
        }
        (!kept.is_empty()).then_some(Self { peer, addresses: kept })
    }
}

fn ip(address: &Multiaddr) -> Option<IpAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip).to_canonical(),
        _ => return None,
    };
    let is_relayed = parts.any(|part| matches!(part, Protocol::P2pCircuit));
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let usable = !ip.is_unspecified() && !ip.is_multicast() && !is_link_local && !is_relayed;
    usable.then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_providers_addresses_the_useful_ones_are_kept() {
        let check = |given: &[&str], wanted: &[&str]| {
            let given: Vec<Multiaddr> = given.iter().map(|text| text.parse().unwrap()).collect();
            let kept = Provider::new(PeerId::random(), &given);
            let kept: Vec<_> = kept.iter().flat_map(|provider| &provider.addresses).collect();
            assert_eq!(kept.iter().map(ToString::to_string).collect::<Vec<_>>(), wanted);
        };
        let (ip, circuit) = ("/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.2/tcp/1/p2p-circuit");
        check(&[ip, "/dns4/server1/tcp/1", "/ip6/fd00::1/udp/1/quic-v1"], &["10.0.0.1", "fd00::1"]);
        check(&[ip, "/ip4/10.0.0.1/tcp/2", "/ip6/::ffff:10.0.0.1/tcp/1"], &["10.0.0.1"]);
        check(
            &["/ip4/169.254.169.254/tcp/80", "/ip6/fe80::1/tcp/1", "/ip4/127.0.0.1/tcp/1"],
            &["127.0.0.1"],
        );
        check(&["/ip4/0.0.0.0/tcp/1", "/ip6/::/tcp/1", "/ip4/224.0.0.1/tcp/1", circuit], &[]);
        assert_eq!(Provider::new(PeerId::random(), &[]), None);
        let many: Vec<String> = (0..20).map(|n| format!("/ip4/10.0.0.{n}/tcp/1")).collect();
        let provider = many.iter().map(|text| text.parse().unwrap()).collect::<Vec<Multiaddr>>();
        assert_eq!(Provider::new(PeerId::random(), &provider).unwrap().addresses.len(), 8);
    }
}
